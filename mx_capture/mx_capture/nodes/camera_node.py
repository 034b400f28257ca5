"""What all cameras share: a source played into topics, from a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from event_camera_msgs.msg import EventPacket
from sensor_msgs.msg import CameraInfo, Image

from mx_capture.conversions import (
    camera_info,
    image_to_message,
    label_to_message,
    packet_to_message,
)
from mx_capture.devices.live import LiveSource
from mx_capture.errors import MxError
from mx_capture.health import ERROR, WARN
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS, ManagedNode
from mx_capture.nodes.listener import raise_it
from mx_capture.player import Player, PlayerConfig
from mx_capture.simulator.cache import simulated_session
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import EVENT_FRAME, RGB_FRAME, Frame, Label, Packet, Source
from mx_msgs import msg as mx


class Stopped(Exception):
    """Ends a player in the middle of its wait."""


class NodeClock:
    """ROS time for a player, until the node is deactivated."""

    def __init__(self, node: ManagedNode) -> None:
        self._node = node
        self.stopped = threading.Event()

    def now_ns(self) -> int:
        return self._node.now_ns()

    def sleep(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise Stopped


class CameraNode(ManagedNode):
    """Publishes what its source yields; `open` says which source and which parts of it."""

    losses: ClassVar = {
        "late_items": "this machine cannot publish in recorded time; lower rate or free a core",
        "unplugged": "the camera was away; check its cable and its power",
        "usb_overflows": "events were lost before they were read; lower max_event_rate or the load",
    }
    wanted: tuple[type, ...] = (Packet, Frame, Label)
    publishes_images = True
    """False keeps the images in this process."""
    joins_clock = False
    """True joins a source that has been running since time 0, so that several processes agree."""

    def open(self) -> Source:
        """The source to play. Raises MxError."""
        raise MxError(f"{type(self).__name__} opens no source")

    def open_simulated(self) -> Source:
        """A simulated person. Rendering one takes a minute, once; meanwhile the node says so."""
        source = simulated_session(self.config(SimulationConfig), self._tell_rendered)
        self.health.solved("rendering")
        return source

    def _tell_rendered(self, share: float) -> None:
        text = f"rendering the simulated person, once: {share:.0%}"
        self.get_logger().info(text, throttle_duration_sec=5.0)
        self.health.problem("rendering", text, level=WARN)
        self.report_while_busy()

    def load(self) -> None:
        self.source = self.open()
        self.health.facts["source"] = self.source.name
        # Made before activation, so that subscribers are matched when the first item comes.
        self._outputs: dict[str, Any] = {}
        if self.source.event_size is not None and Packet in self.wanted:
            self._add("event_camera/events", EventPacket, EVENTS_QOS)
        if self.source.frame_size is not None and Frame in self.wanted:
            if self.publishes_images:
                self._add("rgb/image_raw", Image, RESULT_QOS)
            self._add("rgb/camera_info", CameraInfo, RESULT_QOS)
        if Label in self.wanted:
            self._add("labels", mx.Label, RESULT_QOS)

    def start(self) -> None:
        self._play_clock = NodeClock(self)
        if isinstance(self.source, LiveSource):
            self._items: Iterator[Packet | Frame | Label] = iter(self.source)
        else:
            self._player = self._make_player()
            self._items = (item for item, _ in self._player)
        self._thread = threading.Thread(target=self._play, name="player")
        self._thread.start()

    def _make_player(self) -> Player:
        config = self.config(PlayerConfig)
        if self.joins_clock:
            config = replace(config, loop=True)
        return Player(self.source, config, clock=self._play_clock, join=self.joins_clock)

    def stop(self) -> None:
        self._play_clock.stopped.set()
        if isinstance(self.source, LiveSource):
            self.source.stop()
        self._thread.join()

    def _play(self) -> None:
        try:
            for item in self._items:
                self.publish(item)
            if self._play_clock.stopped.is_set():
                return
            self.get_logger().info(f"end of {self.source.name}")
            self.health.facts["ended"] = "true"
        except Stopped:
            pass
        except MxError as error:
            self.get_logger().error(str(error))
            self.health.problem("source", str(error), level=ERROR)
        except Exception as error:
            # Not when the process was told to end while this thread was publishing.
            if self.executor is not None and self.context.ok():
                self.executor.create_task(raise_it, error)

    def unload(self) -> None:
        for publisher in self._outputs.values():
            self.destroy_publisher(publisher)
        self._outputs.clear()
        if isinstance(self.source, LiveSource):
            self.source.close()

    def publish(self, item: Packet | Frame | Label) -> None:
        """Called when an item is due; its stamps are ROS time by then."""
        if type(item) not in self.wanted:
            return
        if isinstance(item, Packet):
            self._publish("event_camera/events", packet_to_message(item, EVENT_FRAME))
        elif isinstance(item, Frame):
            self.publish_frame(item)
        else:
            self._publish("labels", label_to_message(item, RGB_FRAME))

    def publish_frame(self, frame: Frame) -> None:
        """An image with the size of its camera."""
        stamp_ns, size = frame.stamp_ns, frame.image.shape[:2]
        if self.publishes_images:
            self._publish("rgb/image_raw", image_to_message(frame.image, stamp_ns, RGB_FRAME))
        self._publish("rgb/camera_info", camera_info(size, stamp_ns, RGB_FRAME))

    def observe(self) -> None:
        if hasattr(self, "_player"):
            self.health.set_counts({"late_items": self._player.counters.late})
        source = getattr(self, "source", None)
        if isinstance(source, LiveSource):
            self._observe_device(source)
        for topic, publisher in getattr(self, "_outputs", {}).items():
            self.health.facts[f"{topic}_subscribers"] = str(publisher.get_subscription_count())

    def _observe_device(self, source: LiveSource) -> None:
        self.health.set_counts(source.counters)
        self.health.facts.update(source.facts())
        problem = source.problem  # the camera's thread may solve it at any moment
        if problem is None:
            self.health.solved("device")
        else:
            self.warn(problem)
            self.health.problem("device", problem, level=ERROR)

    def _add(self, topic: str, message_type: Any, qos: Any) -> None:
        self._outputs[topic] = self.create_publisher(message_type, topic, qos)

    def _publish(self, topic: str, message: Any) -> None:
        self._outputs[topic].publish(message)
        self.health.count("published_" + topic.rpartition("/")[2])
