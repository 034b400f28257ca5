"""What every decoder offers: bytes of a packet in, events, triggers and counts out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from mx_capture.errors import MxError

Payload: TypeAlias = bytes | bytearray | memoryview

MAX_SIDE_PX = 2048
"""The largest sensor side that EVT3's 11 bits of an address can name."""

TRIGGER_DTYPE = np.dtype([("t", "<i8"), ("id", "u1"), ("edge", "u1")])
"""An edge at a trigger input: sensor time in microseconds, input, 1 rising or 0 falling."""

_COUNTED_BY_ALL = (
    "events",
    "out_of_range",
    "dropped_before_time",
    "trailing_bytes",
    "triggers_unread",
)
_MOST_UNREAD_TRIGGERS = 100_000


class Decoder(ABC):
    """Turns the packets of one sensor, in order, into events; keeps all state between packets.

    Nothing that a payload contains raises. What does not become an event is counted, by name,
    in `counters`:

    - `events`: decoded events.
    - `out_of_range`: events with x >= width or y >= height, dropped.
    - `dropped_before_time`: events before the stream told their time (and row), dropped.
    - `trailing_bytes`: bytes after the last whole word of a payload, dropped.
    - `triggers_unread`: edges dropped, oldest first, because nobody read `triggers`.

    Further names belong to single encodings.
    """

    encoding: str
    counter_names: Sequence[str] = ()
    absolute_time = False
    """True where `t` already contains the packet's `time_base` (then it counts from 1970)."""

    def __init__(self, height: int, width: int) -> None:
        """Raises MxError when `height` or `width` is outside 1 to 2048 pixels."""
        if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
            raise MxError(
                f"sensor size {width}x{height} is outside 1 to {MAX_SIDE_PX} pixels a side"
            )
        self.height, self.width = height, width
        self._triggers: list[np.ndarray] = []
        self._unread = 0
        self._counts = dict.fromkeys(
            ("events", "out_of_range", "dropped_before_time", "trailing_bytes", "triggers_unread"),
            0,
        )

    @abstractmethod
    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        """The events of one packet, `(n,) EVENT_DTYPE`, in the order of the stream.

        `time_base` is the packet's field of that name; EVT2 and EVT3 ignore it.
        """

    @abstractmethod
    def reset(self) -> None:
        """Forget the stream's state, as before the first packet. Counters stay."""

    def lost(self) -> None:  # noqa: B027 - nothing to forget where every event stands alone
        """Packets are missing before the next one: drop events until the stream is known again."""

    @property
    @abstractmethod
    def time_us(self) -> int | None:
        """The sensor time that the stream has reached; None while unknown."""

    @property
    def counters(self) -> dict[str, int]:
        """Totals since construction."""
        return dict(self._counts)

    @property
    def triggers(self) -> np.ndarray:
        """The trigger edges since the last read, `(n,) TRIGGER_DTYPE`; reading empties them."""
        found, self._triggers, self._unread = self._triggers, [], 0
        return np.concatenate(found) if found else np.empty(0, TRIGGER_DTYPE)

    def add_triggers(self, edges: np.ndarray) -> None:
        """Keep `(n,) TRIGGER_DTYPE` edges for `triggers`; what is never read stays bounded."""
        if not len(edges):
            return
        self._triggers.append(edges)
        self._unread += len(edges)
        while self._unread > _MOST_UNREAD_TRIGGERS and len(self._triggers) > 1:
            dropped = len(self._triggers.pop(0))
            self._unread -= dropped
            self._counts["triggers_unread"] += dropped

    def _whole_words(self, payload: Payload, dtype: np.dtype) -> np.ndarray:
        """The payload as an aligned array of `dtype`; a trailing part of a word is counted.

        Never writable, so that compiled code exists for one kind of array only.
        """
        excess = len(payload) % dtype.itemsize
        if excess:
            self._counts["trailing_bytes"] += excess
            payload = memoryview(payload)[: len(payload) - excess]
        words = np.frombuffer(payload, dtype)
        if not words.flags.aligned:
            words = words.copy()
        words.setflags(write=False)
        return words
