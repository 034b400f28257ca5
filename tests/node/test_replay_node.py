"""A session replayed through ROS into the recorder gives the same session."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.nodes.recorder_node import RecorderNode
from mx_capture.nodes.replay_node import ReplayNode
from mx_capture.player import PlayerConfig
from mx_capture.recording import qos
from mx_capture.recording.replayer import RawSession, Replayer
from mx_capture.recording.session_info import Consent, SessionInfo
from mx_capture.recording.session_writer import write_session
from mx_capture.stream import Frame, Label, Packet
from rosgraph_msgs.msg import Clock

START_NS = 5_000_000_000


class TinySource:
    name, event_size, frame_size = "tiny", (24, 32), (480, 640)
    start_ns, duration_ns = START_NS, 400_000_000

    def __iter__(self):
        random = np.random.default_rng(1)
        for i in range(200):
            stamp_ns = START_NS + i * 2_000_000
            yield Packet(stamp_ns, i, "evt3", 24, 32, START_NS, random.bytes(200))
            if i % 20 == 0:
                yield Frame(stamp_ns, np.full((480, 640, 3), i, np.uint8))
        yield Label("s01", (12,), (0.5,), START_NS, START_NS + 1, stamp_ns, "simulator", "micro")


def same(a, b):
    if isinstance(a, Frame):
        return a.stamp_ns == b.stamp_ns and np.array_equal(a.image, b.image)
    return a == b


def by_kind(source):
    items = list(source)
    return [[item for item in items if isinstance(item, kind)] for kind in (Packet, Frame, Label)]


def test_what_is_replayed_is_what_is_recorded(graph, tmp_path):
    write_session(TinySource(), tmp_path / "a", SessionInfo("s01", Consent("not needed")))
    [recorder] = graph.start(RecorderNode, out=str(tmp_path / "b"), reserve_mb=0)
    session = RawSession(tmp_path / "a")
    times = graph.listen(Clock, "/clock")
    node = ReplayNode(session, session.topics)

    def replay():
        assert set(node.wait_for_subscribers(20.0).values()) == {1}
        Replayer(session, PlayerConfig(rate=0.5)).run(node.publish, node.tick)

    player = threading.Thread(target=replay)
    player.start()
    total = sum(topic.messages for topic in session.topics.values())
    graph.until(lambda: recorder.recorder.counters.written.total() >= total)
    player.join()
    node.destroy_node()
    recorder.trigger_deactivate()
    copy = RawSession(tmp_path / "b")
    assert {name: topic.messages for name, topic in copy.topics.items()} == {
        name: topic.messages for name, topic in session.topics.items()
    }
    assert copy.topics["/event_camera/events"].offered[0].reliability == qos.EVENTS.reliability
    for expected, found in zip(
        by_kind(TinySource()), by_kind(open_source(tmp_path / "b")), strict=True
    ):
        assert len(expected) == len(found)
        assert all(same(a, b) for a, b in zip(expected, found, strict=True))
    stamps = [message.clock.sec * 10**9 + message.clock.nanosec for message in times]
    assert stamps and stamps == sorted(stamps) and stamps[-1] <= session.end_ns


def test_a_topic_of_an_unknown_type_is_named(graph, tmp_path):
    write_session(TinySource(), tmp_path / "a", SessionInfo("s01", Consent("not needed")))
    graph.start()
    session = RawSession(tmp_path / "a")
    known = session.topics["/labels"]
    session.topics["/odd"] = type(known)("nowhere_msgs/msg/Nothing", known.offered, 1)
    with pytest.raises(MxError, match="/odd is of type nowhere_msgs"):
        ReplayNode(session, ["/odd"])
