"""Subscribes what a `LiveView` shows, while somebody looks at it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from event_camera_msgs.msg import EventPacket
from mx_capture.conversions import (
    message_to_frame,
    message_to_label,
    message_to_packet,
    time_to_ns,
)
from mx_capture.errors import MxError
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS, SENSOR_QOS
from mx_capture.nodes.listener import Listener
from mx_capture.stream import EVENT_FRAME, Frame
from rclpy.node import Node
from sensor_msgs.msg import Image

from mx_msgs import msg as mx
from mx_perception.conversions import message_to_boxes, message_to_micro_expression
from mx_perception.live_view import LiveView


class LiveTopics:
    """The subscriptions of a node that fill a `LiveView`; none of them exists while closed."""

    def __init__(self, node: Node, live: LiveView) -> None:
        self._node, self._live = node, live
        self._event_frame = EVENT_FRAME
        self._undo: list[tuple[Callable[[Any], Any], Any]] = []

    @property
    def opened(self) -> bool:
        """Whether anything is subscribed."""
        return bool(self._undo)

    def open(self) -> None:
        """Subscribe."""
        if self.opened:
            return
        for message_type, topic, callback, qos in (
            (Image, "rgb/image_raw", self._on_image, SENSOR_QOS),
            (Image, "reconstruction", self._on_reconstruction, SENSOR_QOS),
            (mx.Faces, "faces", self._on_faces, RESULT_QOS),
            (mx.ActionUnits, "action_units", self._on_scores, RESULT_QOS),
            (mx.MicroExpression, "micro_expressions", self._on_expression, RESULT_QOS),
            (mx.Label, "labels", self._on_label, RESULT_QOS),
        ):
            entity = self._node.create_subscription(message_type, topic, callback, qos)
            self._undo.append((self._node.destroy_subscription, entity))
        events = Listener(
            self._node, EventPacket, "event_camera/events", self._on_events, EVENTS_QOS
        )
        self._undo.append((Listener.close, events))

    def close(self) -> None:
        """End all subscriptions."""
        while self._undo:
            destroy, entity = self._undo.pop()
            destroy(entity)

    def _on_image(self, message: Image) -> None:
        if frame := self._frame(message):
            self._live.add_frame(frame)

    def _on_events(self, message: EventPacket) -> None:
        self._event_frame = message.header.frame_id
        self._live.add_packet(message_to_packet(message))

    def _on_faces(self, message: mx.Faces) -> None:
        self._live.add_faces(message_to_boxes(message, self._event_frame))

    def _on_scores(self, message: mx.ActionUnits) -> None:
        stamp_ns, score = time_to_ns(message.header.stamp), np.asarray(message.score, np.float32)
        self._live.add_scores(stamp_ns, message.face_id, message.au, score)

    def _on_expression(self, message: mx.MicroExpression) -> None:
        self._live.add_expression(message_to_micro_expression(message))

    def _on_label(self, message: mx.Label) -> None:
        self._live.add_label(message_to_label(message))

    def _on_reconstruction(self, message: Image) -> None:
        face = message.header.frame_id.removeprefix("face_")
        if frame := self._frame(message):
            self._live.add_reconstruction(face, frame)

    def _frame(self, message: Image) -> Frame | None:
        try:
            return message_to_frame(message)
        except MxError:
            self._live.counters["bad_images"] += 1
            return None
