"""From scores per hop to micro-expressions: onset, apex and offset of each Action Unit.

One small state machine per face and Action Unit, with two thresholds (hysteresis). ONSET is
announced as soon as the score has stayed high for `confirm_us`; its time is where the score
began to rise. An expression that turns out too short or too long is withdrawn: its OFFSET comes
with score 0. Blinks move both lids at once, which looks like AU05 and AU07 together; no face does
both, so eyelid Action Units are held back around such hops. Each Action Unit begins at a score of
its own (`on_scores.py`): speech drops the jaw, so AU26 has to be surer than others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mx_capture.config import Config, setting
from mx_capture.errors import MxError

from mx_perception.action_units import AU_NUMBERS

ONSET, APEX, OFFSET = 0, 1, 2
"""Phases, as in mx_msgs/MicroExpression."""
DEFAULT_ON_SCORE = 0.5
"""Of weights that state none."""
EYELIDS = (5, 6, 7)
BLINK_PAIR = (5, 7)


def _live(default: float, description: str, maximum: float | None = None) -> Any:
    """A setting that may change while the spotter runs; its faces start over then."""
    return setting(default, description, minimum=0, maximum=maximum, read_only=False)


@dataclass(frozen=True)
class SpotterConfig(Config):
    """Thresholds are scores (0..1), times are sensor time in microseconds."""

    on_score: float = _live(
        0.0,
        "An expression begins at this score (0..1); 0: at that of the weights, one for each "
        "Action Unit",
        maximum=1,
    )
    off_score: float = _live(0.1, "An expression ends below this score (0..1)", maximum=1)
    confirm_us: int = _live(10_000, "How long the score stays high before ONSET, in microseconds")
    onset_lag_us: int = _live(
        40_000, "Taken off the onset, in microseconds: the score's usual delay"
    )
    min_duration_us: int = _live(60_000, "Expressions of fewer microseconds are withdrawn")
    max_duration_us: int = _live(
        800_000, "Expressions of more microseconds are withdrawn: they are not micro"
    )
    blink_score: float = _live(0.3, "AU05 and AU07 both above this score are a blink", maximum=1)
    blink_hold_us: int = _live(
        150_000, "How long eyelid units are held back after a blink, in microseconds"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if 0 < self.on_score < self.off_score:
            raise MxError(f"off_score={self.off_score} is above on_score={self.on_score}")


@dataclass(frozen=True)
class MicroExpression:
    """One phase of an expression. Times of phases not reached yet are 0; times are ns.

    `score` is the highest score so far, 0..1; an OFFSET with score 0 withdraws the expression.
    """

    face_id: str
    au: int
    phase: int
    onset_ns: int
    apex_ns: int
    offset_ns: int
    score: float


@dataclass
class _Unit:
    """What is going on with one Action Unit of one face; -1 stands for not yet."""

    rise_ns: int = -1
    high_ns: int = -1
    peak: float = 0.0
    peak_ns: int = -1
    announced: bool = False
    apex_announced: bool = False
    spent: bool = False


@dataclass
class _Face:
    units: list[_Unit]
    stamp_ns: int = -1
    blink_until_ns: int = -1


@dataclass
class Spotter:
    """Feed it every hop's scores in order of time; it keeps little and never looks back.

    `on_scores`, in the order of `action_units`, are those of the weights.
    """

    config: SpotterConfig = field(default_factory=SpotterConfig)
    action_units: Sequence[int] = AU_NUMBERS
    on_scores: Sequence[float] = ()
    _faces: dict[str, _Face] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.config.on_score > 0 or not self.on_scores:
            self.on_scores = [self.config.on_score or DEFAULT_ON_SCORE] * len(self.action_units)

    def update(self, face_id: str, stamp_ns: int, scores: np.ndarray) -> list[MicroExpression]:
        """Phases reached at this hop. `scores (n_au,)` in the order of `action_units`.

        A stamp that is not later than the last one starts the face over, as `reset` does.
        """
        face, found = self._faces.get(face_id), list[MicroExpression]()
        if face is not None and stamp_ns <= face.stamp_ns:
            found, face = self.reset(face_id), None
        if face is None:
            face = self._faces[face_id] = _Face([_Unit() for _ in self.action_units])
        face.stamp_ns = stamp_ns
        values = np.asarray(scores).tolist()
        self._watch_blink(face, stamp_ns, values)
        for index, (au, score) in enumerate(zip(self.action_units, values, strict=True)):
            if au in EYELIDS and stamp_ns < face.blink_until_ns:
                score = 0.0
            unit, on_score = face.units[index], self.on_scores[index]
            off_score = min(self.config.off_score, on_score)
            if score < off_score and unit.rise_ns < 0:
                continue  # as it was: most units rest most of the time
            for phase in self._advance(unit, stamp_ns, score, on_score, off_score):
                found.append(self._message(face_id, au, phase, unit, stamp_ns))
            if score < off_score:
                face.units[index] = _Unit()
        return found

    def reset(self, face_id: str) -> list[MicroExpression]:
        """Forget a face: it is gone, or its tensors are not continuous.

        Withdraws the expressions that were announced and have not ended.
        """
        face, found = self._faces.pop(face_id, None), []
        for au, unit in zip(self.action_units, face.units if face else (), strict=False):
            if face and unit.announced and not unit.spent:
                unit.peak = 0.0
                found.append(self._message(face_id, au, OFFSET, unit, face.stamp_ns))
        return found

    def _watch_blink(self, face: _Face, stamp_ns: int, scores: list[float]) -> None:
        pair = [s for au, s in zip(self.action_units, scores, strict=True) if au in BLINK_PAIR]
        if len(pair) == len(BLINK_PAIR) and min(pair) > self.config.blink_score:
            face.blink_until_ns = stamp_ns + 1000 * self.config.blink_hold_us

    def _advance(
        self, unit: _Unit, stamp_ns: int, score: float, on_score: float, off_score: float
    ) -> list[int]:
        config = self.config
        if score < off_score:
            if not unit.announced or unit.spent:
                return []
            if stamp_ns - unit.rise_ns < 1000 * config.min_duration_us:
                unit.peak = 0.0
            return [OFFSET] if unit.apex_announced or unit.peak == 0.0 else [APEX, OFFSET]
        if unit.rise_ns < 0:
            unit.rise_ns = stamp_ns
        if score > unit.peak and not unit.apex_announced:
            unit.peak, unit.peak_ns = score, stamp_ns
        if score >= on_score and unit.high_ns < 0:
            unit.high_ns = stamp_ns
        elif score < on_score:
            unit.high_ns = -1
        phases = []
        confirmed = unit.high_ns >= 0 and stamp_ns - unit.high_ns >= 1000 * config.confirm_us
        too_long = stamp_ns - unit.rise_ns > 1000 * config.max_duration_us
        if confirmed and not unit.announced and not too_long:
            unit.announced = True
            phases.append(ONSET)
        falling = score < unit.peak - 0.5 * (unit.peak - off_score)
        if unit.announced and falling and not unit.apex_announced and not unit.spent:
            unit.apex_announced = True
            phases.append(APEX)
        if unit.announced and too_long and not unit.spent:
            unit.spent, unit.peak = True, 0.0
            phases.append(OFFSET)
        return phases

    def _message(
        self, face_id: str, au: int, phase: int, unit: _Unit, stamp_ns: int
    ) -> MicroExpression:
        return MicroExpression(
            face_id=face_id,
            au=au,
            phase=phase,
            onset_ns=unit.rise_ns - 1000 * self.config.onset_lag_us,
            apex_ns=unit.peak_ns if phase != ONSET else 0,
            offset_ns=stamp_ns if phase == OFFSET else 0,
            score=unit.peak,
        )
