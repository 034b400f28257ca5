"""Records the cameras' topics and the labels as they are on the wire, into a rosbag2 recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo
from std_srvs.srv import Trigger

from mx_capture.config import Config, setting
from mx_capture.conversions import message_class
from mx_capture.errors import MxError
from mx_capture.health import ERROR
from mx_capture.node_setup import ManagedNode
from mx_capture.nodes.executable import run
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

    out: str = setting(
        "recording", "Folder of the recording, must not exist; later ones get _2, _3, ..."
    )
    record_at_start: bool = setting(True, "Record at once; otherwise wait for the service ~/start")
    session: str = setting("", "Session file to keep beside the recording; empty: none")
    topics: str = setting(
        "event_camera/events rgb/image_raw rgb/camera_info labels",
        "Topics to record, separated by spaces",
    )


class RecorderNode(ManagedNode):
    """Subscribes each topic as soon as somebody publishes it, with the QoS that is offered.

    `~/start` and `~/stop` begin and end a recording, `~/mark` writes a remark into it.
    """

    losses: ClassVar = {"dropped": "the disk is too slow or full; record to another one"}

    def __init__(self) -> None:
        super().__init__("recorder_node", RecorderNodeConfig, RecorderConfig)
        self.recorder: Recorder | None = None
        self._begun = self._marks = 0
        self._heard: list[Any] = []

    def load(self) -> None:
        self.settings = self.config(RecorderNodeConfig)
        session = self.settings.session
        self.info = read_info(Path(session), SessionInfo) if session else None

    def start(self) -> None:
        self._wanted: list[str] = []
        if self.settings.record_at_start:
            self.begin()
        self.every(_SCAN_S, self.find_topics)
        for name, answer in (("start", self.begin), ("stop", self.end), ("mark", self.mark)):
            service = self.create_service(Trigger, f"~/{name}", _answering(answer))
            self.release_at_stop(self.destroy_service, service)

    def stop(self) -> None:
        if self.recorder is not None:
            try:
                self.end()
            except MxError as error:
                self.get_logger().error(str(error))

    def begin(self) -> str:
        """Begin a recording; MxError when one is going on, or its folder cannot be made."""
        if self.recorder is not None:
            raise MxError(f"{self.recorder.path} is being recorded already; call ~/stop first")
        out = Path(self.settings.out)
        if self._begun:
            out = out.with_name(f"{out.name}_{self._begun + 1}")
        self.recorder = Recorder(out, self.config(RecorderConfig))
        if self.info is not None and not self._begun:
            write_info(out.parent / SESSION_FILE, self.info)
        self._begun += 1
        self.health.solved("disk")
        if self.info is None:
            self.get_logger().warning(
                f"{out}: nobody's consent and no pseudonym are recorded with it, and ./mx erase "
                "will not find it; give session:=FILE, or use ./mx record"
            )
        self._wanted = [self.resolve_topic_name(name) for name in self.settings.topics.split()]
        self.find_topics()
        return f"recording to {out}"

    def end(self) -> str:
        """Write what waits and close the recording; MxError when there is none, or it failed."""
        recorder = self._recording()
        self.recorder = None
        self._wanted = []
        while self._heard:
            self.withdraw(self._heard.pop())
        counters = recorder.counters
        try:
            recorder.stop()
        finally:
            self._count(recorder)
            if counters.dropped:
                self.get_logger().error(
                    f"{counters.dropped.total()} of {counters.received.total()} messages were "
                    f"dropped; {counters.longest_queue_bytes / 1e6:.0f} MB waited for the disk"
                )
        return f"{counters.written.total()} messages are in {recorder.path}"

    def mark(self) -> str:
        """Write a remark at this moment."""
        recorder = self._recording()
        self._marks += 1
        text = f"mark {self._marks}"
        if not recorder.mark(text, self.now_ns()):
            raise MxError(recorder.error or "the queue is full; the disk is too slow")
        return text

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
        recorder = self._recording()
        type_name = publishers[0].topic_type
        message_type = message_class(type_name, topic)
        offered = tuple({_offered(info.qos_profile) for info in publishers})
        recorder.add_topic(topic, type_name, offered)
        reliable = all(qos.reliability == "reliable" for qos in offered)
        # A reliable subscription would not match a best-effort publisher.
        policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
        depth = _EVENTS_DEPTH if type_name == PACKET_TYPE else _DEPTH
        profile = QoSProfile(depth=depth, reliability=policy)

        def take(cdr: bytes) -> None:
            recorder.add(topic, type_name, self.now_ns(), cdr)

        listener = self.listen_to(message_type, topic, take, profile, raw=True)
        self._heard.append(listener)
        self.health.facts[f"recording {topic}"] = offered[0].reliability

    def observe(self) -> None:
        recorder = self.recorder
        self.health.facts["recording"] = str(recorder.path) if recorder else "nothing"
        if recorder is None:
            return
        self._count(recorder)
        if recorder.error:
            self.health.problem("disk", recorder.error, level=ERROR)
            self.warn(recorder.error)

    def _count(self, recorder: Recorder) -> None:
        counters = recorder.counters
        self.health.set_counts(
            {
                "received": counters.received.total(),
                "written": counters.written.total(),
                "dropped": counters.dropped.total(),
                "bytes": counters.bytes_written,
            }
        )
        self.health.facts["queue_bytes"] = str(counters.queue_bytes)

    def _recording(self) -> Recorder:
        if self.recorder is None:
            raise MxError("nothing is being recorded; call ~/start first")
        return self.recorder


def _answering(act: Callable[[], str]) -> Callable[[Any, Any], Any]:
    """A service that says what it did, or why not."""

    def answer(_: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        try:
            response.success, response.message = True, act()
        except MxError as error:
            response.success, response.message = False, str(error)
        return response

    return answer


def _offered(profile: QoSProfile) -> Qos:
    return Qos(profile.reliability.name.lower(), profile.durability.name.lower(), profile.depth)


def main() -> None:
    run(RecorderNode)
