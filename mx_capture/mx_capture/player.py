"""Plays a source in recorded time: each item when it is due, again and again if wanted."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.files.ordering import stamp_of
from mx_capture.stream import Frame, Label, Packet, Source

LATE_NS = 20_000_000
"""An item handed over this long after it was due counts as late."""

_HIGH_NS = 4_096_000  # one unit of EVT3's TIME_HIGH
_TIME_HIGH = 8


@dataclass(frozen=True)
class PlayerConfig(Config):
    """How a source is played."""

    rate: float = setting(1.0, "Speed, as a factor of recorded time", minimum=0.01, maximum=100)
    loop: bool = setting(False, "Start over at the end, with time going on")


class Clock(Protocol):
    """Time to play by; tests bring one that never sleeps."""

    def now_ns(self) -> int:
        """ROS time in nanoseconds."""

    def sleep(self, seconds: float) -> None:
        """Wait; returning early is allowed."""


class WallClock:
    """The system's time."""

    def now_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@dataclass
class PlayerCounters:
    """What a player has done since it was made; nothing is ever dropped."""

    items: int = 0
    late: int = 0
    worst_late_ns: int = 0
    passes: int = 0


class Player:
    """Iterates a source as `(item, stamp_ns)` pairs, each handed over when it is due.

    Due times are counted from the start, so that delays do not add up: after one the player
    catches up without waiting, and counts what came late. Items are restamped so that the
    source's `start_ns` falls on `start_ns` (of ROS time; the moment of iteration if None), unless
    `keep_stamps`. Two players of one source with one `start_ns` are in step.

    With `join` the source is taken to have been running since time 0: what was due before now is
    skipped, so that players started at different moments are at the same place.

    When looping, stamps, packet numbers and sensor time go on: a pass lasts the source's duration,
    rounded up to 4.096 ms.
    """

    def __init__(
        self,
        source: Source,
        config: PlayerConfig | None = None,
        *,
        start_ns: int | None = None,
        keep_stamps: bool = False,
        join: bool = False,
        clock: Clock | None = None,
    ) -> None:
        self.source = source
        self.counters = PlayerCounters()
        self._config = config or PlayerConfig()
        self._start_ns = start_ns
        self._keep_stamps = keep_stamps
        self._join = join
        self._clock = clock or WallClock()
        self._period_ns = max(1, -(-source.duration_ns // _HIGH_NS)) * _HIGH_NS

    def __iter__(self) -> Iterator[tuple[Packet | Frame | Label, int]]:
        """Raises MxError when the source yields nothing."""
        now_ns = self._clock.now_ns()
        begin_ns = now_ns if self._start_ns is None else self._start_ns
        if self._join:
            begin_ns = now_ns - now_ns % round(self._period_ns / self._config.rate)
        shift_ns = 0 if self._keep_stamps else begin_ns - self.source.start_ns
        for item in self._passes():
            elapsed_ns = stamp_of(item) - self.source.start_ns
            due_ns = begin_ns + round(elapsed_ns / self._config.rate)
            if self._join and due_ns < now_ns:
                continue
            self._wait_until(due_ns)
            item = restamped(item, shift_ns)
            yield item, stamp_of(item)

    def _passes(self) -> Iterator[Packet | Frame | Label]:
        next_seq = 0
        while True:
            first_seq, before = next_seq, self.counters.items
            advance_ns = self.counters.passes * self._period_ns
            offset: int | None = None
            for item in self.source:
                if isinstance(item, Packet):
                    # Gaps in the recorded numbers are losses, and stay.
                    if offset is None:
                        offset = first_seq - item.seq if advance_ns else 0
                    item = dataclasses.replace(item, seq=item.seq + offset)
                    next_seq = item.seq + 1
                self.counters.items += 1
                yield advanced(item, advance_ns)
            self.counters.passes += 1
            if self.counters.items == before:
                raise MxError(f"{self.source.name} holds nothing to play; record it again")
            if not self._config.loop:
                return

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock.now_ns()) > 0:
            self._clock.sleep(left_ns / 1e9)
        if -left_ns > LATE_NS:
            self.counters.late += 1
            self.counters.worst_late_ns = max(self.counters.worst_late_ns, -left_ns)


def restamped(item: Packet | Frame | Label, shift_ns: int) -> Packet | Frame | Label:
    """The item at another ROS time; a packet's sensor time stays, its mapping moves along."""
    if shift_ns == 0:
        return item
    if isinstance(item, Packet):
        if item.time_base + shift_ns < 0:
            raise MxError("the recording's stamps lie after the present; set the system's time")
        return dataclasses.replace(
            item, stamp_ns=item.stamp_ns + shift_ns, time_base=item.time_base + shift_ns
        )
    if isinstance(item, Frame):
        return dataclasses.replace(item, stamp_ns=item.stamp_ns + shift_ns)
    return dataclasses.replace(
        item,
        onset_ns=item.onset_ns + shift_ns,
        apex_ns=item.apex_ns + shift_ns,
        offset_ns=item.offset_ns + shift_ns,
    )


def advanced(item: Packet | Frame | Label, shift_ns: int) -> Packet | Frame | Label:
    """The item later by a multiple of 4.096 ms, sensor time included."""
    if shift_ns == 0:
        return item
    if not isinstance(item, Packet) or item.encoding != "evt3":
        return restamped(item, shift_ns)
    # A byte too many, in a damaged packet, is for the decoder to count.
    words = np.frombuffer(item.events, "<u2", len(item.events) // 2).copy()
    is_high = words >> 12 == _TIME_HIGH
    later = (words[is_high] + shift_ns // _HIGH_NS % 4096) & 0xFFF
    words[is_high] = _TIME_HIGH << 12 | later
    return dataclasses.replace(
        item,
        stamp_ns=item.stamp_ns + shift_ns,
        events=words.tobytes() + bytes(item.events[2 * len(words) :]),
    )
