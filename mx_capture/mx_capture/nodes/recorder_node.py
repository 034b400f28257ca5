"""Records the cameras' topics and the labels as they are on the wire, into a rosbag2 recording."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_srvs.srv import Trigger

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.health import ERROR
from mx_capture.node_setup import ManagedNode, run
from mx_capture.recording.cdr import PACKET_TYPE
from mx_capture.recording.qos import Qos
from mx_capture.recording.recorder import Recorder, RecorderConfig
from mx_capture.recording.session_info import (
    SESSION_FILE,
    SessionInfo,
    read_info,
    write_info,
)

_SCAN_S = 0.2
_DEPTH = 300
_EVENTS_DEPTH = 5000
"""Packets come a thousand times a second, and a busy machine may stall for seconds."""


@dataclass(frozen=True)
class RecorderNodeConfig(Config):
    """What is recorded, and where."""

    out: str = setting("recording", "Folder of the recording; must not exist yet")
    session: str = setting("", "Session file to keep beside the recording; empty: none")
    topics: str = setting(
        "event_camera/events rgb/image_raw rgb/camera_info labels",
        "Topics to record, separated by spaces",
    )


class RecorderNode(ManagedNode):
    """Subscribes each topic as soon as somebody publishes it, with the QoS that is offered."""

    losses: ClassVar = {"dropped": "the disk is too slow or full; record to another one"}

    def __init__(self) -> None:
        super().__init__("recorder_node", RecorderNodeConfig, RecorderConfig)

    def load(self) -> None:
        self.settings = self.config(RecorderNodeConfig)
        session = self.settings.session
        self.info = read_info(Path(session), SessionInfo) if session else None

    def start(self) -> None:
        out = Path(self.settings.out)
        self.recorder = Recorder(out, self.config(RecorderConfig))
        if self.info is not None:
            write_info(out.parent / SESSION_FILE, self.info)
        self._wanted = [self.resolve_topic_name(name) for name in self.settings.topics.split()]
        self.every(_SCAN_S, self.find_topics)
        service = self.create_service(Trigger, "~/mark", self.mark)
        self.release_at_stop(self.destroy_service, service)

    def stop(self) -> None:
        try:
            self.recorder.stop()
        except MxError as error:
            self.get_logger().error(str(error))
        counters = self.recorder.counters
        if counters.dropped:
            self.get_logger().error(
                f"{counters.dropped.total()} of {counters.received.total()} messages were dropped; "
                f"{counters.longest_queue_bytes / 1e6:.0f} MB waited for the disk"
            )

    def find_topics(self) -> None:
        """Start recording the wanted topics that have a publisher by now."""
        for topic in list(self._wanted):
            publishers = self.get_publishers_info_by_topic(topic)
            if publishers:
                self._wanted.remove(topic)
                try:
                    self.record(topic, publishers)
                except MxError as error:
                    self.get_logger().error(str(error))
                    self.health.problem(topic, str(error), level=ERROR)

    def record(self, topic: str, publishers: list[TopicEndpointInfo]) -> None:
        type_name = publishers[0].topic_type
        offered = tuple({_offered(info.qos_profile) for info in publishers})
        self.recorder.add_topic(topic, type_name, offered)
        reliable = all(qos.reliability == "reliable" for qos in offered)
        # A reliable subscription would not match a best-effort publisher.
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        depth = _EVENTS_DEPTH if type_name == PACKET_TYPE else _DEPTH
        profile = QoSProfile(depth=depth, reliability=policy)
        self.subscribe_in_bursts(
            _message_class(type_name),
            topic,
            lambda cdr: self._add(topic, type_name, cdr),
            profile,
            raw=True,
        )
        self.health.facts[f"recording {topic}"] = offered[0].reliability

    def mark(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Write a remark at this moment."""
        response.success = self.recorder.mark("mark", self.now_ns())
        return response

    def observe(self) -> None:
        if not hasattr(self, "recorder"):
            return
        counters = self.recorder.counters
        self.health.set_counts(
            {
                "received": counters.received.total(),
                "written": counters.written.total(),
                "dropped": counters.dropped.total(),
                "bytes": counters.bytes_written,
            }
        )
        self.health.facts["queue_bytes"] = str(counters.queue_bytes)
        if self.recorder.error:
            self.health.problem("disk", self.recorder.error, level=ERROR)
            self.warn(self.recorder.error)

    def _add(self, topic: str, type_name: str, cdr: bytes) -> None:
        self.recorder.add(topic, type_name, self.now_ns(), cdr)


def _offered(profile: QoSProfile) -> Qos:
    return Qos(profile.reliability.name.lower(), profile.durability.name.lower(), profile.depth)


def _message_class(type_name: str) -> Any:
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def main() -> None:
    run(RecorderNode)
