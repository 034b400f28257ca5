"""Scores what arrives on the topics against the labels, as `./mx evaluate` does offline.

It listens only. When the input has been silent for a while, or when it is told to end, it writes
report.json and report.html, in the same form and from the same code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import rclpy
from event_camera_msgs.msg import EventPacket
from mx_capture.config import Config, setting
from mx_capture.conversions import (
    message_to_frame,
    message_to_histogram,
    message_to_label,
    message_to_packet,
    message_to_rois,
    time_to_ns,
)
from mx_capture.errors import MxError
from mx_capture.node_setup import EVENTS_QOS, SENSOR_QOS, ManagedNode
from mx_capture.nodes.executable import run
from sensor_msgs.msg import Image

from mx_msgs import msg as mx
from mx_perception.conversions import message_to_micro_expression
from mx_perception.evaluation.live import LiveSession
from mx_perception.evaluation.session import EvaluationConfig, Evaluator


@dataclass(frozen=True)
class EvaluationNodeConfig(Config):
    """Settings of the live evaluation."""

    session: str = setting("", "Folder of the session that is replayed, for its description")
    out: str = setting("evaluation", "Folder for report.json and report.html")
    silence_s: float = setting(5.0, "Write the report after this long without input", minimum=0.5)
    end: bool = setting(True, "End with the report, and a launch file with it")


class EvaluationNode(ManagedNode):
    """Subscribes to cameras, results and labels; publishes nothing."""

    def __init__(self) -> None:
        super().__init__("evaluation_node", EvaluationNodeConfig, EvaluationConfig)

    def load(self) -> None:
        self._settings = self.config(EvaluationNodeConfig)
        if not self._settings.session:
            raise MxError("evaluation_node needs the parameter session, the folder that is played")
        self.live = LiveSession(
            Evaluator(self.config(EvaluationConfig)), Path(self._settings.session)
        )

    def start(self) -> None:
        self._heard_s = 0.0
        self._written = False
        self.listen_to(EventPacket, "event_camera/events", self.on_events, EVENTS_QOS)
        self.subscribe_to(Image, "rgb/image_raw", self.on_image, SENSOR_QOS)
        self.subscribe_to(mx.Label, "labels", self.on_label)
        self.subscribe_to(mx.Faces, "faces", self.on_faces)
        self.subscribe_to(mx.EventTensor, "event_tensors", self.on_tensor)
        self.subscribe_to(mx.EventTensor, "frame_tensors", self.on_frame_tensor)
        self.subscribe_to(mx.ActionUnits, "action_units", self.on_scores)
        self.subscribe_to(mx.MicroExpression, "micro_expressions", self.on_expression)
        self.subscribe_to(Image, "reconstruction", self.on_reconstruction)
        self.every(0.5, self.write_when_silent)

    def stop(self) -> None:
        self.write()

    def on_events(self, message: EventPacket) -> None:
        self._heard_s = time.monotonic()
        self.live.add_packet(message_to_packet(message))

    def on_image(self, message: Image) -> None:
        self._heard_s = time.monotonic()
        frame = message_to_frame(message)
        self.live.add_frame(frame)

    def on_label(self, message: mx.Label) -> None:
        self.live.add_label(message_to_label(message))

    def on_faces(self, message: mx.Faces) -> None:
        self.live.add_faces(time_to_ns(message.header.stamp), message_to_rois(message))

    def on_tensor(self, message: mx.EventTensor) -> None:
        self._heard_s = time.monotonic()
        stamps = time_to_ns(message.window_start), time_to_ns(message.header.stamp)
        self.live.add_tensor(message.face_id, *stamps, message_to_histogram(message))

    def on_frame_tensor(self, message: mx.EventTensor) -> None:
        stamps = time_to_ns(message.window_start), time_to_ns(message.header.stamp)
        self.live.add_frame_tensor(message.face_id, *stamps, message_to_histogram(message))

    def on_scores(self, message: mx.ActionUnits) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        self.live.add_scores(message.face_id, stamp_ns, tuple(message.au), message.score)

    def on_expression(self, message: mx.MicroExpression) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        self.live.add_expression(stamp_ns, message_to_micro_expression(message))

    def on_reconstruction(self, message: Image) -> None:
        face_id = message.header.frame_id.removeprefix("face_")
        frame = message_to_frame(message)
        self.live.add_reconstruction(face_id, frame.stamp_ns, frame.image)

    def write_when_silent(self) -> None:
        silent = time.monotonic() - self._heard_s > self._settings.silence_s
        if self._heard_s and silent and not self._written:
            self.write()

    def write(self) -> None:
        """Write the report once; also when the node is told to end."""
        if self._written or not self._heard_s:
            return
        self._written = True
        out = Path(self._settings.out)
        for line in self.live.write(out):
            self.get_logger().info(line)
        self.get_logger().info(f"wrote {out / 'report.html'} and {out / 'report.json'}")
        if self._settings.end:
            rclpy.try_shutdown()


def main() -> None:
    run(EvaluationNode)
