"""Measures how long events take to come back as tensors; `./mx bench latency` uses it."""

from __future__ import annotations

from mx_capture.conversions import ns_to_time, roi_to_message, time_to_ns
from mx_capture.node_setup import RESULT_QOS
from mx_capture.roi import Roi

from mx_msgs import msg as mx
from mx_perception.nodes.monitor_node import MonitorNode


class LatencyNode(MonitorNode):
    """Tells event_tensor_node of one face, and times the tensors of that face."""

    def __init__(self) -> None:
        super().__init__()
        self.latency_ms: list[float] = []
        """From the start of a tensor's window to its arrival here."""
        self._faces = self.create_publisher(mx.Faces, "faces", RESULT_QOS)
        self.create_subscription(mx.EventTensor, "event_tensors", self._on_whole_tensor, RESULT_QOS)

    def tell_face(self, roi: Roi) -> None:
        """A face that has been there for a second."""
        message = mx.Faces(faces=[mx.Face(id="f00000", roi=roi_to_message(roi), score=1.0)])
        message.header.stamp = ns_to_time(self.get_clock().now().nanoseconds - 1_000_000_000)
        message.header.frame_id = "event_camera"
        self._faces.publish(message)

    def _on_whole_tensor(self, message: mx.EventTensor) -> None:
        start_ns = time_to_ns(message.window_start)
        self.latency_ms.append((self.get_clock().now().nanoseconds - start_ns) / 1e6)
