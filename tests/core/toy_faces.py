"""Toy sequences: each Action Unit is a patch at its own place, ON going out and OFF coming back."""

from __future__ import annotations

import numpy as np
from mx_perception.action_units import AU_NUMBERS
from mx_perception.sequences import CELL_DTYPE, FaceSequence, Span

HOPS = 720
HOPS_PER_EXPRESSION = 40


def _cells(hop: np.ndarray, y: np.ndarray, x: np.ndarray, p: np.ndarray) -> np.ndarray:
    cells = np.ones(hop.size, CELL_DTYPE)
    cells["hop"], cells["y"], cells["x"], cells["p"] = hop, y, x, p
    return cells


def toy_sequence(subject: str, seed: int, noise_per_hop: int = 100) -> FaceSequence:
    """Every Action Unit once, then rest; 128 x 128, hops of 10 ms, deterministic in `seed`."""
    rng = np.random.default_rng(seed)
    count = HOPS * noise_per_hop
    parts = [
        _cells(
            rng.integers(0, HOPS, count),
            rng.integers(0, 128, count),
            rng.integers(0, 128, count),
            rng.integers(0, 2, count),
        )
    ]
    spans = []
    for index, au in enumerate(AU_NUMBERS):
        onset = 20 + index * HOPS_PER_EXPRESSION + int(rng.integers(0, 8))
        length = int(rng.integers(16, 28))
        apex = onset + length // 2
        hop = np.repeat(np.arange(onset, onset + length), 60)
        y = 24 + index // 4 * 27 + rng.integers(-3, 3, hop.size)
        x = 24 + index % 4 * 27 + rng.integers(-8, 8, hop.size)
        parts.append(_cells(hop, y, x, hop < apex))
        spans.append(Span((au,), (0.5,), float(onset), float(apex), float(onset + length)))
    cells, counts = np.unique(np.concatenate(parts), return_counts=True)
    cells["count"] = counts
    no_frames = np.zeros((0, 1, 1), np.uint8), np.zeros(0, np.int64)
    return FaceSequence(
        subject, subject, "toy", HOPS, 10_000, (128, 128), cells, tuple(spans), *no_frames
    )
