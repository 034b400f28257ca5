"""Listens to a graph for hours, and keeps only the latest: `./mx bench soak` uses it."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray
from mx_capture.node_setup import RESULT_QOS
from rclpy.node import Node

from mx_msgs import msg as mx


class SoakNode(Node):
    """The first score, and the diagnostics of every node."""

    def __init__(self) -> None:
        super().__init__("soak_node")
        self.first_score_s: float | None = None
        """When the first score came, on the monotonic clock."""
        self._values: dict[str, dict[str, str]] = {}
        self.create_subscription(mx.ActionUnits, "action_units", self._on_scores, RESULT_QOS)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RESULT_QOS)

    def number(self, node: str, key: str) -> float | None:
        """The latest diagnostic value of a node; None as long as it was not heard."""
        value = self._values.get(node, {}).get(key)
        return None if value is None else float(value)

    def _on_scores(self, _: mx.ActionUnits) -> None:
        self.first_score_s = self.first_score_s or time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.rpartition("/")[2]
            self._values[name] = {item.key: item.value for item in status.values}
