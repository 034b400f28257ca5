"""Replaying raw messages, with a clock that never sleeps."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.player import PlayerConfig
from mx_capture.recording import cdr, qos
from mx_capture.recording.annotations import write_annotations
from mx_capture.recording.replayer import TICK_NS, RawSession, Replayer
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import Frame, Label, Packet

START_NS = 1_000_000_000


class TinySource:
    name, event_size, frame_size = "tiny", (4, 4), (2, 2)
    start_ns, duration_ns = START_NS, 100_000_000

    def __iter__(self):
        for i in range(10):
            yield Packet(START_NS + i * 10_000_000, i, "evt3", 4, 4, START_NS, b"\0\0")
        yield Frame(START_NS + 95_000_000, np.zeros((2, 2), np.uint8))


@dataclass
class StoppedClock:
    time_ns: int = 5

    def now_ns(self):
        return self.time_ns

    def sleep(self, seconds):
        self.time_ns += round(seconds * 1e9)


@dataclass
class Recorded:
    clock: StoppedClock
    messages: list = field(default_factory=list)
    ticks: list = field(default_factory=list)

    def publish(self, message):
        self.messages.append((self.clock.time_ns - 5, message))

    def tick(self, stamp_ns):
        self.ticks.append((self.clock.time_ns - 5, stamp_ns))


@pytest.fixture
def session(tmp_path):
    write_session(TinySource(), tmp_path / "s", SessionInfo("s01", Consent("not needed")))
    return tmp_path / "s"


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_messages_keep_their_relative_timing(session, rate):
    clock = StoppedClock()
    seen = Recorded(clock)
    counters = Replayer(RawSession(session), PlayerConfig(rate=rate), clock=clock).run(
        seen.publish, seen.tick
    )
    assert counters.items == 12 and counters.late == 0
    for wall_ns, message in seen.messages:
        assert wall_ns == pytest.approx((message.stamp_ns - START_NS) / rate, abs=2)
    stamps = [stamp_ns for _, stamp_ns in seen.ticks]
    assert stamps[0] == START_NS and stamps == sorted(stamps)
    assert max(np.diff(stamps)) <= TICK_NS
    # The clock is never behind a message.
    assert stamps[-1] == seen.messages[-1][1].stamp_ns


def test_bytes_types_and_qos_are_the_recorded_ones(session):
    raw = RawSession(session)
    assert raw.topics["/event_camera/events"].offered == (qos.EVENTS,)
    assert raw.topics["/event_camera/events"].messages == 10
    first = next(iter(raw))
    assert first.cdr == cdr.packet_to_cdr(next(iter(TinySource())), "event_camera")


def test_topics_can_be_chosen(session):
    clock = StoppedClock()
    seen = Recorded(clock)
    Replayer(RawSession(session), topics={"/rgb/image_raw"}, clock=clock).run(
        seen.publish, seen.tick
    )
    assert [message.topic for _, message in seen.messages] == ["/rgb/image_raw"]


def test_annotations_are_played_at_their_offset(session):
    label = Label(
        "s01", (12,), (0.5,), START_NS, START_NS + 5, START_NS + 42_000_000, "annotator", ""
    )
    write_annotations(session, [label])
    raw = RawSession(session)
    stamps = [message.stamp_ns for message in raw]
    assert stamps == sorted(stamps)
    [found] = [message for message in raw if message.topic == "/labels"]
    assert found.stamp_ns == label.offset_ns and cdr.label_from_cdr(found.cdr) == label


def test_a_loop_starts_over(session):
    clock = StoppedClock()
    seen = Recorded(clock)

    def publish(message):
        seen.publish(message)
        if len(seen.messages) == 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Replayer(RawSession(session), PlayerConfig(loop=True), clock=clock).run(publish, seen.tick)
    assert seen.messages[12][1] == seen.messages[0][1]


def test_an_empty_bag_cannot_be_replayed(tmp_path):
    from mx_capture.recording.writer import RecordingWriter, WriterConfig

    with RecordingWriter(tmp_path / "bag", WriterConfig(reserve_mb=0)):
        pass
    with pytest.raises(MxError, match="holds no message"):
        RawSession(tmp_path / "bag")
