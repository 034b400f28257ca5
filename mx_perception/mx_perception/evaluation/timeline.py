"""Scores of a session on the hop grid, beside its labels: what can be said about Action Units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from mx_capture.stream import Label

from mx_perception.action_units import AU_NUMBERS, CLIP_CLASSES
from mx_perception.sequences import CELL_DTYPE, FaceSequence, free_around, spans_of
from mx_perception.spotter import OFFSET, ONSET, MicroExpression
from mx_perception.spotting import Detection, count
from mx_perception.windows import MICRO_HOPS, NEUTRAL_HOPS

PRESENT = 0.5
"""A score from which on an Action Unit counts as shown."""
MARGIN_HOPS = 10
"""A clip reaches this far beyond its expression, as far as there is room."""
NEUTRAL_SHARE = 1 / 14
"""Neutral clips for each expression: as many as of an average Action Unit."""


@dataclass
class Timeline:
    """Filled in any order of topics; `scores` and `evidence` are rows of a hop each.

    Where several faces are tracked, the one that was there first stands for the subject.
    """

    hop_us: int
    action_units: Sequence[int] = AU_NUMBERS
    labels: list[Label] = field(default_factory=list)
    _found: list[tuple[int, MicroExpression]] = field(default_factory=list)
    """Expressions that the spotter let stand, each behind the time of its announcement, ns."""
    _rows: dict[str, dict[int, tuple[np.ndarray, np.ndarray | None]]] = field(default_factory=dict)
    _table: tuple[int, np.ndarray, np.ndarray | None] | None = None
    _told: dict[tuple[str, int, int], int] = field(default_factory=dict)

    def add_scores(
        self, face_id: str, end_ns: int, scores: np.ndarray, evidence: np.ndarray | None = None
    ) -> None:
        """One hop of a face: its scores `(n_au,)` and, offline, the evidence `(15,)`."""
        kept = None if evidence is None else evidence.copy()
        self._rows.setdefault(face_id, {})[end_ns] = (np.array(scores, np.float32), kept)
        self._table = None

    def add_expression(self, told_ns: int, found: MicroExpression) -> None:
        """A phase that the spotter told at `told_ns`."""
        key = (found.face_id, found.au, found.onset_ns)
        if found.phase == ONSET:
            self._told[key] = told_ns
        elif found.phase == OFFSET and found.score > 0 and key in self._told:
            self._found.append((self._told[key], found))

    @property
    def hops(self) -> int:
        """From the first to the last tensor; 0 without a face."""
        return len(self.table()[1])

    def table(self) -> tuple[int, np.ndarray, np.ndarray | None]:
        """Start in ns, scores `(hops, n_au)` with NaN where no face was, evidence likewise."""
        if self._table is None:
            self._table = self._tabled()
        return self._table

    def _tabled(self) -> tuple[int, np.ndarray, np.ndarray | None]:
        ends = sorted({end for rows in self._rows.values() for end in rows})
        if not ends:
            return 0, np.zeros((0, len(self.action_units)), np.float32), None
        hop_ns = 1000 * self.hop_us
        hops = round((ends[-1] - ends[0]) / hop_ns) + 1
        scores = np.full((hops, len(self.action_units)), np.nan, np.float32)
        has_evidence = all(
            row[1] is not None for rows in self._rows.values() for row in rows.values()
        )
        evidence = np.full((hops, len(CLIP_CLASSES)), np.nan, np.float32) if has_evidence else None
        # Later faces first, so that the earlier ones overwrite them.
        for rows in sorted(self._rows.values(), key=min, reverse=True):
            for end, (score, told) in rows.items():
                hop = round((end - ends[0]) / hop_ns)
                scores[hop] = score
                if evidence is not None and told is not None:
                    evidence[hop] = told
        return ends[0] - hop_ns, scores, evidence

    def sequence(self) -> FaceSequence:
        """The labels on the hop grid, in the form that training and spotting use."""
        start_ns, scores, _ = self.table()
        hops = len(scores)
        labels = sorted(self.labels, key=lambda item: (item.onset_ns, item.offset_ns))
        spans = spans_of(labels, start_ns, self.hop_us, hops)
        nothing = np.zeros(0, CELL_DTYPE)
        frames = np.zeros((0, 1, 1), np.uint8), np.zeros(0, np.int64)
        return FaceSequence("", "", "", hops, self.hop_us, (1, 1), nothing, spans, *frames)

    def clips(self) -> list[dict[str, Any]]:
        """Every micro-expression of one Action Unit, and pauses, with the classes found there.

        `evidence` is the class that the classifier names, None where only scores are known;
        `scores` the unit with the highest mean score, neutral where no score reached PRESENT.
        `seen` is the share of the clip in which a face was tracked; nothing is named without one.
        """
        start_ns, scores, evidence = self.table()
        sequence = self.sequence()
        spans = sorted(sequence.spans, key=lambda span: span.onset)
        found = []
        for index, span in enumerate(spans):
            before, after = free_around(spans, index, sequence.hops)
            micro = span.offset - span.onset <= MICRO_HOPS
            if span.onset < before or span.offset > after or len(span.au) > 1 or not micro:
                continue
            begin = max(before, span.onset - MARGIN_HOPS)
            end = min(after, span.offset + MARGIN_HOPS)
            truth = {"au": span.au[0], "intensity": span.intensity[0], "condition": span.condition}
            found.append({**truth, **self._named(begin, end, scores, evidence)})
        shown = [(span.onset, span.offset) for span in spans] + self._unnamed(start_ns)
        pauses = _pauses(sorted(shown), sequence.hops)
        most = max(1, round(NEUTRAL_SHARE * len(found))) if pauses else 0
        for index in np.linspace(0, len(pauses) - 1, min(most, len(pauses))).round().astype(int):
            truth = {"au": 0, "intensity": 0.0, "condition": ""}
            begin, end = pauses[index]
            found.append({**truth, **self._named(begin, end, scores, evidence)})
        return found

    def hop_counts(self) -> dict[str, Any]:
        """Per Action Unit, over the hops with a face: hits, misses, false ones at PRESENT."""
        _, scores, _ = self.table()
        known = ~np.isnan(scores).any(1)
        truth = np.zeros(scores.shape, bool)
        middles = np.arange(len(scores)) + 0.5
        for span in self.sequence().spans:
            inside = (middles >= span.onset) & (middles < span.offset)
            for au in span.au:
                truth[inside, list(self.action_units).index(au)] = True
        truth, guess = truth[known], scores[known] >= PRESENT
        return {
            "hops": int(known.sum()),
            "hit": (truth & guess).sum(0).tolist(),
            "missed": (truth & ~guess).sum(0).tolist(),
            "false": (~truth & guess).sum(0).tolist(),
        }

    def detections(self) -> list[Detection]:
        """What was found on the face that stands for the subject; ms from the start of `table`."""
        start_ns = self.table()[0]
        found = [
            Detection(
                expression.au,
                (expression.onset_ns - start_ns) / 1e6,
                (expression.apex_ns - start_ns) / 1e6,
                (expression.offset_ns - start_ns) / 1e6,
                (told_ns - start_ns) / 1e6,
                expression.score,
            )
            for told_ns, expression in self._found
            if self._is_of_subject(expression)
        ]
        return sorted(found, key=lambda found: (found.onset_ms, found.au))

    def _is_of_subject(self, expression: MicroExpression) -> bool:
        """Whether no face that was there before was seen when it was announced."""
        came = min(self._rows.get(expression.face_id, [0]))
        return not any(
            min(rows) < came and expression.onset_ns < end <= expression.offset_ns
            for face, rows in self._rows.items()
            if face != expression.face_id
            for end in rows
        )

    def spotting(self) -> dict[str, Any]:
        """Counts that add up over sessions; the fields of `spotting.SpottingCounts`."""
        counts = count(self.sequence(), self.detections())
        return {name: getattr(counts, name) for name in counts.__dataclass_fields__}

    def _unnamed(self, start_ns: int) -> list[tuple[float, float]]:
        """Hops of labels without Action Units, such as emotions: no one knows what is shown."""
        hop_ns = 1000 * self.hop_us
        return [
            ((label.onset_ns - start_ns) / hop_ns, (label.offset_ns - start_ns) / hop_ns)
            for label in self.labels
            if not label.au
        ]

    def _named(
        self, begin: float, end: float, scores: np.ndarray, evidence: np.ndarray | None
    ) -> dict[str, Any]:
        rows = slice(int(np.ceil(begin - 0.5)), max(int(np.ceil(end - 0.5)), 0))
        known = ~np.isnan(scores[rows]).any(1)
        named: dict[str, Any] = {
            "begin_s": round(begin * self.hop_us / 1e6, 3),
            "end_s": round(end * self.hop_us / 1e6, 3),
            "seen": float(known.mean()) if known.size else 0.0,
            "evidence": None,
            "scores": None,
        }
        if known.any():
            inside = scores[rows][known]
            strongest = int(np.argmax(inside.mean(0)))
            shown = bool((inside >= PRESENT).any())
            named["scores"] = int(self.action_units[strongest]) if shown else 0
            if evidence is not None:
                mean = evidence[rows][known].mean(0)
                named["evidence"] = CLIP_CLASSES[int(np.argmax(mean))]
        return named


def _pauses(shown: Sequence[tuple[float, float]], hops: int) -> list[tuple[float, float]]:
    """Stretches of at least NEUTRAL_HOPS beyond the margins of expressions, cut to a second.

    `shown` are the expressions, `(onset, offset)` in hops, in the order of their onsets.
    """
    pauses, edge = [], 0.0
    for onset, offset in (*shown, (np.inf, np.inf)):
        begin = min(onset - MARGIN_HOPS, hops)
        if begin - edge >= NEUTRAL_HOPS:
            middle, half = (edge + begin) / 2, min((begin - edge) / 2, 50.0)
            pauses.append((middle - half, middle + half))
        edge = max(edge, offset + MARGIN_HOPS)
    return pauses
