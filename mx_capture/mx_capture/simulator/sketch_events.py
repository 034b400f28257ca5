"""The kernel of sketches: composed images through a simple event sensor into counts of a crop."""

from __future__ import annotations

import numpy as np
from numba import njit

CROP, PICTURE = 128, 64
CELL_DTYPE = np.dtype([("hop", "<u4"), ("x", "u1"), ("y", "u1"), ("p", "u1"), ("count", "u1")])
"""A pixel of a hop that is not empty."""


@njit(cache=True, fastmath=True, error_model="numpy")
def compose(base, changes, left, index, share, out):
    """The sum of a base and the changes to it, each with its share on either side."""
    height, width = base.shape
    for y in range(height):
        for x in range(width):
            out[y, x] = base[y, x]
    for k in range(len(index)):
        if index[k] < 0:
            break
        change = changes[index[k]]
        right, gain = share[k, 0], share[k, 1] - share[k, 0]
        for y in range(height):
            for x in range(width):
                out[y, x] += change[y, x] * (right + gain * left[y, x])


@njit(cache=True, fastmath=True, error_model="numpy")
def warp(image, cover, background, inverse, x0, y0, out):
    """The image seen by pixels from (x0, y0) on, before the background, into `out`."""
    height, width = image.shape
    one = np.float32(1)
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            x, y = np.float32(x0 + column) + np.float32(0.5), np.float32(y0 + row) + np.float32(0.5)
            u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] - np.float32(0.5)
            v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] - np.float32(0.5)
            u = min(max(u, np.float32(0)), np.float32(width) - np.float32(1.001))
            v = min(max(v, np.float32(0)), np.float32(height) - np.float32(1.001))
            i, j = int(v), int(u)
            fv, fu = v - np.float32(i), u - np.float32(j)
            a, b = (one - fv) * (one - fu), (one - fv) * fu
            c, d = fv * (one - fu), fv * fu
            seen = (
                a * image[i, j] + b * image[i, j + 1]
                + c * image[i + 1, j] + d * image[i + 1, j + 1]
            )  # fmt: skip
            solid = (
                a * cover[i, j] + b * cover[i, j + 1]
                + c * cover[i + 1, j] + d * cover[i + 1, j + 1]
            )  # fmt: skip
            light = seen + (one - solid) * background[y0 + row, x0 + column]
            out[row, column] = max(light, np.float32(0))


@njit(cache=True, error_model="numpy")
def look(
    base, cover, changes, background, left, index, share, maps, log_gain, dark, bandwidth,
    thresholds, phase, leak, pieces, roi, noise_hop, noise_pixel, noise_polarity, frame_steps,
):  # fmt: skip
    """Cells of all hops, sorted by hop, and the linear crops `(m, 64, 64)` at `frame_steps`."""
    height, width = base.shape
    x0, x1 = max(int(np.floor(roi[0])), 0), min(int(np.ceil(roi[0] + roi[2])), width)
    y0, y1 = max(int(np.floor(roi[1])), 0), min(int(np.ceil(roi[1] + roi[3])), height)
    composed = np.empty((height, width), np.float32)
    seen = np.empty((y1 - y0, x1 - x0), np.float32)
    level, memory = np.zeros_like(seen), np.zeros_like(seen)
    counts = np.zeros((2, CROP, CROP), np.uint8)
    out = np.empty(1 << 16, CELL_DTYPE)
    used = 0
    pictures = np.zeros((len(frame_steps), PICTURE, PICTURE), np.float32)
    weights = np.zeros((PICTURE, PICTURE), np.float32)
    frame, noise = 0, 0
    cell_x = np.empty(x1 - x0, np.int64)
    cell_y = np.empty(y1 - y0, np.int64)
    for column in range(x1 - x0):
        cell_x[column] = int(np.floor((x0 + column + 0.5 - roi[0]) * CROP / roi[2]))
    for row in range(y1 - y0):
        cell_y[row] = int(np.floor((y0 + row + 0.5 - roi[1]) * CROP / roi[3]))
    for step in range(len(maps)):
        compose(base, changes, left, index[step], share[step], composed)
        warp(composed, cover, background, maps[step], x0, y0, seen)
        while frame < len(frame_steps) and frame_steps[frame] == step:
            _picture(seen, cell_x, cell_y, np.exp(log_gain[step]), weights, pictures[frame])
            frame += 1
        for row in range(y1 - y0):
            for column in range(x1 - x0):
                light = seen[row, column]
                target = np.log(light + dark) + log_gain[step]
                on = thresholds[0, y0 + row, x0 + column]
                off = thresholds[1, y0 + row, x0 + column]
                if step == 0:
                    level[row, column] = target
                    start = phase[y0 + row, x0 + column] * (on + off) - on
                    memory[row, column] = target + start
                    continue
                if bandwidth > 0:
                    speed = bandwidth * max(light, np.float32(0.01))
                    level[row, column] += (target - level[row, column]) * speed / (1 + speed)
                else:
                    level[row, column] = target
                memory[row, column] -= leak
                gap = level[row, column] - memory[row, column]
                if -off < gap < on:
                    continue
                polarity = 1 if gap > 0 else 0
                threshold = on if gap > 0 else off
                number = int(abs(gap) / threshold)
                memory[row, column] += number * threshold * (1 if gap > 0 else -1)
                x, y = cell_x[column], cell_y[row]
                if 0 <= x < CROP and 0 <= y < CROP:
                    counts[polarity, y, x] = min(counts[polarity, y, x] + number, 255)
        if step == 0 or step % pieces:
            continue
        hop = step // pieces - 1
        while noise < len(noise_hop) and noise_hop[noise] == hop:
            column = noise_pixel[noise] % width - x0
            row = noise_pixel[noise] // width - y0
            if 0 <= column < x1 - x0 and 0 <= row < y1 - y0:
                x, y = cell_x[column], cell_y[row]
                if 0 <= x < CROP and 0 <= y < CROP and counts[noise_polarity[noise], y, x] < 255:
                    counts[noise_polarity[noise], y, x] += 1
            noise += 1
        for p in range(2):
            for y in range(CROP):
                for x in range(CROP):
                    if counts[p, y, x] == 0:
                        continue
                    if used == len(out):
                        longer = np.empty(2 * len(out), CELL_DTYPE)
                        longer[:used] = out
                        out = longer
                    out[used].hop, out[used].p = hop, p
                    out[used].x, out[used].y = x, y
                    out[used].count = counts[p, y, x]
                    used += 1
                    counts[p, y, x] = 0
    return out[:used], pictures


@njit(cache=True, error_model="numpy")
def _picture(seen, cell_x, cell_y, gain, weights, out):
    weights[:] = 0
    for row in range(len(cell_y)):
        y = cell_y[row] // 2
        if not 0 <= y < PICTURE:
            continue
        for column in range(len(cell_x)):
            x = cell_x[column] // 2
            if 0 <= x < PICTURE:
                out[y, x] += seen[row, column] * gain
                weights[y, x] += np.float32(1)
    last = np.float32(0)
    for y in range(PICTURE):
        for x in range(PICTURE):
            # A cell without a pixel of its own repeats its neighbour.
            if weights[y, x] > 0:
                out[y, x] /= weights[y, x]
                last = out[y, x]
            else:
                out[y, x] = last
