"""The kernel that shows a window the events of its sequence, as its view moves them."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, error_model="numpy")
def scatter(cells, first, middle, speed, matrix, crop, drop, noise, seed, counts):  # type: ignore[no-untyped-def]
    """Add the events of `cells` to `counts (hops, 2, h, w) uint8`, up to 255 each.

    The view (`first`, `middle`, `speed`, `matrix`, see views.View) says where an event goes; a
    negative speed swaps polarities. `crop` is the (height, width) of the crop. With a `seed` each
    event lies anywhere inside its pixel and hop, the share `drop` is left out, and `noise` events
    are added; with 0 it lies in their middle, and the result is exact.
    """
    hops, _, height, width = counts.shape
    rows, columns = height / crop[0], width / crop[1]
    state = np.uint64(seed)
    dt = dy = dx = 0.5
    for i in range(len(cells)):
        cell = cells[i]
        p = 1 - cell.p if speed < 0 else cell.p
        for _ in range(cell.count):
            if seed != 0:
                state, chance = _uniform(state)
                if chance < drop:
                    continue
                state, dt = _uniform(state)
                state, dy = _uniform(state)
                state, dx = _uniform(state)
            hop = int(np.floor((cell.hop + dt - first - middle) * speed + middle))
            if not 0 <= hop < hops:
                continue
            y, x = cell.y + dy, cell.x + dx
            row = int(np.floor((matrix[0, 0] * y + matrix[0, 1] * x + matrix[0, 2]) * rows))
            column = int(np.floor((matrix[1, 0] * y + matrix[1, 1] * x + matrix[1, 2]) * columns))
            if 0 <= row < height and 0 <= column < width and counts[hop, p, row, column] < 255:
                counts[hop, p, row, column] += 1
    for _ in range(noise):
        state, dt = _uniform(state)
        state, dy = _uniform(state)
        state, dx = _uniform(state)
        state, chance = _uniform(state)
        hop, row, column = int(dt * hops), int(dy * height), int(dx * width)
        p = 1 if chance < 0.5 else 0
        if counts[hop, p, row, column] < 255:
            counts[hop, p, row, column] += 1


@njit(cache=True)
def _uniform(state):  # type: ignore[no-untyped-def]
    """The next state of xorshift64* (Vigna 2016), and a number in [0, 1)."""
    state ^= state >> np.uint64(12)
    state ^= state << np.uint64(25)
    state ^= state >> np.uint64(27)
    value = (state * np.uint64(0x2545F4914F6CDD1D)) >> np.uint64(40)
    return state, float(value) * (1.0 / 16777216.0)
