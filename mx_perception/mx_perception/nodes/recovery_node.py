"""Listens for what each node says again after its end: `./mx bench recovery` uses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mx_capture.conversions import time_to_ns
from mx_capture.node_setup import RESULT_QOS
from rclpy.node import Node
from sensor_msgs.msg import Image

from mx_msgs import msg as mx

TOPICS: dict[str, Any] = {
    "action_units": mx.ActionUnits,
    "faces": mx.Faces,
    "reconstruction": Image,
}


class RecoveryNode(Node):
    """The latest stamp of each topic, and when the first one after a given moment came."""

    def __init__(self) -> None:
        super().__init__("recovery_node")
        self._after_ns = 0
        self._first_s: dict[str, float] = {}
        for topic, message_type in TOPICS.items():
            self.create_subscription(message_type, topic, self._callback(topic), RESULT_QOS)

    def forget(self) -> None:
        """From now on, count only what is about the time from now on."""
        self._after_ns = self.get_clock().now().nanoseconds
        self._first_s = {}

    def first_s(self, topic: str) -> float | None:
        """When the first message came that is stamped after `forget`, on the monotonic clock."""
        return self._first_s.get(topic)

    def _callback(self, topic: str) -> Callable[[Any], None]:
        def on_message(message: Any) -> None:
            if time_to_ns(message.header.stamp) > self._after_ns:
                self._first_s.setdefault(topic, time.monotonic())

        return on_message
