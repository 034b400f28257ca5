"""Windows of sequences as batches, with the augmentations that are right for events.

An expression played backwards is an expression whose events have the other polarity: reversing
time and swapping polarity go together. Mirroring left and right leaves every Action Unit what it
is. Positions move as coordinates, with a random place inside the pixel, so that nothing is
interpolated; counts stay counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mx_capture.config import Config, setting

from mx_perception.action_units import AU_NUMBERS
from mx_perception.sequences import FaceSequence, Span

NEUTRAL_CLASS = len(AU_NUMBERS)
NO_CLASS = -1
"""Of a window with several Action Units: it teaches scores, not the class."""


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
    """`hops` hops from `first` of a sequence; `span` is the one it was cut for, if any."""

    sequence: int
    first: int
    span: Span | None


@dataclass(frozen=True)
class Batch:
    """`x (T, B, 2, H/pool, W/pool) uint8`, `activity (T, B, 14) float32` 0 or 1, `classes (B,)`."""

    x: np.ndarray
    activity: np.ndarray
    classes: np.ndarray


def clip_windows(
    sequences: Sequence[FaceSequence], hops: int, rng: np.random.Generator, neutral: int = 1
) -> list[Window]:
    """One window per span with the span inside, and `neutral` windows per sequence without any.

    The place of the span in its window is drawn from `rng`.
    """
    windows = []
    for index, sequence in enumerate(sequences):
        for span in sequence.spans:
            length = span.offset - span.onset
            room = max(hops - length, 0.0)
            first = round(span.onset - rng.uniform(0.15, 0.85) * room)
            windows.append(Window(index, first, span))
        for _ in range(neutral):
            free = _free_start(sequence, hops, rng)
            if free is not None:
                windows.append(Window(index, free, None))
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
    classes = np.empty(len(windows), np.int64)
    for row, window in enumerate(windows):
        sequence = sequences[window.sequence]
        spans = [(s.au, s.onset - window.first, s.offset - window.first) for s in sequence.spans]
        if augment is None or rng is None:
            events = _events(sequence, window.first, hops)
        else:
            events, spans = _augmented(sequence, window, spans, hops, rng, augment)
        x[:, row] = _histogram(events, hops, sequence.size, pool)
        activity[:, row] = _activity(spans, hops)
        classes[row] = _class(spans, hops)
    return Batch(x, activity, classes)


_Spans = list[tuple[tuple[int, ...], float, float]]


def _free_start(sequence: FaceSequence, hops: int, rng: np.random.Generator) -> int | None:
    starts: np.ndarray = np.arange(0, max(sequence.hops - hops, 0) + 1)
    for span in sequence.spans:
        starts = starts[(starts + hops <= span.onset) | (starts >= span.offset)]
    return int(rng.choice(starts)) if starts.size else None


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
    spans: _Spans,
    hops: int,
    rng: np.random.Generator,
    augment: AugmentConfig,
) -> tuple[np.ndarray, _Spans]:
    rate = float(np.exp(rng.uniform(-1, 1) * np.log1p(augment.rate)))
    # A faster playback needs more of the recording to fill the window.
    margin = int(np.ceil(hops * max(rate - 1.0, 0.0) / 2)) + 1
    events = _events(sequence, window.first - margin, hops + 2 * margin)
    events = events[rng.random(len(events)) >= rng.uniform(0, augment.drop)]
    events[:, :3] += rng.random((len(events), 3))
    middle = hops / 2
    backwards = rng.random() < augment.reverse
    speed = -1.0 / rate if backwards else 1.0 / rate
    events[:, 0] = (events[:, 0] - margin - middle) * speed + middle
    turned = []
    for au, onset, offset in spans:
        ends = [(time - middle) * speed + middle for time in (onset, offset)]
        turned.append((au, min(ends), max(ends)))
    if backwards:
        events[:, 3] = 1 - events[:, 3]
    _move(events, sequence.size, rng, augment)
    noise = rng.poisson(
        rng.uniform(0, augment.noise) ** 2
        / max(augment.noise, 1e-9)
        * hops
        * sequence.size[0]
        * sequence.size[1]
    )
    extra = rng.random((noise, 4)) * (hops, *sequence.size, 2)
    return np.concatenate([events, extra]), turned


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


def _activity(spans: _Spans, hops: int) -> np.ndarray:
    """1 while the middle of a hop lies between onset and offset, `(hops, 14)`."""
    activity = np.zeros((hops, len(AU_NUMBERS)), np.float32)
    middles = np.arange(hops) + 0.5
    for au, onset, offset in spans:
        inside = (middles >= onset) & (middles < offset)
        for number in au:
            activity[inside, AU_NUMBERS.index(number)] = 1.0
    return activity


def _class(spans: _Spans, hops: int) -> int:
    """The Action Unit of which the window shows the larger part; NO_CLASS for several."""
    seen: set[int] = set()
    part = False
    for au, onset, offset in spans:
        share = (min(offset, hops) - max(onset, 0.0)) / max(offset - onset, 1e-9)
        if share >= 0.5:
            seen.update(au)
        elif share > 0:
            part = True
    if not seen:
        return NO_CLASS if part else NEUTRAL_CLASS
    return AU_NUMBERS.index(seen.pop()) if len(seen) == 1 else NO_CLASS
