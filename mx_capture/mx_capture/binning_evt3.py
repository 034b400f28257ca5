"""One pass from EVT3 words to the histograms of faces, without events in between.

What makes it fast is written down in docs/decoding.md. `_run` takes the words that streams are
made of; whatever is rare, odd or not yet known goes through `_step`, word by word.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture import binning, layout
from mx_capture.binning import (
    BEFORE,
    BEYOND,
    IN_WINDOW,
    TABLE_SIZE,
    add_rare,
    count,
    is_rare,
    place_of,
)
from mx_capture.codecs import compiler, decoder, evt3
from mx_capture.codecs.compiler import bit_count, source_stamp, trailing_zeros, unlikely
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
from mx_capture.layout import BESIDE, DROPPED, LATE, ON_TIME, OUT_OF_RANGE, WIDTH

_SOURCE = source_stamp(
    binning.__file__, layout.__file__, decoder.__file__, evt3.__file__, compiler.__file__
)
_U = np.uint64
_SIDE = _U(MAX_SIDE_PX)
# Ranges of whole words, and the codes of a VECT_12, VECT_12, VECT_8 group in three 16-bit lanes.
_KIND = _U(0x1000)
_X_WORDS, _LOW_WORDS, _BASE_WORDS = ADDR_X * _KIND, TIME_LOW * _KIND, VECT_BASE_X * _KIND
_GROUP_CODES, _GROUP = _U(0xF000F000F000), _U(0x500040004000)
_GROUP_LANES = _U(32)


@njit
def _run(words, first, state, counts, window, columns, rows, row_cells, cells, tallies):
    """Take the words that streams are made of, as long as time rises within the bin.

    Must be called in the window and with the state fully known. Returns the next word: one of
    another kind, a TIME_LOW that leaves the bin or steps back, or one of the last four, which
    are left over so that a group of vectors needs no test of the length.
    """
    n, base, now, row = _U(len(words)), state[BASE], state[NOW], state[ROW]
    _, low, span, shift = place_of(now, window)
    end = low + span
    table = _U(rows[row]) * TABLE_SIZE
    in_vectors = beside = _U(0)
    i, last = _U(first), n - min(n, _U(4))
    while i < last:
        word = _U(words[i])
        if word - _X_WORDS < _KIND:
            address = word & _U(0xFFF)
            entry = _U(columns[table + address])
            count(entry, row, shift, row_cells, cells, tallies)
            if is_rare(entry):
                beside += add_rare(
                    entry, address, row, shift, columns, rows, row_cells, cells, tallies
                )
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
            table = _U(rows[row]) * TABLE_SIZE
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
                entry = _U(columns[table + lane])
                count(entry, row, shift, row_cells, cells, tallies)
                if is_rare(entry):
                    beside += add_rare(
                        entry, lane, row, shift, columns, rows, row_cells, cells, tallies
                    )
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
    tallies[ON_TIME] += n_x + in_vectors - beside
    tallies[OUT_OF_RANGE] += beside
    return i


@njit
def _count_kinds(words, first, end):
    """How many of `words[first:end]` are ADDR_X, ADDR_Y and TIME_LOW; faster than along the way."""
    n_x = n_y = n_time = np.uint32(0)
    for i in range(first, end):
        code = words[i] & np.uint16(0xF000)
        n_x += np.uint32(code == np.uint16(0x2000))
        n_y += np.uint32(code == np.uint16(0))
        n_time += np.uint32(code == np.uint16(0x6000))
    return _U(n_x), _U(n_y), _U(n_time)


@njit
def _bin_mask(mask, column, sign, state, window, columns, rows, row_cells, cells, tallies):
    """Count the events at `column` + each set bit of `mask`.

    False, with nothing counted, if there are any on the sensor and their time is beyond the window.
    """
    row, width = state[ROW], window[WIDTH]
    place, _, _, shift = place_of(state[NOW], window)
    table = _U(rows[row])
    inside = mask
    if table == _U(BESIDE) or column >= width:
        inside = _U(0)
    elif column + _U(12) > width:
        inside = mask & ((_U(1) << (width - column)) - _U(1))
    if inside and place == BEYOND:
        return False
    tallies[OUT_OF_RANGE] += bit_count(mask ^ inside)
    if place == BEFORE:
        tallies[LATE] += bit_count(inside)
        return True
    tallies[ON_TIME] += bit_count(inside)
    while inside:
        address = (sign << _U(11)) + column + trailing_zeros(inside)
        inside &= inside - _U(1)
        entry = _U(columns[table * TABLE_SIZE + address])
        count(entry, row, shift, row_cells, cells, tallies)
        if is_rare(entry):
            add_rare(entry, address, row, shift, columns, rows, row_cells, cells, tallies)
    return True


@njit
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


def _compile_bin_evt3(source):
    @njit(cache=True, nogil=True)
    def bin_evt3(
        words, first, state, counts, window, columns, rows, row_cells, cells, tallies, triggers
    ):
        """Count the events of `words[first:]` in `cells`.

        Returns (next word, time, whether the time is known, trigger edges written). The next word
        is behind the last one, or the first one with events beyond the window, or a trigger for
        which `triggers` has no room.
        """
        _ = source
        n, n_edges, i = _U(len(words)), _U(0), _U(first)
        while i < n:
            place, _, _, _ = place_of(state[NOW], window)
            if place == IN_WINDOW and state[KNOWN] & EVENT_KNOWN == EVENT_KNOWN:
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

    return bin_evt3


bin_evt3 = _compile_bin_evt3(_SOURCE)
