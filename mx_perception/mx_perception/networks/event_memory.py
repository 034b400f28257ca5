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


def seen_over_clip(
    x: Tensor,
    taps: int,
    decay: float,
    first: int,
    every: int,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`seen` of the hops first, first + every, ... of a clip, `(N, B, K * P, h, w)`.

    `x (T, B, P, h, w)` counts, at most 255; the same values as `remember` hop by hop, and much
    faster on a CPU, where they lie in memory as `channels_last` wants them. With `dtype` bfloat16
    they are as exact: levels are small integers.
    """
    hops, batch, polarities, height, width = x.shape
    kept = len(range(first, hops, every))
    if x.device.type != "cpu":
        memory, rows = x.new_zeros(batch, taps, polarities, height, width, dtype=torch.float32), []
        for hop in range(hops):
            memory = remember(x[hop].float(), memory, decay)
            if hop >= first and (hop - first) % every == 0:
                rows.append(seen(memory))
        return torch.stack(rows).to(dtype)
    half = dtype == torch.bfloat16
    out = np.empty((kept, batch, height * width, taps * polarities), np.uint16 if half else "f4")
    counts = x.contiguous().numpy().reshape(hops, batch, polarities, -1)
    _fill(counts, taps, np.float32(decay), np.float32(1.0 - decay), first, every, out)
    levels = torch.from_numpy(out)
    if half:
        levels = levels.view(torch.bfloat16)
    return levels.unflatten(2, (height, width)).permute(0, 1, 4, 2, 3)


BLOCK = 512
"""Cells that go through time together: they stay in the cache."""


@njit(cache=True, parallel=True, error_model="numpy")
def _fill(x, taps, decay, follow, first, every, out):  # type: ignore[no-untyped-def]
    hops, batch, polarities, cells = x.shape
    for face in prange(batch):
        memory = np.empty((polarities, taps, BLOCK), np.float32)
        levels = np.empty(BLOCK, np.float32)
        bits = levels.view(np.uint32)
        for begin in range(0, cells, BLOCK):
            count = min(BLOCK, cells - begin)
            memory[:] = 0
            for hop in range(hops):
                for p in range(polarities):
                    for k in range(taps - 1, 0, -1):
                        for i in range(count):
                            memory[p, k, i] = memory[p, k, i] * decay + memory[p, k - 1, i] * follow
                    for i in range(count):
                        memory[p, 0, i] = memory[p, 0, i] * decay + np.float32(
                            x[hop, face, p, begin + i]
                        )
                if hop < first or (hop - first) % every:
                    continue
                row = out[(hop - first) // every, face]
                for p in range(polarities):
                    for k in range(taps):
                        _roots(memory[p, k], levels)
                        channel = k * polarities + p
                        for i in range(count):
                            # The upper half of a float is its bfloat16.
                            if out.itemsize == 2:
                                row[begin + i, channel] = bits[i] >> np.uint32(16)
                            else:
                                row[begin + i, channel] = levels[i]


@njit(cache=True, error_model="numpy")
def _roots(values, levels):  # type: ignore[no-untyped-def]
    """As `seen`: rounded roots, with the last bit mended."""
    per = np.float32(LEVELS)
    for i in range(len(values)):
        level = np.floor(np.sqrt(values[i]) * per + np.float32(0.5))
        lower = max(level - np.float32(0.5), np.float32(0)) / per
        upper = (level + np.float32(0.5)) / per
        less = np.float32(1) if lower * lower > values[i] else np.float32(0)
        more = np.float32(1) if upper * upper <= values[i] else np.float32(0)
        levels[i] = level - less + more
