"""Listens to a running graph for the live page of `./mx view`."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from mx_capture.errors import MxError
from mx_capture.node_setup import RESULT_QOS
from rclpy.exceptions import InvalidNamespaceException
from rclpy.node import Node

from mx_perception.live_view import LiveView
from mx_perception.nodes.live_topics import LiveTopics
from mx_perception.page.health import Reports
from mx_perception.page.state import PageState

_UNWATCHED_S = 10.0
"""Without a question from a browser for this long, only diagnostics are listened to."""


class ViewNode(Node):
    """Subscribes images, events and results while a browser asks for them."""

    def __init__(self, namespace: str = "") -> None:
        """Raises MxError when `namespace` cannot be one."""
        try:
            super().__init__("view_node", namespace=namespace)
        except InvalidNamespaceException as error:
            line = str(error).partition("\n")[0]
            raise MxError(f"namespace {namespace!r}: {line}") from error
        self.page = PageState(LiveView(), Reports())
        self._topics = LiveTopics(self, self.page.live)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RESULT_QOS)
        self.create_timer(0.2, self._follow_browsers)

    def _follow_browsers(self) -> None:
        if time.monotonic() - self.page.asked_s < _UNWATCHED_S:
            self._topics.open()
        else:
            self._topics.close()

    def destroy_node(self) -> None:
        """End the subscriptions, too, that take what browsers ask for."""
        self._topics.close()
        super().destroy_node()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            level = int.from_bytes(status.level, "little")
            self.page.reports.add(status.name, level, status.message, values)
