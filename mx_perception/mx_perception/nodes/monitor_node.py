"""Listens to the whole graph and keeps what the demo shows and sums up."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mx_capture.conversions import (
    message_to_frame,
    message_to_label,
    time_to_ns,
)
from mx_capture.errors import MxError
from mx_capture.node_setup import RESULT_QOS
from mx_capture.stream import Frame
from rclpy.client import Client
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image

from mx_msgs import msg as mx
from mx_perception.conversions import message_to_boxes, message_to_micro_expression
from mx_perception.demo.heard import Heard


class MonitorNode(Node):
    """A plain subscriber of every result topic, as any other stack would be."""

    def __init__(self) -> None:
        super().__init__("monitor_node")
        self.heard = Heard()
        for message_type, topic, callback in (
            (mx.Faces, "faces", self._on_faces),
            (mx.ActionUnits, "action_units", self._on_scores),
            (mx.MicroExpression, "micro_expressions", self._on_micro_expression),
            (mx.Label, "labels", self._on_label),
            (Image, "reconstruction", self._on_reconstruction),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
        ):
            self.create_subscription(message_type, topic, callback, RESULT_QOS)

    def active(self, names: list[str]) -> bool:
        """True when every node of these names says that it is active."""
        return all(self.value(name, "state") == "active" for name in names)

    def value(self, node: str, key: str) -> str | None:
        """The latest diagnostic value of a node."""
        return self.heard.diagnostics.get(node, {}).get(key)

    def number(self, node: str, key: str) -> float | None:
        """The same as a number; None as long as it was not heard."""
        value = self.value(node, key)
        return None if value is None else float(value)

    def subscribers(self, topic: str) -> int:
        """How many subscriptions of a topic the graph has."""
        return self.count_subscribers(self.resolve_topic_name(topic))

    def change_state(self, node: str, transition: str) -> None:
        """Ask a lifecycle node for a transition: "configure", "activate", "deactivate".

        Raises MxError when it does not answer.
        """
        client: Client = self.create_client(ChangeState, f"{node}/change_state")
        if not client.wait_for_service(5.0):
            raise MxError(f"{node} does not answer; is it running? See ./mx doctor")
        identity = {
            "configure": Transition.TRANSITION_CONFIGURE,
            "activate": Transition.TRANSITION_ACTIVATE,
            "deactivate": Transition.TRANSITION_DEACTIVATE,
        }[transition]
        client.call_async(ChangeState.Request(transition=Transition(id=identity)))

    def _on_faces(self, message: mx.Faces) -> None:
        self.heard.faces.append(message_to_boxes(message))

    def _on_scores(self, message: mx.ActionUnits) -> None:
        self.heard.au = tuple(message.au)
        score = np.asarray(message.score, np.float32)
        self.heard.scores.append((time_to_ns(message.header.stamp), message.face_id, score))

    def _on_micro_expression(self, message: mx.MicroExpression) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        self.heard.micro_expressions.append((stamp_ns, message_to_micro_expression(message)))

    def _on_label(self, message: mx.Label) -> None:
        self.heard.labels.append(message_to_label(message))

    def _on_reconstruction(self, message: Image) -> None:
        frame = message_to_frame(message)
        face = message.header.frame_id.removeprefix("face_")
        self.heard.reconstructions.append((face, Frame(frame.stamp_ns, frame.image.copy())))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.rpartition("/")[2]
            self.heard.diagnostics[name] = {item.key: item.value for item in status.values}
            if status.level != b"\x00":
                self.heard.problems[name][status.message] += 1


N = TypeVar("N", bound=Node)


class Monitor(Generic[N]):
    """A monitor node spinning in a thread, for programs that are not nodes themselves."""

    def __init__(self, node_class: Callable[[], N]) -> None:
        self._node_class = node_class

    def __enter__(self) -> N:
        rclpy.init(args=[])
        for number in (signal.SIGINT, signal.SIGTERM):
            # The handlers of ROS end its part only: the program would go on without it.
            signal.signal(number, signal.default_int_handler)
        self._node = self._node_class()
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()
        return self._node

    def __exit__(self, *_: object) -> None:
        self._executor.shutdown()
        self._thread.join(5.0)
        self._node.destroy_node()
        rclpy.try_shutdown()

    def _spin(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin()
