"""Writes EVT3, as a sensor would: for the simulator, for files and for tests."""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture.errors import MxError

_U = np.uint64
_SPAN = 32  # columns that one BASE + VECT_12 + VECT_12 + VECT_8 covers
_DENSE = 5  # events in a span from which four vector words are shorter than single ones
_LONGEST_STEP = 2047  # of TIME_HIGH that a decoder reads as forward


@njit(cache=True)
def _encode(events, vectors, words):
    """Write `events` as EVT3 into `words`; returns the number of words."""
    n = 0
    high = low = row = np.int64(-1)
    i = 0
    while i < len(events):
        t, y, p = events[i].t, events[i].y, events[i].p
        if high != t >> 12:
            if high < 0:
                high = t >> 12
            # Longer silences than half of the range need words in between, or a decoder misses
            # the rollover.
            while high + _LONGEST_STEP < t >> 12:
                high += _LONGEST_STEP
                words[n] = 0x8000 | (high & 0xFFF)
                n += 1
            high, low = t >> 12, np.int64(-1)
            words[n] = 0x8000 | (high & 0xFFF)
            n += 1
        if low != t & 0xFFF:
            low = t & 0xFFF
            words[n] = 0x6000 | low
            n += 1
        if row != y:
            row = np.int64(y)
            words[n] = row
            n += 1
        x = np.int64(events[i].x)
        mask = np.int64(1)
        j = i + 1
        last = x
        while vectors and j < len(events):
            event = events[j]
            column = np.int64(event.x)
            if event.t != t or event.y != y or event.p != p:
                break
            if column <= last or column >= x + _SPAN:
                break
            mask |= 1 << (column - x)
            last = column
            j += 1
        if j - i >= _DENSE:
            words[n] = 0x3000 | (np.int64(p) << 11) | x
            words[n + 1] = 0x4000 | (mask & 0xFFF)
            words[n + 2] = 0x4000 | ((mask >> 12) & 0xFFF)
            words[n + 3] = 0x5000 | (mask >> 24)
            n += 4
            i = j
        else:
            words[n] = 0x2000 | (np.int64(p) << 11) | x
            n += 1
            i += 1
    return n


class Evt3Encoder:
    """Encodes events packet by packet.

    Every packet begins with TIME_HIGH, TIME_LOW and ADDR_Y, so that a decoder may join at each.
    Dense parts of a row (5 events or more in 32 columns, at one time and polarity, in rising
    order) become vectors, unless `vectors` is False.
    """

    encoding = "evt3"

    def __init__(self, height: int, width: int, vectors: bool = True) -> None:
        self.height, self.width, self.vectors = height, width, vectors
        self._last_high: int | None = None

    def encode(self, events: np.ndarray) -> bytes:
        """One packet of `(n,) EVENT_DTYPE` in the order given; times should not fall.

        Times are cut to 24 bits, as a sensor does. Raises MxError for an event outside the
        sensor or before time 0.
        """
        if not len(events):
            return b""
        if events["x"].max() >= self.width or events["y"].max() >= self.height:
            raise MxError(f"cannot encode events outside the sensor of {self.width}x{self.height}")
        if events["t"].min() < 0:
            raise MxError("cannot encode events before time 0; EVT3 has no negative times")
        leading = self._silence(int(events["t"][0]) >> 12)
        highs = np.maximum(np.diff(events["t"]), 0).sum() // (_LONGEST_STEP << 12)
        words = np.empty(len(events) * 4 + int(highs) + 8, np.uint16)
        n = _encode(events, self.vectors, words)
        self._last_high = int(events["t"][-1]) >> 12
        return leading.tobytes() + words[:n].astype("<u2", copy=False).tobytes()

    def _silence(self, high: int) -> np.ndarray:
        """The TIME_HIGH words that lead over a long silence between two packets."""
        if self._last_high is None:
            return np.empty(0, "<u2")
        between = np.arange(self._last_high + _LONGEST_STEP, high, _LONGEST_STEP)
        return (0x8000 | (between & 0xFFF)).astype("<u2")
