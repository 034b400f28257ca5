"""Windows of sequences as batches: which clips there are, and how they become tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mx_perception.action_units import AU_NUMBERS
from mx_perception.event_views import scatter
from mx_perception.pictures import PICTURE_CHANNELS, pictures
from mx_perception.sequences import FaceSequence, Span, free_around
from mx_perception.views import AugmentConfig, View, draw_view

MODALITIES = ("events", "rgb", "fused")
EVENT_CHANNELS = 2
NEUTRAL_CLASS = len(AU_NUMBERS)
NO_CLASS = -1
"""Of a clip with several Action Units: it teaches scores, not the class."""
NEUTRAL_HOPS = 24
"""Pauses shorter than this are no neutral clips."""
WARM_UP = 48
"""Hops before a window that settle the membranes and are not scored: a stream never starts from
rest, and a network that has only seen windows from rest takes a settled state for a sign."""
MICRO_HOPS = 51
"""Micro-expressions last at most half a second (Yan et al. 2013)."""


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

    `x (T, B, P, H, W) uint8`, pooled as the network pools; `activity (T, B, 14) float32`, 1 from
    onset to offset; `classes (B,)`; `weights (T, B) float32`, each hop's share in the clip, with a
    sum of 1.
    """

    x: np.ndarray
    activity: np.ndarray
    classes: np.ndarray
    weights: np.ndarray

    def every(self, first: int, step: int) -> Batch:
        """The hops first, first + step, ..."""
        weights = self.weights[first::step]
        weights = weights / np.maximum(weights.sum(0), 1e-6)
        return Batch(self.x[first::step], self.activity[first::step], self.classes, weights)

    def after(self, hops: int) -> Batch:
        """Without the first hops."""
        return Batch(self.x[hops:], self.activity[hops:], self.classes, self.weights[hops:])


def clip_windows(
    sequences: Sequence[FaceSequence], hops: int, rng: np.random.Generator, neutral: float = 0.1
) -> list[Window]:
    """One window per expression, and `neutral` of all as many from pauses, whatever is in them.

    Pauses are at least NEUTRAL_HOPS long. They and the place of a clip in its window are drawn
    from `rng`.
    """
    windows: list[Window] = []
    pauses: list[Window] = []
    for index, sequence in enumerate(sequences):
        edge = 0.0
        for span in [*sorted(sequence.spans, key=lambda s: s.onset), None]:
            onset = span.onset if span is not None else float(sequence.hops)
            if onset - edge >= NEUTRAL_HOPS:
                begin, end = _at_most(hops - 1, edge, onset, rng)
                first = math.floor(begin - rng.uniform(0, 1) * (hops - 1 - (end - begin)))
                pauses.append(Window(index, first, begin, end, None))
            edge = max(edge, span.offset) if span is not None else edge
        windows += _expressions(index, sequence, hops, rng)
    most = math.ceil(neutral * len(windows))
    chosen = sorted(rng.permutation(len(pauses))[:most].tolist())
    return windows + [pauses[i] for i in chosen]


def render(
    sequences: Sequence[FaceSequence],
    windows: Sequence[Window],
    hops: int,
    size: tuple[int, int],
    modality: str = "events",
    rng: np.random.Generator | None = None,
    augment: AugmentConfig | None = None,
    warm_up: int = 0,
) -> Batch:
    """Make a batch at the network's `size`. Without `augment` it is exactly what is stored.

    The `warm_up` hops that come before each window come first, and have no weight.
    """
    middle = warm_up + hops / 2
    hops += warm_up
    x = np.zeros((hops, len(windows), channels(modality), *size), np.uint8)
    activity = np.zeros((hops, len(windows), len(AU_NUMBERS)), np.float32)
    weights = np.zeros((hops, len(windows)), np.float32)
    middles = np.arange(hops) + 0.5
    for row, window in enumerate(windows):
        sequence = sequences[window.sequence]
        view = View(window.first - warm_up)
        if augment is not None and rng is not None:
            view = draw_view(window.first - warm_up, middle, sequence.size, rng, augment)
        if modality != "rgb":
            x[:, row, :EVENT_CHANNELS] = _events(sequence, view, hops, size, rng, augment)
        if modality != "events":
            x[:, row, -PICTURE_CHANNELS:] = pictures(sequence, view, hops, size)
        for span in sequence.spans:
            onset, offset = view.interval(span.onset, span.offset)
            for number in span.au:
                inside = (middles >= onset) & (middles < offset)
                activity[inside, row, AU_NUMBERS.index(number)] = 1.0
        begin, end = view.interval(window.begin, window.end)
        weights[(middles >= max(begin, warm_up)) & (middles < end), row] = 1.0
    weights /= np.maximum(weights.sum(0), 1.0)
    return Batch(x, activity, np.array([window.label for window in windows], np.int64), weights)


def channels(modality: str) -> int:
    """Input channels of a modality of MODALITIES."""
    return {
        "events": EVENT_CHANNELS,
        "rgb": PICTURE_CHANNELS,
        "fused": EVENT_CHANNELS + PICTURE_CHANNELS,
    }[modality]


def _expressions(
    index: int, sequence: FaceSequence, hops: int, rng: np.random.Generator
) -> list[Window]:
    spans = sorted(sequence.spans, key=lambda s: s.onset)
    windows = []
    for i, span in enumerate(spans):
        before, after = free_around(spans, i, sequence.hops)
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


def _events(
    sequence: FaceSequence,
    view: View,
    hops: int,
    size: tuple[int, int],
    rng: np.random.Generator | None,
    augment: AugmentConfig | None,
) -> np.ndarray:
    """Counts, `(hops, 2, *size) uint8`."""
    first, last = view.sources(hops)
    begin, end = np.searchsorted(sequence.cells["hop"], [max(first, 0), max(last, 0)])
    drop, noise, seed = 0.0, 0, 0
    if augment is not None and rng is not None:
        drop = rng.uniform(0, augment.drop)
        # Most windows get little noise, a few get much.
        mean = rng.uniform(0, 1) ** 2 * augment.noise * hops * sequence.size[0] * sequence.size[1]
        noise, seed = int(rng.poisson(mean)), int(rng.integers(1, 2**63))
    counts = np.zeros((hops, 2, *size), np.uint8)
    scatter(
        sequence.cells[begin:end], view.first, view.middle, view.speed, view.matrix, sequence.size,
        drop, noise, np.uint64(seed), counts,
    )  # fmt: skip
    return counts
