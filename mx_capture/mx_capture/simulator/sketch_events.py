"""The kernel of sketches: composed images through a simple event sensor into counts of a crop."""

from __future__ import annotations

import numpy as np
from numba import njit

CROP, PICTURE = 128, 64
_LOG = (0.999981852, -0.499187475, 0.324409640, -0.208664410, 0.100281585, -0.023687057)
"""log(1 + m) / m for 0 <= m <= 1, fitted."""
CELL_DTYPE = np.dtype([("hop", "<u4"), ("x", "u1"), ("y", "u1"), ("p", "u1"), ("count", "u1")])
"""A pixel of a hop that is not empty."""


@njit(cache=True, fastmath=True, error_model="numpy")
def compose(base, changes, left, index, share, rows, columns, out):
    """The sum of a base and the changes to it, each with its share on either side.

    Only `rows` and `columns` (first, last + 1) of `out` are written.
    """
    x0, x1 = columns
    for y in range(rows[0], rows[1]):
        line = out[y, x0:x1]
        line[:] = base[y, x0:x1]
        sides = left[y, x0:x1]
        for k in range(len(index)):
            if index[k] < 0:
                break
            change = changes[index[k], y, x0:x1]
            right, gain = share[k, 0], share[k, 1] - share[k, 0]
            for x in range(len(line)):
                line[x] += change[x] * (right + gain * sides[x])


@njit(cache=True)
def needed(inverse, x0, y0, shape, height, width):
    """Rows and columns of a sketch that `warp` reads for `shape` pixels from (x0, y0) on."""
    low_x, high_x, low_y, high_y = width, 0, height, 0
    for x in (x0, x0 + shape[1]):
        for y in (y0, y0 + shape[0]):
            u = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2]
            v = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2]
            low_x, high_x = min(low_x, int(u) - 2), max(high_x, int(u) + 3)
            low_y, high_y = min(low_y, int(v) - 2), max(high_y, int(v) + 3)
    # What lies outside repeats the border.
    low_x, low_y = min(max(low_x, 0), width - 2), min(max(low_y, 0), height - 2)
    high_x, high_y = max(min(high_x, width), low_x + 2), max(min(high_y, height), low_y + 2)
    return (low_y, high_y), (low_x, high_x)


@njit(cache=True, fastmath=True, error_model="numpy")
def warp(image, cover, background, inverse, x0, y0, out):
    """The image seen by pixels from (x0, y0) on, before the background, into `out`.

    The map is nearly a shift: while it keeps to one row and steps by one column, neighbours are
    read side by side, and the loop over them is one of vectors.
    """
    height, width = image.shape
    half, one = np.float32(0.5), np.float32(1)
    du, dv = inverse[0, 0], inverse[1, 0]
    for row in range(out.shape[0]):
        x, y = np.float32(x0) + half, np.float32(y0 + row) + half
        u0 = du * x + inverse[0, 1] * y + inverse[0, 2] - half
        v0 = dv * x + inverse[1, 1] * y + inverse[1, 2] - half
        behind = background[y0 + row, x0 : x0 + out.shape[1]]
        begin = 0
        while begin < out.shape[1]:
            u, v = u0 + du * np.float32(begin), v0 + dv * np.float32(begin)
            j, i = int(np.floor(u)), int(np.floor(v))
            length = 1
            inside = 0 <= i < height - 1 and 0 <= j < width - 1
            if inside:
                length = min(out.shape[1] - begin, width - 1 - j)
                length = min(length, _steps_within(u - np.float32(j), du - one, length))
                length = min(length, _steps_within(v - np.float32(i), dv, length))
            else:  # what lies outside repeats the border
                u = min(max(u, np.float32(0)), np.float32(width) - np.float32(1.001))
                v = min(max(v, np.float32(0)), np.float32(height) - np.float32(1.001))
                j, i = int(u), int(v)
            fu0, fv0 = u - np.float32(j), v - np.float32(i)
            above, below = image[i, j : j + length + 1], image[i + 1, j : j + length + 1]
            solid_above = cover[i, j : j + length + 1]
            solid_below = cover[i + 1, j : j + length + 1]
            room, seen = behind[begin : begin + length], out[row, begin : begin + length]
            for k in range(length):
                fu = fu0 + (du - one) * np.float32(k)
                fv = fv0 + dv * np.float32(k)
                a, b = (one - fv) * (one - fu), (one - fv) * fu
                c, d = fv * (one - fu), fv * fu
                light = a * above[k] + b * above[k + 1] + c * below[k] + d * below[k + 1]
                solid = (
                    a * solid_above[k] + b * solid_above[k + 1]
                    + c * solid_below[k] + d * solid_below[k + 1]
                )  # fmt: skip
                seen[k] = max(light + (one - solid) * room[k], np.float32(0))
            begin += length


@njit(cache=True, fastmath=True, error_model="numpy")
def _steps_within(place, step, most):
    """How many times `place` (0..1) can be taken, a `step` farther each, before it leaves 0..1."""
    if step > 0:
        return max(1, min(most, int(np.ceil((np.float32(1) - place) / step))))
    if step < 0:
        return max(1, min(most, int(np.floor(-place / step)) + 1))
    return most


@njit(cache=True, fastmath=True, error_model="numpy")
def _settle(seen, dark, log_gain, bandwidth, line, level):
    """Let `level` follow the logarithm of the light, at once where there is no `bandwidth`.

    The logarithm is that of the exponent plus a polynomial of the mantissa, within 1e-5: the
    library's is called pixel by pixel and would cost more than the rest.
    """
    light, power = line[0], line[1]
    bits = light.view(np.int32)
    for row in range(seen.shape[0]):
        for x in range(len(light)):
            light[x] = seen[row, x] + dark
        for x in range(len(light)):
            power[x] = np.float32((bits[x] >> 23) - 127)
            bits[x] = (bits[x] & 0x7FFFFF) | 0x3F800000
        for x in range(len(light)):
            m = light[x] - np.float32(1)
            log = np.float32(_LOG[5])
            for k in range(4, -1, -1):
                log = log * m + np.float32(_LOG[k])
            target = log * m + power[x] * np.float32(0.6931471805599453) + log_gain
            share = np.float32(1)
            if bandwidth > 0:
                speed = bandwidth * max(seen[row, x], np.float32(0.01))
                share = speed / (np.float32(1) + speed)
            level[row, x] += (target - level[row, x]) * share


@njit(cache=True, error_model="numpy")
def look(
    base, cover, changes, background, left, index, share, maps, log_gain, dark, bandwidth,
    thresholds, phase, leak, pieces, roi, noise_hop, noise_pixel, noise_polarity, frame_steps,
):  # fmt: skip
    """Cells of all hops, sorted by hop, and the linear crops `(m, 64, 64)` at `frame_steps`.

    `index`, `share` and `maps` say what is seen at the start and after each hop, `log_gain` how
    bright it is, `pieces` times as often.
    """
    height, width = base.shape
    x0, x1 = max(int(np.floor(roi[0])), 0), min(int(np.ceil(roi[0] + roi[2])), width)
    y0, y1 = max(int(np.floor(roi[1])), 0), min(int(np.ceil(roi[1] + roi[3])), height)
    composed = np.empty((height, width), np.float32)
    seen = np.empty((y1 - y0, x1 - x0), np.float32)
    level, memory = np.zeros_like(seen), np.zeros_like(seen)
    line = np.empty((2, x1 - x0), np.float32)
    counts = np.zeros((2, CROP, CROP), np.uint8)
    filled = np.empty((2 * CROP * CROP, 3), np.uint8)
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
    on, off = thresholds[0, y0:y1, x0:x1], thresholds[1, y0:y1, x0:x1]
    for pose in range(len(maps)):
        rows, columns = needed(maps[pose], x0, y0, seen.shape, height, width)
        compose(base, changes, left, index[pose], share[pose], rows, columns, composed)
        warp(composed, cover, background, maps[pose], x0, y0, seen)
        number = 0
        for step in range(max(pieces * (pose - 1) + 1, 0), pieces * pose + 1):
            while frame < len(frame_steps) and frame_steps[frame] == step:
                _picture(seen, cell_x, cell_y, np.exp(log_gain[step]), weights, pictures[frame])
                frame += 1
            speed = bandwidth if step > 0 else np.float32(0)
            _settle(seen, dark, log_gain[step], speed, line, level)
            if step > 0:
                number = _fire(level, memory, on, off, leak, cell_x, cell_y, counts, filled, number)
        if pose == 0:
            memory[:] = level + phase[y0:y1, x0:x1] * (on + off) - on
            continue
        hop = pose - 1
        while noise < len(noise_hop) and noise_hop[noise] == hop:
            column = noise_pixel[noise] % width - x0
            row = noise_pixel[noise] // width - y0
            if 0 <= column < x1 - x0 and 0 <= row < y1 - y0:
                x, y, p = cell_x[column], cell_y[row], noise_polarity[noise]
                number = _count(counts, filled, number, p, y, x, 1)
            noise += 1
        while used + number > len(out):
            longer = np.empty(2 * len(out), CELL_DTYPE)
            longer[:used] = out[:used]
            out = longer
        for k in range(number):
            p, y, x = filled[k]
            out[used].hop, out[used].p = hop, p
            out[used].x, out[used].y = x, y
            out[used].count = counts[p, y, x]
            used += 1
            counts[p, y, x] = 0
    return out[:used], pictures


@njit(cache=True, error_model="numpy")
def _fire(level, memory, on, off, leak, cell_x, cell_y, counts, filled, number):
    """Count the events of all pixels whose light has left the thresholds about `memory`."""
    leaves = np.empty(level.shape[1], np.bool_)
    for row in range(level.shape[0]):
        now, before, above, below = level[row], memory[row], on[row], off[row]
        some = False
        for x in range(len(now)):
            before[x] -= leak
            gap = now[x] - before[x]
            leaves[x] = (gap >= above[x]) | (gap <= -below[x])
            some |= leaves[x]
        if not some:
            continue
        for x in range(len(now)):
            if not leaves[x]:
                continue
            gap = now[x] - before[x]
            polarity = 1 if gap > 0 else 0
            threshold = above[x] if gap > 0 else below[x]
            events = int(abs(gap) / threshold)
            before[x] += events * threshold * (1 if gap > 0 else -1)
            number = _count(counts, filled, number, polarity, cell_y[row], cell_x[x], events)
    return number


@njit(cache=True, error_model="numpy")
def _count(counts, filled, number, p, y, x, events):
    """Add events to a cell of the crop; `filled` lists the cells that are not empty."""
    if 0 <= x < CROP and 0 <= y < CROP and events:
        if counts[p, y, x] == 0:
            filled[number, 0], filled[number, 1], filled[number, 2] = p, y, x
            number += 1
        counts[p, y, x] = min(counts[p, y, x] + events, 255)
    return number


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
