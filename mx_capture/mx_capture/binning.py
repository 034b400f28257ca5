"""The two loops from events to event histograms, both without a branch for an event's place.

`bin_evt3` goes from EVT3 words to cells in one pass, without events in between; `bin_events`
does the same for decoded events of any encoding. Both stop in front of the first event at or
behind the end of the window, so that the caller can close it.
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
    bit_count,
    next_base,
    vector_lanes,
)
from mx_capture.layout import (
    AFTER,
    BINS,
    CELL,
    COLUMN_BITS,
    DROPPED,
    EARLIEST,
    END,
    FIRST_FACE,
    FULL,
    LATE,
    MAX_CROP_PX,
    NOTHING,
    OUT_OF_RANGE,
    PLANE,
    REPEATED,
    START,
)

_U = np.uint64
_BITS, _SIDE = _U(COLUMN_BITS), _U(MAX_SIDE_PX)
_COLUMN_MASK = _U(MAX_CROP_PX - 1)
_LATE_ENTRY = _U(2 * LATE)
_IN_WINDOW, _BEFORE, _BEYOND = _U(0), _U(1), _U(2)


@njit(cache=True)
def _place(now, window):
    """Where `now` lies: (in window, before or beyond; first time and length of what is alike;
    cells by which its bin is shifted)."""
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


@njit(cache=True)
def _table_of(row, place, rows):
    """The table for events of `row` that lie at `place`."""
    table = _U(rows[row])
    if place != _IN_WINDOW and table != _U(OUT_OF_RANGE):
        return _U(LATE)
    return table


@njit(cache=True)
def _start_row(row, shift, plane, row_cells, slots):
    """Set where the row starts in each face's histogram, for both polarities."""
    for face in range(_U(len(row_cells)) // _SIDE):
        cell = _U(row_cells[_U(face) * _SIDE + row]) + shift
        slot = _U(CELL + 2 * FIRST_FACE) + _U(2) * _U(face)
        slots[slot] = cell
        slots[slot + _U(1)] = cell + plane


@njit(cache=True)
def _add(entry, sign, slots, cells):
    """Count one event where its entry says."""
    slot = (entry >> _BITS) + sign
    cell = slots[_U(CELL) + slot] + (entry & _COLUMN_MASK)
    held = _U(cells[cell])
    full = _U(held == _U(255))
    cells[cell] = held + _U(1) - full
    slots[slot] += _U(1)
    slots[_U(FULL) + slot] += full


@njit(cache=True)
def _add_overlapping(table, column, sign, slots, cells, columns, rows):
    """Count one event once more for each further face that it lies in."""
    while table:
        entry = _U(columns[table * _SIDE + column])
        if entry != _U(NOTHING):
            _add(entry, sign, slots, cells)
            slots[_U(2 * REPEATED) + sign] += _U(1)
        table = _U(rows[_U(AFTER) + table])


@njit(cache=True, nogil=True)
def bin_evt3(words, first, state, counts, window, slots, columns, rows, row_cells, cells, triggers):
    """Count the events of `words[first:]` in `cells`.

    Returns (next word, time, whether the time is known, trigger edges written). The next word is
    behind the last one, or the first one that has events at or beyond the end of the window (or
    before its EARLIEST), or a trigger for which `triggers` has no room.
    """
    n = _U(len(words))
    base, now, known = state[BASE], state[NOW], state[KNOWN]
    row, vector, polarity = state[ROW], state[VECTOR], state[POLARITY]
    plane = window[PLANE]
    n_time = n_y = n_x = n_vector = n_edges = n_other = backward = _U(0)
    place, low, span, shift = _place(now, window)
    table = _table_of(row, place, rows) if known & EVENT_KNOWN == EVENT_KNOWN else _U(DROPPED)
    offset, after = table * _SIDE, _U(rows[_U(AFTER) + table])
    _start_row(row, shift, plane, row_cells, slots)
    i = first
    while i < n:
        word = _U(words[i])
        code, payload = word >> _U(12), word & _U(0xFFF)
        moved = False
        if code == ADDR_X:
            column, sign = payload & _U(0x7FF), payload >> _U(11)
            entry = _U(columns[offset + column])
            if place == _BEYOND and entry >> _BITS == _LATE_ENTRY:
                break
            n_x += _U(1)
            _add(entry, sign, slots, cells)
            if after:
                _add_overlapping(after, column, sign, slots, cells, columns, rows)
        elif code == ADDR_Y:
            n_y += _U(1)
            row = payload & _U(0x7FF)
            known |= ROW_KNOWN
            moved = True
        elif code == TIME_LOW:
            n_time += _U(1)
            if known & HIGH_KNOWN:
                backward += _U(base + payload < now)
                now = base + payload
                moved = not known & LOW_KNOWN
                known |= LOW_KNOWN
        elif vector_lanes(code):
            lanes = vector_lanes(code)
            mask = payload & ((_U(1) << lanes) - _U(1))
            if vector + lanes > _SIDE or not known & VECTOR_KNOWN:
                # Beyond every table, or the base was sent before the stream was joined.
                slot = OUT_OF_RANGE if known & VECTOR_KNOWN else DROPPED
                if known & EVENT_KNOWN != EVENT_KNOWN:
                    slot = DROPPED
                inside = _U(0)
                if slot == OUT_OF_RANGE and vector < _SIDE:
                    inside = mask & ((_U(1) << (_SIDE - vector)) - _U(1))
                slots[_U(2 * slot) + polarity] += bit_count(mask & ~inside)
                mask = inside
            column, rest = vector, mask
            if place == _BEYOND:
                while rest:
                    if rest & _U(1) and _U(columns[offset + column]) >> _BITS == _LATE_ENTRY:
                        break
                    rest >>= _U(1)
                    column += _U(1)
                if rest:
                    break
            n_vector += _U(1)
            column, rest = vector, mask
            while rest:
                if rest & _U(1):
                    _add(_U(columns[offset + column]), polarity, slots, cells)
                    if after:
                        _add_overlapping(after, column, polarity, slots, cells, columns, rows)
                rest >>= _U(1)
                column += _U(1)
            vector += lanes
        elif code == VECT_BASE_X:
            n_vector += _U(1)
            vector, polarity = payload & _U(0x7FF), payload >> _U(11)
            known |= VECTOR_KNOWN
        elif code == TIME_HIGH:
            n_time += _U(1)
            if not known & HIGH_KNOWN or payload != (base >> _U(12)) & _U(0xFFF):
                base = next_base(payload, base, counts)
                now = base
                known |= HIGH_KNOWN
        elif code == EXT_TRIGGER:
            if known & TIME_KNOWN == TIME_KNOWN:
                if n_edges == _U(len(triggers)):
                    break
                edge = triggers[n_edges]
                edge.t, edge.id, edge.edge = now, payload >> _U(8), payload & _U(1)
                n_edges += _U(1)
            counts[N_TRIGGER_WORDS] += _U(1)
        else:
            n_other += _U(1)
        i += _U(1)
        if now - low >= span:
            place, low, span, shift = _place(now, window)
            moved = True
        if moved and known & EVENT_KNOWN == EVENT_KNOWN:
            table = _table_of(row, place, rows)
            offset, after = table * _SIDE, _U(rows[_U(AFTER) + table])
            _start_row(row, shift, plane, row_cells, slots)
    state[BASE], state[NOW], state[KNOWN] = base, now, known
    state[ROW], state[VECTOR], state[POLARITY] = row, vector, polarity
    counts[N_TIME] += n_time
    counts[N_Y] += n_y
    counts[N_X] += n_x
    counts[N_VECTOR] += n_vector
    counts[N_IGNORED] += n_other
    counts[N_BACKWARD] += backward
    counts[N_TRIGGERS] += n_edges
    return i, now, known & TIME_KNOWN == TIME_KNOWN, n_edges


@njit(cache=True, nogil=True)
def bin_events(events, first, window, slots, columns, rows, row_cells, cells):
    """Count `events[first:]`, `(n,) EVENT_DTYPE`, in `cells`; returns the next event, as above."""
    plane = window[PLANE]
    place, low, span, shift = _place(_U(0), window)
    for i in range(first, len(events)):
        event = events[i]
        now, row = _U(event.t), _U(event.y)
        column, sign = _U(event.x), _U(event.p)
        if now - low >= span:
            place, low, span, shift = _place(now, window)
        if place == _BEYOND:
            return i
        table = _table_of(row, place, rows)
        _start_row(row, shift, plane, row_cells, slots)
        _add(_U(columns[table * _SIDE + column]), sign, slots, cells)
        after = _U(rows[_U(AFTER) + table])
        if after:
            _add_overlapping(after, column, sign, slots, cells, columns, rows)
    return len(events)
