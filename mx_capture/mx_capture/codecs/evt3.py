"""EVT3, the 16-bit vectorised event stream of Prophesee sensors.

A word holds its kind in bits 15..12 and a payload in bits 11..0:

- 0 ADDR_Y: row in bits 10..0.
- 2 ADDR_X: column in bits 10..0, polarity in bit 11; one event.
- 3 VECT_BASE_X: column and polarity of the vectors that follow.
- 4 VECT_12, 5 VECT_8: bit i is an event at base + i; then the base moves on by 12 or 8.
- 6 TIME_LOW, 8 TIME_HIGH: the low and high 12 bits of the time in microseconds.
- A EXT_TRIGGER: edge in bit 0, input in bits 11..8.
- others: ignored (padding, vendor extensions, continuations).

Time is `rollovers * 2**24 + high * 4096 + low`. The difference of two TIME_HIGH is read as
OpenEB reads it: a fall by half of the range or more is a rollover, a smaller one is the sensor
stepping back. A new TIME_HIGH restarts the low part at 0.

Source: Prophesee, "EVT 3.0 Format", https://docs.prophesee.ai/stable/data/encoding_formats/evt3.html
"""

from __future__ import annotations

import numpy as np
from numba import njit

from mx_capture.codecs.compiler import bit_count, trailing_zeros
from mx_capture.codecs.decoder import TRIGGER_DTYPE, Decoder, Payload
from mx_capture.stream import EVENT_DTYPE

# Everything is uint64: mixing signs would make numba compute in float64, and a signed index
# costs a test for wrapping at each access.
_WORD = np.dtype("<u2")
_U = np.uint64
ADDR_Y, ADDR_X, VECT_BASE_X, VECT_12 = _U(0), _U(2), _U(3), _U(4)
VECT_8, TIME_LOW, TIME_HIGH, EXT_TRIGGER = _U(5), _U(6), _U(8), _U(10)

# Slots of the decoder's state.
BASE, NOW, KNOWN, ROW, VECTOR, POLARITY = range(6)
STATE_SIZE = 6
# Bits of KNOWN: what the stream has told since it was joined.
HIGH_KNOWN, LOW_KNOWN, ROW_KNOWN, VECTOR_KNOWN = _U(1), _U(2), _U(4), _U(8)
TIME_KNOWN = HIGH_KNOWN | LOW_KNOWN
EVENT_KNOWN = TIME_KNOWN | ROW_KNOWN

# Slots of the counts; the first six together are all words.
COUNT_NAMES = (
    "words_time",
    "words_y",
    "words_x",
    "words_vector",
    "words_trigger",
    "words_ignored",
    "events",
    "out_of_range",
    "dropped_before_time",
    "rollovers",
    "time_backward",
    "triggers",
)
(
    N_TIME,
    N_Y,
    N_X,
    N_VECTOR,
    N_TRIGGER_WORDS,
    N_IGNORED,
    N_EVENTS,
    N_OUT_OF_RANGE,
    N_DROPPED,
    N_ROLLOVERS,
    N_BACKWARD,
    N_TRIGGERS,
) = range(12)

_HIGH_UNIT, _HALF_RANGE, _FULL_RANGE = _U(1 << 12), _U(1 << 23), _U(1 << 24)
# A step back over a rollover by at most this much is taken back, not taken for 16 s forward.
_STEP_BACK = _U(64 << 12)


@njit
def next_base(high, base, counts):
    """The time of a TIME_HIGH with payload `high` after one of time `base`; counts steps."""
    part = base & (_FULL_RANGE - _U(1))
    new = base - part + high * _HIGH_UNIT
    if new + _HALF_RANGE <= base:
        counts[N_ROLLOVERS] += _U(1)
        return new + _FULL_RANGE
    if new >= base + _FULL_RANGE - _STEP_BACK and base >= _FULL_RANGE:
        new -= _FULL_RANGE
    if new < base:
        counts[N_BACKWARD] += _U(1)
    return new


@njit(forceinline=True)
def vector_lanes(code):
    """How many columns a word of this kind covers; 0 unless it is a vector."""
    if code == VECT_12:
        return _U(12)
    return _U(8) if code == VECT_8 else _U(0)


@njit(cache=True)
def _count(words):
    """How many events and trigger edges `words` hold at most."""
    events = triggers = _U(0)
    for word in words:
        code, payload = _U(word) >> _U(12), _U(word) & _U(0xFFF)
        if code == ADDR_X:
            events += _U(1)
        elif code == VECT_12:
            events += bit_count(payload)
        elif code == VECT_8:
            events += bit_count(payload & _U(0xFF))
        elif code == EXT_TRIGGER:
            triggers += _U(1)
    return events, triggers


@njit(cache=True)
def _decode(words, state, counts, height, width, events, triggers):
    """Decode all of `words` into `events` and `triggers`; returns how many of each were written."""
    base, now, known = state[BASE], state[NOW], state[KNOWN]
    row, vector, polarity = state[ROW], state[VECTOR], state[POLARITY]
    n = n_edges = _U(0)
    for word in words:
        code, payload = _U(word) >> _U(12), _U(word) & _U(0xFFF)
        lanes = vector_lanes(code)
        if code == ADDR_X or lanes:
            if code == ADDR_X:
                counts[N_X] += _U(1)
                needed, mask, lanes = EVENT_KNOWN, _U(1), _U(1)
                column, sign = payload & _U(0x7FF), payload >> _U(11)
            else:
                counts[N_VECTOR] += _U(1)
                needed, column, sign = EVENT_KNOWN | VECTOR_KNOWN, vector, polarity
                mask = payload & ((_U(1) << lanes) - _U(1))
                vector += lanes
            if known & needed != needed:
                counts[N_DROPPED] += bit_count(mask)
            elif row >= height:
                counts[N_OUT_OF_RANGE] += bit_count(mask)
            else:
                while mask:
                    x = column + trailing_zeros(mask)
                    mask &= mask - _U(1)
                    if x >= width:
                        counts[N_OUT_OF_RANGE] += _U(1)
                    else:
                        event = events[n]
                        event.t, event.x, event.y, event.p = now, x, row, sign
                        n += _U(1)
        elif code == ADDR_Y:
            counts[N_Y] += _U(1)
            row = payload & _U(0x7FF)
            known |= ROW_KNOWN
        elif code == TIME_LOW:
            counts[N_TIME] += _U(1)
            if known & HIGH_KNOWN:
                if base + payload < now:
                    counts[N_BACKWARD] += _U(1)
                now = base + payload
                known |= LOW_KNOWN
        elif code == TIME_HIGH:
            counts[N_TIME] += _U(1)
            if not known & HIGH_KNOWN or payload != (base >> _U(12)) & _U(0xFFF):
                base = next_base(payload, base, counts)
                now = base
                known |= HIGH_KNOWN
        elif code == VECT_BASE_X:
            counts[N_VECTOR] += _U(1)
            vector, polarity = payload & _U(0x7FF), payload >> _U(11)
            known |= VECTOR_KNOWN
        elif code == EXT_TRIGGER:
            counts[N_TRIGGER_WORDS] += _U(1)
            if known & TIME_KNOWN == TIME_KNOWN:
                edge = triggers[n_edges]
                edge.t, edge.id, edge.edge = now, payload >> _U(8), payload & _U(1)
                n_edges += _U(1)
        else:
            counts[N_IGNORED] += _U(1)
    state[BASE], state[NOW], state[KNOWN] = base, now, known
    state[ROW], state[VECTOR], state[POLARITY] = row, vector, polarity
    counts[N_EVENTS] += n
    counts[N_TRIGGERS] += n_edges
    return n, n_edges


class Evt3Decoder(Decoder):
    """EVT3 words to events.

    Further counters: `words` and its parts `words_time`, `words_y`, `words_x`, `words_vector`,
    `words_trigger`, `words_ignored`; `rollovers` of the 24-bit time; `time_backward` steps;
    `triggers` (edges decoded; those before the time is known are not).
    """

    encoding = "evt3"

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self.state = np.zeros(STATE_SIZE, np.uint64)
        self.counts = np.zeros(len(COUNT_NAMES), np.uint64)

    def words(self, payload: Payload) -> np.ndarray:
        """The payload as `(n,) uint16` words, without a copy where memory is aligned."""
        return self._whole_words(payload, _WORD)

    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        return self.decode_words(self.words(payload))

    def decode_words(self, words: np.ndarray) -> np.ndarray:
        """As `decode`, from `(n,) uint16` words."""
        most_events, most_triggers = _count(words)
        events = np.empty(most_events, EVENT_DTYPE)
        triggers = np.empty(most_triggers, TRIGGER_DTYPE)
        n, n_edges = _decode(
            words, self.state, self.counts, _U(self.height), _U(self.width), events, triggers
        )
        self.add_triggers(triggers[:n_edges])
        return events[:n]

    def reset(self) -> None:
        self.state[:] = 0

    def lost(self) -> None:
        # The row, the vector base and the low part of the time may have changed unseen. The high
        # part is kept: the next TIME_HIGH continues it, so that a rollover is not missed.
        self.state[KNOWN] = 0

    @property
    def time_us(self) -> int | None:
        known = int(self.state[KNOWN]) & int(TIME_KNOWN) == int(TIME_KNOWN)
        return int(self.state[NOW]) if known else None

    @property
    def counters(self) -> dict[str, int]:
        counts = dict(zip(COUNT_NAMES, self.counts.tolist(), strict=True))
        return super().counters | counts | {"words": int(self.counts[:N_EVENTS].sum())}
