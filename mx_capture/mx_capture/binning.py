"""The two loops from events to event histograms.

`bin_evt3` goes from EVT3 words to cells in one pass, without events in between; `bin_events`
does the same for decoded events of any encoding. Both stop in front of the first event at or
behind the end of the window (or before its earliest time), so that the caller can close it.

What makes the pass over the words fast is written down in docs/decoding.md.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture.codecs.decoder import MAX_SIDE_PX
from mx_capture.codecs.evt3 import (
    ADDR_X,
    ADDR_Y,
    BASE,
    EVENT_KNOWN,
    EXT_TRIGGER,
    HIGH_KNOWN,
    KNOWN,
    LOW_KNOWN,
    N_BACKWARD,
    N_IGNORED,
    N_TIME,
    N_TRIGGER_WORDS,
    N_TRIGGERS,
    N_VECTOR,
    N_X,
    N_Y,
    NOW,
    POLARITY,
    ROW,
    ROW_KNOWN,
    TIME_HIGH,
    TIME_KNOWN,
    TIME_LOW,
    VECT_BASE_X,
    VECTOR,
    VECTOR_KNOWN,
    next_base,
    vector_lanes,
)
from mx_capture.codecs.intrinsics import bit_count, trailing_zeros, unlikely
from mx_capture.layout import (
    AFTER,
    BESIDE,
    BINS,
    DROPPED,
    EARLIEST,
    END,
    FULL,
    FURTHER,
    LATE,
    MAX_CROP_PX,
    ON_TIME,
    OUT_OF_RANGE,
    PLACE_SHIFT,
    PLANE,
    REPEATED,
    SPREAD,
    START,
    WIDTH,
)

_U = np.uint64
_SHIFT, _SIDE, _TABLE = _U(PLACE_SHIFT), _U(MAX_SIDE_PX), _U(2 * MAX_SIDE_PX)
_ROWS_PER_PLACE = _U(MAX_SIDE_PX >> PLACE_SHIFT)
_COLUMN_MASK, _PLACE_MASK, _FURTHER = _U(MAX_CROP_PX - 1), _U(31 << PLACE_SHIFT), _U(FURTHER)
_FIRST_FACE, _ON_SENSOR = _U(2 << PLACE_SHIFT), _U(SPREAD)
_IN_WINDOW, _BEFORE, _BEYOND = _U(0), _U(1), _U(2)
# Ranges of whole words, and the codes of a VECT_12, VECT_12, VECT_8 group in three 16-bit lanes.
_KIND = _U(0x1000)
_X_WORDS, _LOW_WORDS, _BASE_WORDS = ADDR_X * _KIND, TIME_LOW * _KIND, VECT_BASE_X * _KIND
_GROUP_CODES, _GROUP = _U(0xF000F000F000), _U(0x500040004000)
_GROUP_LANES = _U(32)


@njit(cache=True)
def _place(now, window):
    """Where `now` lies: in the window, before or beyond it; the first time and the length of what
    is alike; and by how many cells its bin is shifted."""
    start, end = window[START], window[END]
    if now >= end:
        return _BEYOND, end, ~_U(0) - end, _U(0)
    if now < window[EARLIEST]:
        return _BEYOND, _U(0), window[EARLIEST], _U(0)
    if now < start:
        return _BEFORE, window[EARLIEST], start - window[EARLIEST], _U(0)
    bins, length = window[BINS], end - start
    index = (now - start) * bins // length
    low = start + (index * length + bins - _U(1)) // bins
    high = start + ((index + _U(1)) * length + bins - _U(1)) // bins
    return _IN_WINDOW, low, high - low, index * _U(2) * window[PLANE]


@njit(cache=True, forceinline=True)
def _count(entry, row, shift, row_cells, cells, tallies):
    """Count one event where its entry says, `shift` cells on for its time bin."""
    place = entry & _PLACE_MASK
    cell = _U(row_cells[place * _ROWS_PER_PLACE + row]) + (entry & _COLUMN_MASK) + shift
    held = cells[cell]
    cells[cell] = held + np.uint8(1)
    if unlikely(held == np.uint8(255)):
        cells[cell] = held if place >= _FIRST_FACE else np.uint8(0)
        tallies[_U(FULL) + (place >> _SHIFT)] += _U(1)


@njit(cache=True, forceinline=True)
def _add(address, table, row, shift, columns, rows, row_cells, cells, tallies):
    """Count one event at `address`, its polarity and column, in every face that it lies in.

    The caller adds it to the tally ON_TIME; this moves it on if it lies beside the sensor.
    """
    entry = _U(columns[table + address])
    _count(entry, row, shift, row_cells, cells, tallies)
    if unlikely(entry - _ON_SENSOR >= _FURTHER - _ON_SENSOR):
        if entry < _ON_SENSOR:
            tallies[ON_TIME] -= _U(1)
            tallies[OUT_OF_RANGE] += _U(1)
            return
        further = _U(rows[_U(AFTER) + _U(rows[row])])
        while further:
            entry = _U(columns[further * _TABLE + address])
            if entry < _FIRST_FACE:
                break
            _count(entry, row, shift, row_cells, cells, tallies)
            tallies[REPEATED] += _U(1)
            further = _U(rows[_U(AFTER) + further])


@njit(cache=True)
def _run(words, first, state, counts, window, columns, rows, row_cells, cells, tallies):
    """Take the words that streams are made of, as long as time rises within the bin.

    Must be called in the window and with the state fully known. Returns the next word: one of
    another kind, a TIME_LOW that leaves the bin or steps back, or one of the last four, which
    are left over so that a group of vectors needs no test of the length.
    """
    n, base, now, row = _U(len(words)), state[BASE], state[NOW], state[ROW]
    _, low, span, shift = _place(now, window)
    end = low + span
    table = _U(rows[row]) * _TABLE
    in_vectors = _U(0)
    i, last = _U(first), n - min(n, _U(4))
    while i < last:
        word = _U(words[i])
        if word - _X_WORDS < _KIND:
            address = word & _U(0xFFF)
            _add(address, table, row, shift, columns, rows, row_cells, cells, tallies)
            i += _U(1)
            continue
        # Whether a time comes before the next row is a coin toss: a branch would be mispredicted.
        is_time = _U(word - _LOW_WORDS < _KIND)
        then = now ^ ((now ^ (base + (word & _U(0xFFF)))) & (_U(0) - is_time))
        if unlikely(then - now >= end - now):
            break
        now = then
        i += is_time
        word = _U(words[i])
        if word < _KIND:  # ADDR_Y
            row = word & _U(0x7FF)
            table = _U(rows[row]) * _TABLE
            i += _U(1)
        elif word - _BASE_WORDS < _KIND:
            group = _U(words[i + _U(1)])
            group |= _U(words[i + _U(2)]) << _U(16)
            group |= _U(words[i + _U(3)]) << _U(32)
            address = word & _U(0xFFF)
            column = word & _U(0x7FF)
            if unlikely(group & _GROUP_CODES != _GROUP or column > _SIDE - _GROUP_LANES):
                break
            mask = group & _U(0xFFF) | (group >> _U(4)) & _U(0xFFF000)
            mask |= (group >> _U(8)) & _U(0xFF000000)
            in_vectors += bit_count(mask)
            while mask:
                lane = address + trailing_zeros(mask)
                mask &= mask - _U(1)
                _add(lane, table, row, shift, columns, rows, row_cells, cells, tallies)
            state[KNOWN] |= VECTOR_KNOWN
            state[VECTOR], state[POLARITY] = column + _GROUP_LANES, address >> _U(11)
            i += _U(4)
        elif not is_time:
            break
    state[NOW], state[ROW] = now, row
    n_x, n_y, n_time = _count_kinds(words, _U(first), i)
    counts[N_TIME] += n_time
    counts[N_Y] += n_y
    counts[N_X] += n_x
    counts[N_VECTOR] += i - _U(first) - n_x - n_y - n_time
    tallies[ON_TIME] += n_x + in_vectors
    return i


@njit(cache=True)
def _count_kinds(words, first, end):
    """How many of `words[first:end]` are ADDR_X, ADDR_Y and TIME_LOW; faster than along the way."""
    n_x = n_y = n_time = np.uint32(0)
    for i in range(first, end):
        code = words[i] & np.uint16(0xF000)
        n_x += np.uint32(code == np.uint16(0x2000))
        n_y += np.uint32(code == np.uint16(0))
        n_time += np.uint32(code == np.uint16(0x6000))
    return _U(n_x), _U(n_y), _U(n_time)


@njit(cache=True)
def _bin_mask(mask, column, sign, state, window, columns, rows, row_cells, cells, tallies):
    """Count the events at `column` + each set bit of `mask`.

    False, with nothing counted, if there are any on the sensor and their time is beyond the window.
    """
    row, width = state[ROW], window[WIDTH]
    place, _, _, shift = _place(state[NOW], window)
    table = _U(rows[row])
    inside = mask
    if table == _U(BESIDE) or column >= width:
        inside = _U(0)
    elif column + _U(12) > width:
        inside = mask & ((_U(1) << (width - column)) - _U(1))
    if inside and place == _BEYOND:
        return False
    tallies[OUT_OF_RANGE] += bit_count(mask ^ inside)
    if place == _BEFORE:
        tallies[LATE] += bit_count(inside)
        return True
    tallies[ON_TIME] += bit_count(inside)
    while inside:
        address = (sign << _U(11)) + column + trailing_zeros(inside)
        inside &= inside - _U(1)
        _add(address, table * _TABLE, row, shift, columns, rows, row_cells, cells, tallies)
    return True


@njit(cache=True)
def _step(word, state, counts, window, columns, rows, row_cells, cells, tallies):
    """Take one word of any kind; False, with nothing taken, if its events are beyond the window."""
    code, payload = word >> _U(12), word & _U(0xFFF)
    known, base, lanes = state[KNOWN], state[BASE], vector_lanes(code)
    if code == ADDR_X or lanes:
        if lanes:
            needed, column, sign = EVENT_KNOWN | VECTOR_KNOWN, state[VECTOR], state[POLARITY]
            mask = payload & ((_U(1) << lanes) - _U(1))
        else:
            needed, column, sign = EVENT_KNOWN, payload & _U(0x7FF), payload >> _U(11)
            mask = _U(1)
        if known & needed != needed:
            tallies[DROPPED] += bit_count(mask)
        elif not _bin_mask(
            mask, column, sign, state, window, columns, rows, row_cells, cells, tallies
        ):
            return False
        state[VECTOR] += lanes
        counts[N_VECTOR if lanes else N_X] += _U(1)
    elif code == ADDR_Y:
        state[ROW] = payload & _U(0x7FF)
        state[KNOWN] |= ROW_KNOWN
        counts[N_Y] += _U(1)
    elif code == TIME_LOW:
        if known & HIGH_KNOWN:
            counts[N_BACKWARD] += _U(base + payload < state[NOW])
            state[NOW] = base + payload
            state[KNOWN] |= LOW_KNOWN
        counts[N_TIME] += _U(1)
    elif code == TIME_HIGH:
        if not known & HIGH_KNOWN or payload != (base >> _U(12)) & _U(0xFFF):
            state[BASE] = state[NOW] = next_base(payload, base, counts)
            state[KNOWN] |= HIGH_KNOWN
        counts[N_TIME] += _U(1)
    elif code == VECT_BASE_X:
        state[VECTOR], state[POLARITY] = payload & _U(0x7FF), payload >> _U(11)
        state[KNOWN] |= VECTOR_KNOWN
        counts[N_VECTOR] += _U(1)
    elif code == EXT_TRIGGER:
        counts[N_TRIGGER_WORDS] += _U(1)
    else:
        counts[N_IGNORED] += _U(1)
    return True


@njit(cache=True, nogil=True)
def bin_evt3(
    words, first, state, counts, window, columns, rows, row_cells, cells, tallies, triggers
):
    """Count the events of `words[first:]` in `cells`.

    Returns (next word, time, whether the time is known, trigger edges written). The next word is
    behind the last one, or the first one with events beyond the window, or a trigger for which
    `triggers` has no room.
    """
    n, n_edges, i = _U(len(words)), _U(0), _U(first)
    while i < n:
        place, _, _, _ = _place(state[NOW], window)
        if place == _IN_WINDOW and state[KNOWN] & EVENT_KNOWN == EVENT_KNOWN:
            i = _run(words, i, state, counts, window, columns, rows, row_cells, cells, tallies)
            if i == n:
                break
        word = _U(words[i])
        if word >> _U(12) == EXT_TRIGGER and state[KNOWN] & TIME_KNOWN == TIME_KNOWN:
            if n_edges == _U(len(triggers)):
                break
            edge = triggers[n_edges]
            edge.t, edge.id, edge.edge = state[NOW], (word >> _U(8)) & _U(0xF), word & _U(1)
            n_edges += _U(1)
        if not _step(word, state, counts, window, columns, rows, row_cells, cells, tallies):
            break
        i += _U(1)
    counts[N_TRIGGERS] += n_edges
    return i, state[NOW], state[KNOWN] & TIME_KNOWN == TIME_KNOWN, n_edges


@njit(cache=True, nogil=True)
def bin_events(events, first, window, columns, rows, row_cells, cells, tallies):
    """Count `events[first:]`, `(n,) EVENT_DTYPE` on the sensor; returns the next, as above."""
    n = _U(len(events))
    place, low, span, shift = _place(_U(0), window)
    late, i = _U(0), _U(first)
    while i < n:
        event = events[i]
        now, row = _U(event.t), _U(event.y)
        if now - low >= span:
            place, low, span, shift = _place(now, window)
        if place == _BEYOND:
            break
        if place == _BEFORE:
            late += _U(1)
        else:
            address = (_U(event.p) << _U(11)) + _U(event.x)
            table = _U(rows[row]) * _TABLE
            _add(address, table, row, shift, columns, rows, row_cells, cells, tallies)
        i += _U(1)
    tallies[LATE] += late
    tallies[ON_TIME] += i - _U(first) - late
    return i


@njit(cache=True)
def count_faces(cells, faces, tallies):
    """For each of `faces` histograms, `(F, 2) int64`: events, and those on full cells."""
    counts = np.zeros((faces, 2), np.int64)
    for face in range(faces):
        full = tallies[FULL + 2 * face + 2] + tallies[FULL + 2 * face + 3]
        size = _U(len(cells) // faces)
        total = full
        for i in range(_U(face) * size, (_U(face) + _U(1)) * size):
            total += _U(cells[i])
        counts[face, 0], counts[face, 1] = total, full
    return counts
