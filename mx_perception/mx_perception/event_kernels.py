"""The arithmetic of `event_driven`: what changes at the input, who fires, and what is read.

Sums of weights are exact in any order (see `AuNetwork.deployed`), and those functions say
`fastmath`, so that the compiler may choose. Everything else is in the order of the network itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEVELS = np.float32(4)
"""Levels per square root of an event, as in `networks/event_memory.py`."""
_HALF, _ONE, _NOTHING = np.float32(0.5), np.float32(1), np.float32(0)
_FORGOTTEN = np.float32(1e-20)
"""Far below what shows; processors are slow with the smallest floats."""


@njit(cache=True, error_model="numpy")
def look(x, pool, limit, decay, follow, memory, new, levels, inputs, places, values):  # type: ignore[no-untyped-def]
    """Step the `memory (K, h * w * P)` by a hop `x (P, H, W)`.

    Brings `levels` up to date and returns how many changed, with their places in the input of the
    first layer (`inputs` has them of all), and by how much. `new` is room for levels.
    """
    _remember(_pooled(x, pool), np.float32(limit), decay, follow, memory)
    _see(memory.ravel(), new)
    count, whole = 0, len(levels) // 8
    new_words, words = new[: 8 * whole].view(np.uint64), levels[: 8 * whole].view(np.uint64)
    for word in range(whole + 1):
        if word < whole and new_words[word] == words[word]:
            continue
        for i in range(8 * word, min(8 * word + 8, len(levels))):
            if new[i] != levels[i]:
                places[count] = inputs[i]
                values[count] = np.float32(new[i]) - np.float32(levels[i])
                levels[i] = new[i]
                count += 1
    return count


@njit(cache=True, error_model="numpy")
def _pooled(x, pool):  # type: ignore[no-untyped-def]
    """Sums of squares of pixels, `(h * w * P,) float32`; most pixels have no event."""
    polarities, height, width = x.shape
    rows, columns = height // pool, width // pool
    pooled = np.zeros(rows * columns * polarities, np.float32)
    pixels = x.ravel()
    words = pixels[: len(pixels) // 8 * 8].view(np.uint64)
    for word in range(len(words) + 1):
        if word < len(words) and words[word] == 0:
            continue
        for i in range(8 * word, min(8 * word + 8, len(pixels))):
            if pixels[i]:
                line, column = divmod(i, width)
                p, y = divmod(line, height)
                if y < rows * pool and column < columns * pool:
                    pooled[(y // pool * columns + column // pool) * polarities + p] += pixels[i]
    return pooled


@njit(cache=True, error_model="numpy")
def _remember(pooled, limit, decay, follow, memory):  # type: ignore[no-untyped-def]
    """As `event_memory.remember`."""
    for k in range(len(memory) - 1, 0, -1):
        tap, before = memory[k], memory[k - 1]
        for i in range(len(tap)):
            value = tap[i] * decay + before[i] * follow
            tap[i] = value if value > _FORGOTTEN else _NOTHING
    first = memory[0]
    for i in range(len(first)):
        value = first[i] * decay + (pooled[i] if pooled[i] < limit else limit)
        first[i] = value if value > _FORGOTTEN else _NOTHING


@njit(cache=True, error_model="numpy")
def _see(values, levels):  # type: ignore[no-untyped-def]
    """As `event_memory.seen`."""
    for i in range(len(values)):
        value = values[i]
        level = np.floor(np.sqrt(value) * LEVELS + _HALF)
        lower = level - _HALF
        lower = (lower if lower > _NOTHING else _NOTHING) / LEVELS
        upper = (level + _HALF) / LEVELS
        less = _ONE if lower * lower > value else _NOTHING
        more = _ONE if upper * upper <= value else _NOTHING
        levels[i] = np.uint8(np.int32(level - less + more))


@njit(cache=True, error_model="numpy", fastmath=True)
def add(places, values, weight, stride, padding, rows, columns, current):  # type: ignore[no-untyped-def]
    """Add to `current (h, w, C)` what the inputs at `places` of `(h_in, w_in, C_in)` cause.

    `weight (C_in, K, K, C)`; `rows (2, h_in)` and `columns (2, w_in)` are the first and the last
    place, plus one, of the output that a place of the input reaches.
    """
    channels_in, side, _, channels = weight.shape
    width = current.shape[1]
    weights, totals = weight.ravel(), current.ravel()
    for n in range(len(places)):
        cell, channel = divmod(places[n], channels_in)
        y, x = divmod(cell, columns.shape[1])
        for row in range(rows[0, y], rows[1, y]):
            line = (channel * side + y + padding - row * stride) * side + x + padding
            for column in range(columns[0, x], columns[1, x]):
                one = np.uint64((line - column * stride) * channels)
                to = np.uint64((row * width + column) * channels)
                for c in range(np.uint64(channels)):
                    totals[to + c] += values[n] * weights[one + c]


@njit(cache=True, error_model="numpy")
def fire(current, beta, threshold, mem, places):  # type: ignore[no-untyped-def]
    """Step neurons `mem (h, w, C)`; returns how many of them fire, with their places."""
    height, width, channels = mem.shape
    count = 0
    for y in range(height):
        for x in range(width):
            first = (y * width + x) * channels
            for c in range(channels):
                before = mem[y, x, c]
                reset = threshold[c] if before > threshold[c] else _NOTHING
                mem[y, x, c] = beta[c] * before + current[y, x, c] - reset
            for c in range(channels):
                places[count] = first + c
                count += mem[y, x, c] > threshold[c]
    return count


@njit(cache=True, error_model="numpy", fastmath=True)
def _add_rows(places, weight, total):  # type: ignore[no-untyped-def]
    """Four rows of `weight (N, C)` at a time: one by one, each would wait for memory."""
    whole = len(places) // 4 * 4
    for n in range(0, whole, 4):
        one, two = weight[places[n]], weight[places[n + 1]]
        three, four = weight[places[n + 2]], weight[places[n + 3]]
        for c in range(len(total)):
            total[c] += (one[c] + two[c]) + (three[c] + four[c])
    for n in range(whole, len(places)):
        for c in range(len(total)):
            total[c] += weight[places[n], c]


@njit(cache=True, error_model="numpy")
def integrate(places, weight, bias, beta, mem):  # type: ignore[no-untyped-def]
    """Step the integrators `mem (C,)` by the spikes at `places`."""
    total = bias.copy()
    _add_rows(places, weight, total)
    for c in range(len(mem)):
        mem[c] = beta[c] * mem[c] + total[c]


@njit(cache=True, error_model="numpy")
def read(hidden, turn, heads, bias):  # type: ignore[no-untyped-def]
    """`bias + heads (C, N)` of the mean over phases, that of `turn` first; in one order always."""
    phases, out = len(hidden), bias.copy()
    for c in range(hidden.shape[1]):
        total = _NOTHING
        for n in range(phases):
            value = hidden[(turn + n) % phases, c]
            total += value if value > _NOTHING else _NOTHING
        total /= np.float32(phases)
        for head in range(len(out)):
            out[head] += heads[c, head] * total
    return out
