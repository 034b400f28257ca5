"""What happens in a session: expressions with their exact times, and everything that distracts.

Times are seconds from the start of the session. Onset, apex and offset follow the usage of the
micro-expression literature: a micro-expression lasts at most half a second (Yan et al. 2013, "How
fast are the leaked facial expressions"), blinks follow VanderWerf et al. 2003, saccades the main
sequence of Bahill et al. 1975.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mx_capture.simulator.action_units import (
    ACTION_UNITS,
    COMBINATIONS,
    FARTHEST_MM,
    UNITS,
)
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.head import UNIT_ORDER, Pose

_ROW = {unit: row for row, unit in enumerate(UNIT_ORDER)}
MICRO_MM = (1.2, 4.5)
"""How far skin moves in micro-expressions of a study: 0.8 to 3 px in a face crop of 128 px, which
shows 19 cm."""
SPEECH = 50
"""FACS number of speech; labels of talking carry it."""


@dataclass(frozen=True)
class Expression:
    """Action Units that rise, hold and fall together.

    `sides` scales the right and the left half. `open_lips` parts them on top (AU25, unlabelled).
    """

    units: tuple[int, ...]
    intensity: tuple[float, ...]
    onset_s: float
    apex_s: float
    release_s: float
    offset_s: float
    sides: tuple[float, float] = (1.0, 1.0)
    open_lips: float = 0.0

    def level(self, t: float) -> float:
        """0..1 share of the intensity reached at time t."""
        if t <= self.onset_s or t >= self.offset_s:
            return 0.0
        if t < self.apex_s:
            return _ease((t - self.onset_s) / (self.apex_s - self.onset_s))
        if t <= self.release_s:
            return 1.0
        return _ease((self.offset_s - t) / (self.offset_s - self.release_s))


@dataclass(frozen=True)
class Light:
    """The light of a session: its name, illuminance, flicker and slow change."""

    name: str
    lux: float
    flicker_hz: float
    flicker_depth: float
    ramps: tuple[tuple[float, float, float], ...]
    """(start s, length s, factor reached)."""

    def gain(self, t: np.ndarray) -> np.ndarray:
        """Factor on all light at times t."""
        level = np.ones_like(t, dtype=np.float64)
        before = 1.0
        for start, length, factor in self.ramps:
            level = level * (1 + (factor / before - 1) * _ease_array((t - start) / length))
            before = factor
        if self.flicker_depth > 0:
            wave = np.abs(np.sin(np.pi * self.flicker_hz * t)) - 2 / np.pi
            level = level * (1 + self.flicker_depth * wave)
        return level


class Script:
    """The course of one session, drawn from the configuration's seed."""

    def __init__(self, config: SimulationConfig) -> None:
        self.duration_s = config.duration_s
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, 0x5E]))
        strength = config.distractors
        self.light = _draw_light(rng, config)
        self._draw_head_motion(rng, strength)
        self._draw_gaze(rng, strength)
        self.expressions: list[Expression] = []
        self.talks: list[tuple[float, float]] = []
        if config.protocol == "demo":
            self._demo(rng)
        elif config.protocol == "study":
            self._study(rng, strength)
        else:
            self._neutral(rng, strength)
        if strength > 0:
            self._blinks(rng, 4.0 / strength)
        self.expressions.sort(key=lambda e: e.offset_s)
        self._speech = rng.uniform(0, 2 * np.pi, (4, 5)), rng.uniform(2.0, 6.0, (4, 5))
        self._speech_size = rng.uniform(0.12, 0.45)

    # --- drawing ------------------------------------------------------------------------------

    def _demo(self, rng: np.random.Generator) -> None:
        """A fixed order of clear expressions, micro and long, repeated until the end."""
        acts = [
            ((6, 12), (0.6, 0.7), False),
            ((1, 2), (0.7, 0.7), True),
            ((4,), (0.7,), True),
            ((12,), (0.45,), True),
            ((1, 2, 5, 26), (0.8, 0.8, 0.7, 0.7), False),
            ((9, 10), (0.6, 0.4), True),
            ((15, 17), (0.7, 0.5), True),
            ((1,), (0.6,), True),
            ((20,), (0.6,), True),
            ((14,), (0.7,), True),
            ((26,), (0.6,), True),
            ((7, 4), (0.7, 0.5), True),
        ]
        t, number = 0.8, 0
        while t < self.duration_s - 0.6:
            units, intensity, micro = acts[number % len(acts)]
            expression = _draw_expression(rng, units, intensity, t, micro, symmetric=True)
            if expression.offset_s >= self.duration_s:
                break
            self.expressions.append(expression)
            t = expression.offset_s + rng.uniform(0.7, 1.0)
            number += 1

    def _study(self, rng: np.random.Generator, strength: float) -> None:
        """Every Action Unit once in random order, combinations in between, again until the end."""
        t = rng.uniform(0.3, 0.8)
        queue: list[tuple[int, ...]] = []
        while True:
            if not queue:
                units = list(ACTION_UNITS)
                rng.shuffle(units)
                queue = [(unit,) for unit in units]
                for pick in rng.choice(len(COMBINATIONS), 5, replace=False):
                    queue.insert(int(rng.integers(len(queue) + 1)), COMBINATIONS[int(pick)])
            acted = queue.pop()
            if strength > 0 and rng.random() < 0.06:
                end = t + rng.uniform(0.8, 2.0)
                if end > self.duration_s - 0.05:
                    break
                self.talks.append((t, end))
                t = end + 0.3
            if acted == (45,):
                expression = _blink(rng, t)
            else:
                micro = rng.random() < 0.85
                share, size = rng.uniform(), float(np.clip(rng.beta(1.6, 2.2), 0.08, 1.0))
                intensity = tuple(
                    _micro_intensity(unit, float(np.clip(share + rng.normal(0, 0.1), 0, 1)))
                    if micro
                    else float(np.clip(size * rng.uniform(0.75, 1.3), 0.07, 1))
                    for unit in acted
                )
                expression = _draw_expression(rng, acted, intensity, t, micro, symmetric=False)
            if expression.offset_s > self.duration_s - 0.05:
                break
            self.expressions.append(expression)
            t = expression.offset_s + rng.uniform(0.12, 0.5)

    def _neutral(self, rng: np.random.Generator, strength: float) -> None:
        t = rng.uniform(1.0, 4.0)
        while strength > 0 and t < self.duration_s:
            end = t + rng.uniform(0.8, 3.0)
            if rng.random() < 0.4 and end < self.duration_s - 0.05:
                self.talks.append((t, end))
            t = end + rng.uniform(1.0, 6.0)

    def _blinks(self, rng: np.random.Generator, interval_s: float) -> None:
        t = rng.exponential(interval_s)
        while t < self.duration_s - 0.4:
            blink = _blink(rng, t)
            free = all(
                t > e.offset_s + 0.05 or blink.offset_s < e.onset_s - 0.05
                for e in self.expressions
                if 45 in e.units
            )
            if free:
                self.expressions.append(blink)
            t += 0.3 + rng.exponential(interval_s)

    def _draw_head_motion(self, rng: np.random.Generator, strength: float) -> None:
        """Sway as a sum of waves (radians and cm), and now and then a turn of the head."""
        count = 9
        self._waves_hz = np.exp(rng.uniform(np.log(0.07), np.log(2.2), (6, count)))
        falling = 1 / (0.25 + self._waves_hz)
        size = strength * rng.lognormal(np.log(0.5), 0.5)
        scale = np.array([0.006, 0.005, 0.0035, 0.06, 0.05, 0.08])[:, None] * size
        self._waves = scale * falling * rng.normal(0, 1, (6, count)) / np.sqrt(count)
        self._phases = rng.uniform(0, 2 * np.pi, (6, count))
        self.rest_rotation = rng.normal(0, [0.13, 0.07, 0.04])
        self._turns: list[tuple[float, float, np.ndarray]] = []
        t = rng.exponential(6.0)
        while strength > 0 and t < self.duration_s:
            angle = strength * rng.normal(0, [0.06, 0.04, 0.02])
            self._turns.append((t, rng.uniform(0.35, 1.2), angle))
            t += 1.5 + rng.exponential(6.0)

    def _draw_gaze(self, rng: np.random.Generator, strength: float) -> None:
        self._saccades: list[tuple[float, float, np.ndarray, np.ndarray]] = []
        here = rng.normal(0, [0.05, 0.04])
        self._first_gaze = here
        t = rng.exponential(1.0)
        while strength > 0 and t < self.duration_s:
            there = np.clip(rng.normal(0, [0.12, 0.07]) * min(strength, 1.5), -0.4, 0.4)
            degrees = np.degrees(np.linalg.norm(there - here))
            self._saccades.append((t, 0.021 + 0.0022 * degrees, here, there))
            here = there
            t += 0.25 + rng.exponential(1.4)

    # --- reading ------------------------------------------------------------------------------

    def pose(self, t: float) -> Pose:
        """The head at time t; a smooth function of t alone."""
        pose = Pose()
        for expression in self.expressions:
            level = expression.level(t)
            if level <= 0:
                continue
            for unit, intensity in zip(expression.units, expression.intensity, strict=True):
                for side in (0, 1):
                    pose.units[_ROW[unit], side] += level * intensity * expression.sides[side]
            pose.units[_ROW[25]] += level * expression.open_lips
        self._talk(t, pose.units)
        waves = (self._waves * np.sin(2 * np.pi * self._waves_hz * t + self._phases)).sum(1)
        rotation = self.rest_rotation + waves[:3]
        for start, length, angle in self._turns:
            if t > start:
                rotation = rotation + angle * (_ease((t - start) / length) - 0.85 * _ease(
                    (t - start - 2 * length) / (2 * length)
                ))  # fmt: skip
        pose.rotation = rotation
        pose.shift = waves[3:]
        gaze = self._first_gaze
        for start, length, here, there in self._saccades:
            if t <= start:
                break
            gaze = here + (there - here) * _ease((t - start) / length)
        pose.gaze = gaze
        return pose

    def _talk(self, t: float, units: np.ndarray) -> None:
        for start, end in self.talks:
            if not start < t < end:
                continue
            swell = _ease((t - start) / 0.15) * _ease((end - t) / 0.15)
            phases, rates = self._speech
            wave = np.sin(2 * np.pi * rates * t + phases).mean(1) * 1.6
            size = self._speech_size * swell
            units[_ROW[26]] += size * max(0.0, 0.35 + 0.8 * wave[0])
            units[_ROW[25]] += size * max(0.0, 0.8 + 0.8 * wave[1])
            units[_ROW[18]] += size * max(0.0, 0.9 * wave[2])
            units[_ROW[20]] += size * max(0.0, 0.4 * wave[3])


def _micro_intensity(unit: int, share: float) -> float:
    """Where skin moves by `share` (0..1) of MICRO_MM, on a logarithmic scale, as far as it can."""
    low, high = MICRO_MM
    farthest = FARTHEST_MM[unit]
    high = min(high, farthest)
    return low * (high / low) ** share / farthest


def _draw_expression(
    rng: np.random.Generator,
    units: tuple[int, ...],
    intensity: tuple[float, ...],
    start: float,
    micro: bool,
    symmetric: bool,
) -> Expression:
    if micro:
        onset, apex, offset = (
            rng.uniform(0.04, 0.15),
            rng.uniform(0.0, 0.15),
            rng.uniform(0.06, 0.3),
        )
        shrink = min(1.0, 0.5 / (onset + apex + offset))
        onset, apex, offset = onset * shrink, apex * shrink, offset * shrink
    else:
        onset, apex, offset = rng.uniform(0.15, 0.5), rng.uniform(0.2, 1.2), rng.uniform(0.25, 0.9)
    sides = (1.0, 1.0)
    if not symmetric and not any(UNITS[unit].both_sides_linked for unit in units):
        if rng.random() < 0.12:
            sides = (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0)
        else:
            tilt = float(np.clip(rng.normal(0, 0.12), -0.4, 0.4))
            sides = (1.0 - max(tilt, 0.0), 1.0 + min(tilt, 0.0))
    lips = 0.0
    if 12 in units and max(intensity) > 0.5 and rng.random() < 0.5:
        lips = 0.5 * max(intensity)
    if 26 in units:
        lips = max(lips, 0.4 * intensity[units.index(26)])
    return Expression(
        units, intensity, start, start + onset, start + onset + apex,
        start + onset + apex + offset, sides, lips,
    )  # fmt: skip


def _blink(rng: np.random.Generator, start: float) -> Expression:
    closing, closed, opening = (
        rng.uniform(0.06, 0.11),
        rng.uniform(0.01, 0.06),
        rng.uniform(0.1, 0.24),
    )
    depth = 1.0 if rng.random() < 0.85 else float(rng.uniform(0.5, 1.0))
    return Expression(
        (45,), (depth,), start, start + closing, start + closing + closed,
        start + closing + closed + opening,
    )  # fmt: skip


def _draw_light(rng: np.random.Generator, config: SimulationConfig) -> Light:
    name = config.lighting
    if name == "random":
        name = str(
            rng.choice(
                ["office", "bright", "dim", "dark", "flicker", "ramp"],
                p=[0.34, 0.16, 0.2, 0.12, 0.08, 0.1],
            )
        )
    low, high = {
        "office": (150, 600),
        "bright": (600, 3000),
        "dim": (20, 100),
        "dark": (2, 15),
        "flicker": (100, 600),
        "ramp": (100, 600),
    }[name]
    lux = float(np.exp(rng.uniform(np.log(low), np.log(high))))
    mains = float(rng.choice([100.0, 120.0]))
    depth = float(rng.uniform(0.0, 0.04)) if rng.random() < 0.4 else 0.0
    if name == "flicker":
        depth = float(rng.uniform(0.06, 0.3))
    ramps: list[tuple[float, float, float]] = []
    t = float(rng.uniform(0.5, 3.0))
    while name == "ramp" and t < config.duration_s:
        ramps.append((t, float(rng.uniform(0.15, 3.0)), float(np.exp(rng.uniform(-0.9, 0.7)))))
        t += float(rng.uniform(3.0, 7.0))
    return Light(name, lux, mains, depth, tuple(ramps))


def _ease(x: float) -> float:
    """Minimum-jerk course from 0 to 1 (Flash and Hogan 1985)."""
    x = min(max(x, 0.0), 1.0)
    return x * x * x * (10 + x * (6 * x - 15))


def _ease_array(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * x * (10 + x * (6 * x - 15))
