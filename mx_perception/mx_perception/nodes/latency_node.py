"""Measures how long events take to come back as tensors; `./mx bench latency` uses it."""

from __future__ import annotations

from mx_capture.conversions import ns_to_time, roi_to_message, time_to_ns
from mx_capture.node_setup import RESULT_QOS
from mx_capture.nodes.listener import Listener
from mx_capture.roi import Roi

from mx_msgs import msg as mx
from mx_perception.nodes.monitor_node import MonitorNode


class LatencyNode(MonitorNode):
    """Tells event_tensor_node of one face, and writes down when the tensors of it arrive."""

    def __init__(self) -> None:
        super().__init__()
        self.received_ns: list[tuple[int, int]] = []
        """Of each tensor the start of its window and its arrival, in ROS time."""
        self._faces = self.create_publisher(mx.Faces, "faces", RESULT_QOS)
        self._tensors = Listener(
            self, mx.EventTensor, "event_tensors", self._on_whole_tensor, RESULT_QOS
        )

    def destroy_node(self) -> None:
        self._tensors.close()
        super().destroy_node()

    def tell_face(self, roi: Roi) -> None:
        """A face that has been there for a second."""
        message = mx.Faces(faces=[mx.Face(id="f00000", roi=roi_to_message(roi), score=1.0)])
        message.header.stamp = ns_to_time(self.get_clock().now().nanoseconds - 1_000_000_000)
        message.header.frame_id = "event_camera"
        self._faces.publish(message)

    def _on_whole_tensor(self, message: mx.EventTensor) -> None:
        arrived_ns = self.get_clock().now().nanoseconds
        self.received_ns.append((time_to_ns(message.window_start), arrived_ns))
