"""Plays the messages of a recording as they were: bytes, order and relative timing."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.files.session import bag_folder, open_bag
from mx_capture.player import LATE_NS, Clock, PlayerConfig, PlayerCounters, WallClock
from mx_capture.recording import cdr, qos
from mx_capture.recording.annotations import read_annotations
from mx_capture.recording.session_writer import LABELS_TOPIC
from mx_capture.stream import RGB_FRAME

TICK_NS = 10_000_000
"""Recorded time between two readings of `/clock`, at most."""


@dataclass(frozen=True)
class RawMessage:
    """One recorded message: CDR bytes, and the ROS time in ns of its arrival."""

    topic: str
    type_name: str
    stamp_ns: int
    cdr: bytes


@dataclass(frozen=True)
class RawTopic:
    """A recorded topic: its type, the QoS that was offered, and its number of messages."""

    type_name: str
    offered: tuple[qos.Qos, ...]
    messages: int


class RawSession:
    """All messages of a session or a bag, with the labels annotated beside it.

    Raises MxError when it cannot be read or holds no message.
    """

    def __init__(self, path: str | Path) -> None:
        self._bag = bag_folder(Path(path))
        self._annotations = read_annotations(Path(path))
        self.topics: dict[str, RawTopic] = {}
        with open_bag(self._bag) as reader:
            for item in reader.connections:
                if item.msgcount:
                    offered = qos.from_rosbags(getattr(item.ext, "offered_qos_profiles", ()))
                    known = self.topics.get(item.topic)
                    count = item.msgcount + (known.messages if known else 0)
                    self.topics[item.topic] = RawTopic(item.msgtype, offered, count)
            if not self.topics:
                raise MxError(f"{self._bag} holds no message; record it again")
            self.start_ns, self.end_ns = reader.start_time, reader.end_time
        if self._annotations:
            known = self.topics.get(LABELS_TOPIC)
            count = len(self._annotations) + (known.messages if known else 0)
            self.topics[LABELS_TOPIC] = RawTopic(cdr.LABEL_TYPE, (qos.LABELS,), count)

    def __iter__(self) -> Iterator[RawMessage]:
        labels = sorted(
            (
                RawMessage(
                    LABELS_TOPIC, cdr.LABEL_TYPE, item.offset_ns, cdr.label_to_cdr(item, RGB_FRAME)
                )
                for item in self._annotations
            ),
            key=attrgetter("stamp_ns"),
        )
        return heapq.merge(self._recorded(), labels, key=attrgetter("stamp_ns"))

    def _recorded(self) -> Iterator[RawMessage]:
        with open_bag(self._bag) as reader:
            for connection, time_ns, data in reader.messages():
                yield RawMessage(connection.topic, connection.msgtype, time_ns, data)


class Replayer:
    """Hands over each message when it is due, and the recorded time in between.

    Nothing is restamped: what the subscribers see as now has to come from the ticks. When
    looping, time goes back to the start. What comes late is counted, never dropped.
    """

    def __init__(
        self,
        session: RawSession,
        config: PlayerConfig | None = None,
        *,
        topics: set[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`topics`: play only these; all of the session if None."""
        self._session = session
        self._config = config or PlayerConfig()
        self._topics = topics
        self._clock = clock or WallClock()
        self.counters = PlayerCounters()

    def run(
        self, publish: Callable[[RawMessage], None], tick: Callable[[int], None]
    ) -> PlayerCounters:
        """Play to the end, or for ever when looping; `tick` gets the recorded time in ns."""
        while True:
            self._run_once(publish, tick)
            self.counters.passes += 1
            if not self._config.loop:
                return self.counters

    def _run_once(self, publish: Callable[[RawMessage], None], tick: Callable[[int], None]) -> None:
        begin_ns = self._clock.now_ns()
        played_ns = self._session.start_ns
        tick(played_ns)
        for message in self._session:
            if self._topics is not None and message.topic not in self._topics:
                continue
            while played_ns < message.stamp_ns:
                played_ns = min(played_ns + TICK_NS, message.stamp_ns)
                self._wait_until(begin_ns + self._wall_ns(played_ns))
                tick(played_ns)
            late_ns = self._clock.now_ns() - begin_ns - self._wall_ns(message.stamp_ns)
            if late_ns > LATE_NS:
                self.counters.late += 1
                self.counters.worst_late_ns = max(self.counters.worst_late_ns, late_ns)
            self.counters.items += 1
            publish(message)

    def _wall_ns(self, stamp_ns: int) -> int:
        return round((stamp_ns - self._session.start_ns) / self._config.rate)

    def _wait_until(self, due_ns: int) -> None:
        while (left_ns := due_ns - self._clock.now_ns()) > 0:
            self._clock.sleep(left_ns / 1e9)
