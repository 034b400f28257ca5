"""Windows of sequences as batches, with the augmentations that are right for events.

An expression played backwards is an expression whose events have the other polarity: reversing
time and swapping polarity go together. Mirroring left and right leaves every Action Unit what it
is. Positions move as coordinates, with a random place inside the pixel, so that nothing is
interpolated; counts stay counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mx_capture.config import Config, setting

from mx_perception.action_units import AU_NUMBERS
from mx_perception.sequences import FaceSequence, Span

NEUTRAL_CLASS = len(AU_NUMBERS)
NO_CLASS = -1
"""Of a clip with several Action Units: it teaches scores, not the class."""
NEUTRAL_HOPS = 24
"""Pauses shorter than this are no neutral clips."""
MICRO_HOPS = 51
"""Micro-expressions last at most half a second (Yan et al. 2013)."""


@dataclass(frozen=True)
class AugmentConfig(Config):
    """How far a window may be changed; each is drawn anew every time."""

    shift_px: float = setting(5.0, "Shift of the crop, px at 128", minimum=0)
    scale: float = setting(0.1, "Relative change of size", minimum=0, maximum=0.5)
    rotation: float = setting(0.1, "Roll of the head, rad", minimum=0, maximum=1)
    rate: float = setting(0.3, "Relative change of speed", minimum=0, maximum=0.8)
    drop: float = setting(0.4, "Largest share of events dropped", minimum=0, maximum=0.95)
    noise: float = setting(0.02, "Most noise events per pixel and hop", minimum=0, maximum=1)
    reverse: float = setting(0.3, "Share of windows played backwards", minimum=0, maximum=1)
    mirror: float = setting(0.5, "Share of windows mirrored", minimum=0, maximum=1)


@dataclass(frozen=True)
class Window:
    """`hops` hops from `first` of a sequence, and the part that is its clip.

    The clip, `[begin, end)` in hops of the sequence, lies between the neighbouring expressions;
    `span` is the expression in it, None for a neutral clip.
    """

    sequence: int
    first: int
    begin: float
    end: float
    span: Span | None

    @property
    def label(self) -> int:
        """The class of the clip, or NO_CLASS for several Action Units."""
        if self.span is None:
            return NEUTRAL_CLASS
        return AU_NUMBERS.index(self.span.au[0]) if len(self.span.au) == 1 else NO_CLASS


@dataclass(frozen=True)
class Batch:
    """A batch of windows.

    `x (T, B, 2, H/pool, W/pool) uint8`; `activity (T, B, 14) float32`, 1 from onset to offset;
    `classes (B,)`; `weights (T, B) float32`, each hop's share in the clip, with a sum of 1.
    """

    x: np.ndarray
    activity: np.ndarray
    classes: np.ndarray
    weights: np.ndarray


def clip_windows(
    sequences: Sequence[FaceSequence], hops: int, rng: np.random.Generator
) -> list[Window]:
    """One window per expression, and one per pause of at least NEUTRAL_HOPS.

    The place of the clip in its window is drawn from `rng`.
    """
    windows = []
    for index, sequence in enumerate(sequences):
        edge = 0.0
        for span in [*sorted(sequence.spans, key=lambda s: s.onset), None]:
            onset = span.onset if span is not None else float(sequence.hops)
            if onset - edge >= NEUTRAL_HOPS:
                begin, end = _at_most(hops - 1, edge, onset, rng)
                first = math.floor(begin - rng.uniform(0, 1) * (hops - 1 - (end - begin)))
                windows.append(Window(index, first, begin, end, None))
            edge = max(edge, span.offset) if span is not None else edge
        windows += _expressions(index, sequence, hops, rng)
    return windows


def render(
    sequences: Sequence[FaceSequence],
    windows: Sequence[Window],
    hops: int,
    pool: int,
    rng: np.random.Generator | None = None,
    augment: AugmentConfig | None = None,
) -> Batch:
    """Make a batch, pooled as the network pools. Without `augment` it is exactly what is stored."""
    height, width = (side // pool for side in sequences[0].size)
    x = np.zeros((hops, len(windows), 2, height, width), np.uint8)
    activity = np.zeros((hops, len(windows), len(AU_NUMBERS)), np.float32)
    weights = np.zeros((hops, len(windows)), np.float32)
    middles = np.arange(hops) + 0.5
    for row, window in enumerate(windows):
        sequence = sequences[window.sequence]
        if augment is None or rng is None:
            events, clock = _events(sequence, window.first, hops), _Clock(window.first, 0.0, 1.0)
        else:
            events, clock = _augmented(sequence, window, hops, rng, augment)
        x[:, row] = _histogram(events, hops, sequence.size, pool)
        for span in sequence.spans:
            onset, offset = clock.interval(span.onset, span.offset)
            for number in span.au:
                inside = (middles >= onset) & (middles < offset)
                activity[inside, row, AU_NUMBERS.index(number)] = 1.0
        begin, end = clock.interval(window.begin, window.end)
        weights[(middles >= begin) & (middles < end), row] = 1.0
    weights /= np.maximum(weights.sum(0), 1.0)
    return Batch(x, activity, np.array([window.label for window in windows], np.int64), weights)


@dataclass(frozen=True)
class _Clock:
    """Where times of a sequence lie in a window that was stretched about its middle."""

    first: float
    middle: float
    speed: float

    def interval(self, begin: float, end: float) -> tuple[float, float]:
        ends = [(t - self.first - self.middle) * self.speed + self.middle for t in (begin, end)]
        return min(ends), max(ends)


def _expressions(
    index: int, sequence: FaceSequence, hops: int, rng: np.random.Generator
) -> list[Window]:
    spans = sorted(sequence.spans, key=lambda s: s.onset)
    windows = []
    for i, span in enumerate(spans):
        before = max([0.0, *(s.offset for s in spans[:i])])
        after = min([float(sequence.hops), *(s.onset for s in spans[i + 1 :])])
        if span.onset < before or span.offset > after:
            continue  # cut by the border of the recording, or overlapped by another expression
        length = min(span.offset - span.onset, 0.7 * hops)
        first = math.floor(span.onset - rng.uniform(0.15, 0.85) * (hops - length))
        begin, end = max(before, first), min(after, first + hops)
        windows.append(Window(index, first, begin, end, span))
    return windows


def _at_most(hops: int, begin: float, end: float, rng: np.random.Generator) -> tuple[float, float]:
    """A part of `[begin, end)` no longer than `hops`."""
    spare = max(end - begin - hops, 0.0)
    begin += rng.uniform(0, 1) * spare
    return begin, min(end, begin + hops)


def _events(sequence: FaceSequence, first: int, hops: int) -> np.ndarray:
    """`(N, 4)` float64 rows hop, y, x, polarity; a count of n gives n rows."""
    cells = sequence.cells
    begin, end = np.searchsorted(cells["hop"], [max(first, 0), max(first + hops, 0)])
    part = np.repeat(cells[begin:end], cells["count"][begin:end])
    events = np.empty((part.size, 4))
    events[:, 0] = part["hop"].astype(np.float64) - first
    events[:, 1], events[:, 2], events[:, 3] = part["y"], part["x"], part["p"]
    return events


def _augmented(
    sequence: FaceSequence,
    window: Window,
    hops: int,
    rng: np.random.Generator,
    augment: AugmentConfig,
) -> tuple[np.ndarray, _Clock]:
    rate = float(np.exp(rng.uniform(-1, 1) * np.log1p(augment.rate)))
    # A faster playback needs more of the recording to fill the window.
    margin = int(np.ceil(hops * max(rate - 1.0, 0.0) / 2)) + 1
    events = _events(sequence, window.first - margin, hops + 2 * margin)
    events = events[rng.random(len(events)) >= rng.uniform(0, augment.drop)]
    events[:, :3] += rng.random((len(events), 3))
    backwards = rng.random() < augment.reverse
    clock = _Clock(window.first, hops / 2, -1.0 / rate if backwards else 1.0 / rate)
    events[:, 0] = (events[:, 0] - margin - clock.middle) * clock.speed + clock.middle
    if backwards:
        events[:, 3] = 1 - events[:, 3]
    _move(events, sequence.size, rng, augment)
    # Most windows get little noise, a few get much.
    noise = rng.uniform(0, 1) ** 2 * augment.noise * hops * sequence.size[0] * sequence.size[1]
    extra = rng.random((rng.poisson(noise), 4)) * (hops, *sequence.size, 2)
    return np.concatenate([events, extra]), clock


def _move(
    events: np.ndarray, size: tuple[int, int], rng: np.random.Generator, augment: AugmentConfig
) -> None:
    """Scale, turn, mirror and shift the positions of fresh `events` in place."""
    angle = rng.uniform(-1, 1) * augment.rotation
    scale = np.exp(rng.uniform(-1, 1, 2) * augment.scale * (1.0, 0.4))
    shift = rng.uniform(-1, 1, 2) * augment.shift_px * size[0] / 128
    y, x = events[:, 1] - size[0] / 2, events[:, 2] - size[1] / 2
    if rng.random() < augment.mirror:
        x = -x
    x, y = x * scale[0] * scale[1], y * scale[0] / scale[1]
    events[:, 1] = np.cos(angle) * y - np.sin(angle) * x + size[0] / 2 + shift[0]
    events[:, 2] = np.sin(angle) * y + np.cos(angle) * x + size[1] / 2 + shift[1]


def _histogram(events: np.ndarray, hops: int, size: tuple[int, int], pool: int) -> np.ndarray:
    height, width = size[0] // pool, size[1] // pool
    hop, y, x, p = np.floor(events).astype(np.int64).T
    inside = (hop >= 0) & (hop < hops) & (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    place = ((hop * 2 + p) * height + y // pool) * width + x // pool
    counts = np.bincount(place[inside], minlength=hops * 2 * height * width)
    return np.minimum(counts, 255).astype(np.uint8).reshape(hops, 2, height, width)
