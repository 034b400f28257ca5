"""What all cameras share: a source played into topics, from a thread of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from event_camera_msgs.msg import EventPacket
from sensor_msgs.msg import CameraInfo, Image

from mx_capture.config import Config, setting
from mx_capture.conversions import (
    camera_info,
    image_to_message,
    label_to_message,
    packet_to_message,
)
from mx_capture.errors import MxError
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS, ManagedNode
from mx_capture.player import Player
from mx_capture.stream import Frame, Label, Packet, Source
from mx_msgs import msg as mx


@dataclass(frozen=True)
class PlayConfig(Config):
    """How a source is played."""

    rate: float = setting(
        1.0, "Speed of a recording; 1 is recorded time", minimum=0.01, maximum=100.0
    )
    loop: bool = setting(True, "Start a recording over at its end")
    event_frame_id: str = setting("event_camera", "frame_id of the event packets")
    rgb_frame_id: str = setting("rgb_camera", "frame_id of the images")


class CameraNode(ManagedNode):
    """Publishes what its source yields; `open` says which source and which parts of it."""

    losses: ClassVar = {
        "late_items": "this machine cannot publish in recorded time; lower rate or free a core"
    }
    wanted: tuple[type, ...] = (Packet, Frame, Label)
    follows_clock = False
    """True plays the moment `ROS time mod duration`, so that several processes agree."""

    def open(self) -> Source:
        """The source to play. Raises MxError."""
        raise MxError(f"{type(self).__name__} opens no source")

    def load(self) -> None:
        self.play = self.config(PlayConfig)
        self.source = self.open()
        self.health.facts["source"] = self.source.name
        # Made before activation, so that subscribers are matched when the first item comes.
        self._publishers: dict[str, Any] = {}
        if self.source.event_size is not None and Packet in self.wanted:
            self._add("event_camera/events", EventPacket, EVENTS_QOS)
        if self.source.frame_size is not None and Frame in self.wanted:
            self._add("rgb/image_raw", Image, RESULT_QOS)
            self._add("rgb/camera_info", CameraInfo, RESULT_QOS)
        if Label in self.wanted:
            self._add("labels", mx.Label, RESULT_QOS)

    def start(self) -> None:
        self._player = Player(
            self.source,
            self.publish,
            now_ns=self.now_ns,
            rate=self.play.rate,
            loop=self.play.loop,
            follow_clock=self.follows_clock,
        )
        self._player.start()

    def stop(self) -> None:
        self._player.stop()

    def unload(self) -> None:
        for publisher in self._publishers.values():
            self.destroy_publisher(publisher)
        self._publishers.clear()

    def publish(self, item: Packet | Frame | Label) -> None:
        """Called by the player when an item is due; its stamps are ROS time by then."""
        if type(item) not in self.wanted:
            return
        if isinstance(item, Packet):
            message = packet_to_message(item, self.play.event_frame_id)
            self._publish("event_camera/events", message)
        elif isinstance(item, Frame):
            frame_id, size = self.play.rgb_frame_id, item.image.shape[:2]
            self._publish("rgb/image_raw", image_to_message(item.image, item.stamp_ns, frame_id))
            self._publish("rgb/camera_info", camera_info(size, item.stamp_ns, frame_id))
        else:
            self._publish("labels", label_to_message(item, self.play.rgb_frame_id))

    def observe(self) -> None:
        if hasattr(self, "_player"):
            self.health.set_counts(self._player.counters)
            if self._player.failure:
                self.health.problem("source", self._player.failure, level=2)
        for topic, publisher in getattr(self, "_publishers", {}).items():
            self.health.facts[f"{topic}_subscribers"] = str(publisher.get_subscription_count())

    def _add(self, topic: str, message_type: Any, qos: Any) -> None:
        self._publishers[topic] = self.create_publisher(message_type, topic, qos)

    def _publish(self, topic: str, message: Any) -> None:
        self._publishers[topic].publish(message)
        self.health.count("published_" + topic.rpartition("/")[2])
