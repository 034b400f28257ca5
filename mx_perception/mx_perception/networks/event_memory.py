"""What the spiking network sees: the last tenths of a second, as a cascade of leaky integrators.

A gamma memory (de Vries and Principe 1992) per pixel and polarity: its first tap gathers what
happens now, each further one follows the tap before. With a decay of 0.8 and hops of 10 ms, tap k
shows what happened about 50 (k + 1) ms ago. The square root makes the noise of counts alike at all
rates (Anscombe 1948); rounding to small integers keeps the sums of the convolution behind it exact,
so that every runtime fires the very same spikes.
"""

from __future__ import annotations

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

LEVELS = 4
"""Levels per square root of an event."""


def remember(x: Tensor, taps: Tensor, decay: float) -> Tensor:
    """The taps `(F, K, P, h, w)` after a hop with the counts `x (F, P, h, w)`."""
    before = torch.cat([x[:, None], taps[:, :-1] * (1.0 - decay)], 1)
    return taps * decay + before


def seen(taps: Tensor) -> Tensor:
    """Taps as the input of the first convolution, `(F, K * P, h, w)`: rounded roots."""
    level = torch.floor(torch.sqrt(taps) * LEVELS + 0.5)
    # Runtimes differ in the last bit of a root. Squares of levels are exact, so these mend it.
    lower, upper = (level - 0.5).clamp(min=0.0) / LEVELS, (level + 0.5) / LEVELS
    level = level - (lower * lower > taps).float() + (upper * upper <= taps).float()
    return level.flatten(1, 2)


def seen_over_clip(x: Tensor, taps: int, decay: float, first: int, every: int) -> Tensor:
    """`seen` of the hops first, first + every, ... of a clip, `(N, B, K * P, h, w)`.

    `x (T, B, P, h, w)` counts, at most 255; the same values as `remember` hop by hop, and much
    faster on a CPU.
    """
    hops, batch, polarities, height, width = x.shape
    kept = len(range(first, hops, every))
    if x.device.type != "cpu":
        memory, rows = x.new_zeros(batch, taps, polarities, height, width), []
        for hop in range(hops):
            memory = remember(x[hop], memory, decay)
            if hop >= first and (hop - first) % every == 0:
                rows.append(seen(memory))
        return torch.stack(rows)
    out = np.empty((kept, batch, taps, polarities * height * width), np.float32)
    counts = x.contiguous().numpy().reshape(hops, batch, -1)
    _fill(counts, np.float32(decay), np.float32(1.0 - decay), first, every, out)
    return torch.from_numpy(out).view(kept, batch, taps * polarities, height, width)


@njit(cache=True, parallel=True, error_model="numpy")
def _fill(x, decay, follow, first, every, out):  # type: ignore[no-untyped-def]
    hops, batch, cells = x.shape
    taps = out.shape[2]
    for face in prange(batch):
        memory = np.zeros((taps, cells), np.float32)
        for hop in range(hops):
            for k in range(taps - 1, 0, -1):
                for i in range(cells):
                    memory[k, i] = memory[k, i] * decay + memory[k - 1, i] * follow
            for i in range(cells):
                memory[0, i] = memory[0, i] * decay + x[hop, face, i]
            if hop >= first and (hop - first) % every == 0:
                row = out[(hop - first) // every, face]
                for k in range(taps):
                    for i in range(cells):
                        root = np.sqrt(memory[k, i]) * np.float32(LEVELS)
                        level = np.floor(root + np.float32(0.5))
                        lower = max(level - np.float32(0.5), np.float32(0)) / np.float32(LEVELS)
                        upper = (level + np.float32(0.5)) / np.float32(LEVELS)
                        if lower * lower > memory[k, i]:
                            level -= np.float32(1)
                        if upper * upper <= memory[k, i]:
                            level += np.float32(1)
                        row[k, i] = level
