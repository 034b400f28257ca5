"""`libcaer_cmp`: the 16-bit compressed event stream of the ROS driver for iniVation cameras.

A word holds its kind in bits 15..12 and a payload in bits 11..0:

- 0 TIME_HIGH, 1 TIME_LOW: high and low 12 bits of the time since the packet's `time_base`.
- 2 ADDR_X: column in bits 10..0; no event.
- 3 ADDR_Y: row in bits 10..0, polarity in bit 11; one event.
- 4 VECT_BASE_Y: row and polarity of the vectors that follow.
- 5 VECT_8: bit i is an event at base + i; then the base moves on by 8.
- others: ignored.

The time restarts at `time_base` with every packet; the column carries over. The driver's own
encoder cuts TIME_HIGH to 4 bits, so that it falls from 15 to 0 after 65.5 ms; that fall, which
no sensor makes, is read as the wrap that it is.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture.codecs.compiler import bit_count
from mx_capture.codecs.decoder import Decoder, Payload
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE

_WORD = np.dtype("<u2")
_U = np.uint64
_TIME_HIGH, _TIME_LOW, _ADDR_X, _ADDR_Y = _U(0), _U(1), _U(2), _U(3)
_VECT_BASE_Y, _VECT_8 = _U(4), _U(5)
_COUNT_NAMES = (
    "words_time",
    "words_x",
    "words_y",
    "words_vector",
    "words_ignored",
    "events",
    "out_of_range",
    "dropped_before_time",
    "time_wraps",
)
_N_TIME, _N_X, _N_Y, _N_VECTOR, _N_IGNORED, _N_EVENTS, _N_OUT_OF_RANGE, _N_DROPPED, _N_WRAPS = (
    range(9)
)
# Slots of the state; the column and the vector base are unknown (2**16) at first.
_COLUMN, _VECTOR, _POLARITY = range(3)
_UNKNOWN = _U(1 << 16)
_CUT_RANGE = _U(16)  # values of a TIME_HIGH cut to 4 bits
_DENSE = 3  # events in 8 rows from which two vector words are shorter than single ones


@njit(cache=True)
def _count(words):
    """How many events `words` hold at most."""
    events = _U(0)
    for word in words:
        code, payload = _U(word) >> _U(12), _U(word) & _U(0xFFF)
        if code == _ADDR_Y:
            events += _U(1)
        elif code == _VECT_8:
            events += bit_count(payload & _U(0xFF))
    return events


@njit(cache=True)
def _decode(words, base_us, state, counts, height, width, events):
    """Decode all of `words` into `events`; returns (number written, last time or base_us)."""
    column, vector, polarity = state[_COLUMN], state[_VECTOR], state[_POLARITY]
    high = wrapped = low = _U(0)
    n = _U(0)
    for word in words:
        code, payload = _U(word) >> _U(12), _U(word) & _U(0xFFF)
        is_single = code == _ADDR_Y
        if is_single or code == _VECT_8:
            if is_single:
                counts[_N_Y] += _U(1)
                row, sign, mask = payload & _U(0x7FF), payload >> _U(11), _U(1)
            else:
                counts[_N_VECTOR] += _U(1)
                row, sign, mask = vector, polarity, payload & _U(0xFF)
                if vector < _UNKNOWN:
                    vector = min(vector + _U(8), _UNKNOWN - _U(8))
            for lane in range(_U(8)):
                if not (mask >> _U(lane)) & _U(1):
                    continue
                if column >= _UNKNOWN or row >= _UNKNOWN:
                    counts[_N_DROPPED] += _U(1)
                elif column >= width or row + _U(lane) >= height:
                    counts[_N_OUT_OF_RANGE] += _U(1)
                else:
                    event = events[n]
                    event.t = base_us + (((wrapped + high) << _U(12)) | low)
                    event.x, event.y, event.p = column, row + _U(lane), sign
                    n += _U(1)
        elif code == _ADDR_X:
            counts[_N_X] += _U(1)
            column = payload & _U(0x7FF)
        elif code == _TIME_LOW:
            counts[_N_TIME] += _U(1)
            low = payload
        elif code == _TIME_HIGH:
            counts[_N_TIME] += _U(1)
            if high == _CUT_RANGE - _U(1) and payload == _U(0):
                wrapped += _CUT_RANGE
                counts[_N_WRAPS] += _U(1)
            high = payload
        elif code == _VECT_BASE_Y:
            counts[_N_VECTOR] += _U(1)
            vector, polarity = payload & _U(0x7FF), payload >> _U(11)
        else:
            counts[_N_IGNORED] += _U(1)
    state[_COLUMN], state[_VECTOR], state[_POLARITY] = column, vector, polarity
    counts[_N_EVENTS] += n
    return n, base_us + (((wrapped + high) << _U(12)) | low)


class LibcaerCmpDecoder(Decoder):
    """`libcaer_cmp` words to events; `t` counts from 1970.

    `dropped_before_time` counts events before the column or vector base is known. Further
    counters: `words` and its parts `words_time`, `words_x`, `words_y`, `words_vector`,
    `words_ignored`; `time_wraps` of a TIME_HIGH that was cut to 4 bits.
    """

    encoding = "libcaer_cmp"
    absolute_time = True

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self._state = np.zeros(3, np.uint64)
        self._word_counts = np.zeros(len(_COUNT_NAMES), np.uint64)
        self._now: int | None = None
        self.lost()

    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        words = self._whole_words(payload, _WORD)
        events = np.empty(_count(words), EVENT_DTYPE)
        n, now = _decode(
            words,
            _U(time_base // 1000),
            self._state,
            self._word_counts,
            _U(self.height),
            _U(self.width),
            events,
        )
        self._now = int(now)
        return events[:n]

    def reset(self) -> None:
        self._now = None
        self.lost()

    def lost(self) -> None:
        self._state[:] = _UNKNOWN, _UNKNOWN, 0

    @property
    def time_us(self) -> int | None:
        return self._now

    @property
    def counters(self) -> dict[str, int]:
        counts = dict(zip(_COUNT_NAMES, self._word_counts.tolist(), strict=True))
        return super().counters | counts | {"words": int(self._word_counts[:_N_EVENTS].sum())}


@njit(cache=True)
def _encode(events, base_us, words):
    """Write `events` as libcaer_cmp into `words`; returns the number of words."""
    n = i = 0
    high = low = np.int64(0)
    column = np.int64(-1)
    while i < len(events):
        elapsed = events[i].t - base_us
        x, y, p = np.int64(events[i].x), np.int64(events[i].y), np.int64(events[i].p)
        if elapsed >> 12 != high:
            high = elapsed >> 12
            words[n] = high
            n += 1
        if elapsed & 0xFFF != low:
            low = elapsed & 0xFFF
            words[n] = 0x1000 | low
            n += 1
        if column != x:
            column = x
            words[n] = 0x2000 | x
            n += 1
        mask, last, j = np.int64(1), y, i + 1
        while j < len(events) and events[j].t == events[i].t and events[j].p == events[i].p:
            row = np.int64(events[j].y)
            if events[j].x != events[i].x or row <= last or row >= y + 8:
                break
            mask |= 1 << (row - y)
            last = row
            j += 1
        if j - i >= _DENSE:
            words[n], words[n + 1] = 0x4000 | (p << 11) | y, 0x5000 | mask
            n += 2
            i = j
        else:
            words[n] = 0x3000 | (p << 11) | y
            n += 1
            i += 1
    return n


class LibcaerCmpEncoder:
    """Encodes events packet by packet; each packet stands alone (it starts with ADDR_X)."""

    encoding = "libcaer_cmp"

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width

    def encode(self, events: np.ndarray, time_base: int) -> bytes:
        """One packet of `(n,) EVENT_DTYPE` whose `t` counts from 1970, for that `time_base` in ns.

        Raises MxError for an event outside the sensor, or not within 16.7 s from `time_base`.
        """
        if not len(events):
            return b""
        if events["x"].max() >= self.width or events["y"].max() >= self.height:
            raise MxError(f"cannot encode events outside the sensor of {self.width}x{self.height}")
        base_us = time_base // 1000
        if events["t"].min() < base_us or events["t"].max() - base_us >= 1 << 24:
            raise MxError("cannot encode events before time_base or 16.7 s after it")
        words = np.empty(len(events) * 4, np.uint16)
        n = _encode(events, base_us, words)
        return words[:n].astype("<u2", copy=False).tobytes()
