"""Counting events in the histograms of faces, in one window of time.

Everything here is compiled. Neither of the two loops, over decoded events (`bin_events`) and over
EVT3 words (`binning_evt3.py`), branches on where an event belongs: tables say it (`layout.py`).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture import layout
from mx_capture.codecs import compiler, decoder
from mx_capture.codecs.compiler import source_stamp, unlikely
from mx_capture.codecs.decoder import MAX_SIDE_PX
from mx_capture.layout import (
    AFTER,
    BINS,
    EARLIEST,
    END,
    FULL,
    FURTHER,
    LATE,
    MAX_CROP_PX,
    ON_TIME,
    PLACE_SHIFT,
    PLANE,
    REPEATED,
    SPREAD,
    START,
)

_SOURCE = source_stamp(layout.__file__, decoder.__file__, compiler.__file__)
_U = np.uint64
TABLE_SIZE = _U(2 * MAX_SIDE_PX)
"""Entries of a table of columns."""
IN_WINDOW, BEFORE, BEYOND = _U(0), _U(1), _U(2)

_SHIFT, _ROWS_PER_PLACE = _U(PLACE_SHIFT), _U(MAX_SIDE_PX >> PLACE_SHIFT)
_COLUMN_MASK, _PLACE_MASK, _FURTHER = _U(MAX_CROP_PX - 1), _U(31 << PLACE_SHIFT), _U(FURTHER)
_FIRST_FACE, _ON_SENSOR = _U(2 << PLACE_SHIFT), _U(SPREAD)


@njit
def place_of(now, window):
    """Where `now` lies: in the window, before or beyond it; the first time and the length of what
    is alike; and by how many cells its bin is shifted."""
    start, end = window[START], window[END]
    if now >= end:
        return BEYOND, end, ~_U(0) - end, _U(0)
    if now < window[EARLIEST]:
        return BEYOND, _U(0), window[EARLIEST], _U(0)
    if now < start:
        return BEFORE, window[EARLIEST], start - window[EARLIEST], _U(0)
    bins, length = window[BINS], end - start
    index = (now - start) * bins // length
    low = start + (index * length + bins - _U(1)) // bins
    high = start + ((index + _U(1)) * length + bins - _U(1)) // bins
    return IN_WINDOW, low, high - low, index * _U(2) * window[PLANE]


@njit(forceinline=True)
def count(entry, row, shift, row_cells, cells, tallies):
    """Count one event where its entry says, `shift` cells on for its time bin."""
    place = entry & _PLACE_MASK
    cell = _U(row_cells[place * _ROWS_PER_PLACE + row]) + (entry & _COLUMN_MASK) + shift
    held = cells[cell]
    cells[cell] = held + np.uint8(1)
    if unlikely(held == np.uint8(255)):
        cells[cell] = held if place >= _FIRST_FACE else np.uint8(0)
        tallies[_U(FULL) + (place >> _SHIFT)] += _U(1)


@njit(forceinline=True)
def is_rare(entry):
    """Whether an event with this entry lies beside the sensor or in several faces."""
    return unlikely(entry - _ON_SENSOR >= _FURTHER - _ON_SENSOR)


@njit
def add_rare(entry, address, row, shift, columns, rows, row_cells, cells, tallies):
    """After `count`, count an event in the further faces that it lies in.

    Returns 1 if it lies in none because it is beside the sensor, else 0.
    """
    if entry < _ON_SENSOR:
        return _U(1)
    table = _U(rows[_U(AFTER) + _U(rows[row])])
    while table:
        entry = _U(columns[table * TABLE_SIZE + address])
        if entry < _FIRST_FACE:
            break
        count(entry, row, shift, row_cells, cells, tallies)
        tallies[REPEATED] += _U(1)
        table = _U(rows[_U(AFTER) + table])
    return _U(0)


def _compile_bin_events(source):
    @njit(cache=True, nogil=True)
    def bin_events(events, first, window, columns, rows, row_cells, cells, tallies):
        """Count `events[first:]`, `(n,) EVENT_DTYPE` on the sensor, in `cells`.

        Returns the next index: behind the last event, or of the first one beyond the window.
        """
        _ = source
        n = _U(len(events))
        place, low, span, shift = place_of(_U(0), window)
        late, i = _U(0), _U(first)
        while i < n:
            event = events[i]
            now, row = _U(event.t), _U(event.y)
            if now - low >= span:
                place, low, span, shift = place_of(now, window)
            if place == BEYOND:
                break
            if place == BEFORE:
                late += _U(1)
            else:
                address = (_U(event.p) << _U(11)) + _U(event.x)
                table = _U(rows[row]) * TABLE_SIZE
                entry = _U(columns[table + address])
                count(entry, row, shift, row_cells, cells, tallies)
                if is_rare(entry):
                    add_rare(entry, address, row, shift, columns, rows, row_cells, cells, tallies)
            i += _U(1)
        tallies[LATE] += late
        tallies[ON_TIME] += i - _U(first) - late
        return i

    return bin_events


bin_events = _compile_bin_events(_SOURCE)


def _compile_count_faces(source):
    @njit(cache=True)
    def count_faces(cells, faces, tallies):
        """For each of `faces` histograms, `(F, 2) int64`: events, and those on full cells."""
        _ = source
        counts = np.zeros((faces, 2), np.int64)
        for face in range(faces):
            full = tallies[FULL + 2 * face + 2] + tallies[FULL + 2 * face + 3]
            size = _U(len(cells) // faces)
            total = full
            for i in range(_U(face) * size, (_U(face) + _U(1)) * size):
                total += _U(cells[i])
            counts[face, 0], counts[face, 1] = total, full
        return counts

    return count_faces


count_faces = _compile_count_faces(_SOURCE)


@njit(cache=True, nogil=True)
def count_pixels(events, start, counts):
    """Add the events from `start` on to `counts`, `(H, W) uint32`; returns how many they are."""
    added = 0
    for event in events:
        if event.t >= start:
            counts[event.y, event.x] += np.uint32(1)
            added += 1
    return added
