"""Event packets and face boxes in; event tensors, face crops and an event image out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import ClassVar

from event_camera_msgs.msg import EventPacket
from message_filters import Subscriber, TimeSynchronizer
from sensor_msgs.msg import CameraInfo, Image

from mx_capture.config import Config, setting
from mx_capture.conversions import (
    image_to_message,
    message_to_frame,
    message_to_packet,
    message_to_rois,
    tensor_to_message,
    time_to_ns,
)
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig
from mx_capture.layout import MAX_FACES
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS, SENSOR_QOS, ManagedNode
from mx_capture.nodes.executable import run
from mx_capture.registration import RegistrationConfig, load_registration
from mx_capture.stream import Frame
from mx_capture.tensorizer import StampedTensor, Tensorizer, TensorizerConfig
from mx_msgs import msg as mx

_LONGEST_WAIT_S = 1.0
"""Packets that waited longer are dropped: scores for a robot may be late by that much, not more."""

_UNCALIBRATED = (
    "RGB and events come from two cameras, and crops are where the face would be if both saw the "
    "same; run ./mx calibrate and start with calibration:=FILE"
)
_EXPIRED = "nobody tells where the face is any more; see face_detector_node, and start it again"


@dataclass(frozen=True)
class PicturesConfig(Config):
    """Which pictures of people leave the node."""

    pictures: str = setting(
        "all",
        "all: face_crops and event_image; events: event_image only, to find faces without RGB; "
        "none: tensors only",
        choices=("all", "events", "none"),
    )


class EventTensorNode(ManagedNode):
    """Cuts the event stream on the hop grid and between RGB frames, for every face."""

    losses: ClassVar = {
        "shed_packets": "packets come faster than they are handled; lower the event rate",
        "lost_packets": "packets were dropped on the way here; lower the event rate",
        "bad_packets": "the driver sends what its encoding does not allow; see the log",
        "mismatched_packets": "packets of another camera or size came; run one camera a topic",
        "format_changes": "packets of two kinds or sizes came; run one event camera a topic",
        "frames_without_trigger": "no trigger edge belongs to an image; check voltage and wiring",
        "out_of_range": "events lie outside the sensor; check the driver's encoding",
        "gaps": "no event came for a second or more; check the camera and its cable",
        "time_jumps": "sensor time stepped back; the camera or its clock was reset",
        "clock_jumps": "one of the clocks was set; check what synchronises the time",
        "spare_faces": f"more than {MAX_FACES} faces came, and those beyond are not cut out",
        "different_clocks": "packets carry another clock; start with clock:=arrival",
    }
    limits: ClassVar = {
        "event_to_tensor": (50.0, "the machine is too busy; free a core or lower the event rate")
    }
    silences: ClassVar = {
        "packets": "no packet on event_camera/events; start the camera, or remap its topic to this",
    }

    def __init__(self) -> None:
        # Packets come in a thread of their own, images and faces through the executor.
        self._lock = threading.RLock()
        super().__init__(
            "event_tensor_node",
            TensorConfig,
            TensorizerConfig,
            RegistrationConfig,
            PicturesConfig,
        )

    def load(self) -> None:
        registration = load_registration(self.config(RegistrationConfig))
        self.tensorizer = Tensorizer(
            self.config(TensorConfig), self.config(TensorizerConfig), registration
        )
        self.tensorizer.warm_up()

    def start(self) -> None:
        self._pairs: deque[tuple[Image, mx.Faces]] = deque()
        self._event_frame = "event_camera"
        self.event_tensors = self.publish_to(mx.EventTensor, "event_tensors")
        self.frame_tensors = self.publish_to(mx.EventTensor, "frame_tensors")
        pictures = self.config(PicturesConfig).pictures
        self.event_image = None if pictures == "none" else self.publish_to(Image, "event_image")
        self._drawing = False
        self._events = self.listen_to(
            EventPacket,
            "event_camera/events",
            self.on_events,
            EVENTS_QOS,
            longest_wait_s=_LONGEST_WAIT_S,
        )
        self.subscribe_to(CameraInfo, "rgb/camera_info", self.on_camera_info, SENSOR_QOS)
        if pictures == "all":
            self.pair_images_with_faces()
        else:
            self.subscribe_to(mx.Faces, "faces", self.on_faces)

    def stop(self) -> None:
        # A picture may still be under way.
        self.event_image = None

    def pair_images_with_faces(self) -> None:
        self.face_crops = self.publish_to(Image, "face_crops")
        images = Subscriber(self, Image, "rgb/image_raw", qos_profile=SENSOR_QOS)
        faces = Subscriber(self, mx.Faces, "faces", qos_profile=RESULT_QOS)
        self.release_at_stop(self.destroy_subscription, images.sub, faces.sub)
        self._synchronizer = TimeSynchronizer([images, faces], 30)
        # Only enqueue: this runs inside the filter's lock. The callbacks after it run outside.
        self._synchronizer.registerCallback(lambda *pair: self._pairs.append(pair))
        images.registerCallback(lambda _: self.on_pairs())
        faces.registerCallback(self.on_faces)

    def on_events(self, message: EventPacket) -> None:
        with self._lock:
            self._event_frame = message.header.frame_id
            try:
                tensors = self.tensorizer.add_packet(message_to_packet(message))
            except MxError as error:
                self.health.count("bad_packets")
                self.warn(str(error))
                return
            self.publish(tensors, self.event_tensors, "event_to_tensor")
            self.publish_frame_tensors()
            self.publish_event_image()

    def on_camera_info(self, message: CameraInfo) -> None:
        stamp_ns = time_to_ns(message.header.stamp)
        with self._lock:
            self.tensorizer.observe_frame(stamp_ns, (message.height, message.width))

    def on_faces(self, message: mx.Faces) -> None:
        in_events = message.header.frame_id == self._event_frame
        stamp_ns = time_to_ns(message.header.stamp)
        self.health.count("spare_faces", max(len(message.faces) - MAX_FACES, 0))
        del message.faces[MAX_FACES:]
        with self._lock:
            self.tensorizer.add_faces(stamp_ns, message_to_rois(message), in_events)
        self.on_pairs()

    def on_pairs(self) -> None:
        while self._pairs:
            image, faces = self._pairs.popleft()
            with self._lock:
                crops = self.tensorizer.add_frame(message_to_frame(image), message_to_rois(faces))
            for crop in crops:
                frame_id = f"face_{crop.face_id}"
                self.face_crops.publish(image_to_message(crop.image, crop.stamp_ns, frame_id))
        with self._lock:
            self.publish_frame_tensors()

    def publish_frame_tensors(self) -> None:
        self.publish(self.tensorizer.frame_tensors(), self.frame_tensors, "event_to_frame_tensor")

    def publish(self, tensors: Iterable[StampedTensor], publisher, latency: str) -> None:  # type: ignore[no-untyped-def]
        for stamped in tensors:
            message = tensor_to_message(
                stamped.tensor, stamped.start_ns, stamped.end_ns, self._event_frame
            )
            publisher.publish(message)
            self.health.count(publisher.topic_name.rpartition("/")[2])
            self.health.latency(latency, (self.now_ns() - stamped.end_ns) / 1e6)

    def publish_event_image(self) -> None:
        publisher = self.event_image
        if publisher is None or publisher.get_subscription_count() == 0:
            return
        draw = self.tensorizer.event_image_later()
        if draw is None or self.executor is None or self._drawing:
            return
        # Packets do not wait for the picture.
        self._drawing = True
        self.executor.create_task(self.draw_event_image, draw)

    def draw_event_image(self, draw: Callable[[], Frame]) -> None:
        frame = draw()
        self._drawing = False
        if self.event_image is not None:
            message = image_to_message(frame.image, frame.stamp_ns, self._event_frame)
            self.event_image.publish(message)

    def observe(self) -> None:
        if hasattr(self, "tensorizer"):
            with self._lock:
                self.health.set_counts(self.tensorizer.totals())
                self.health.facts.update(self.tensorizer.facts())
            for name, wrong, text in (
                ("faces", self.tensorizer.faces_expired, _EXPIRED),
                ("calibration", self.tensorizer.uncalibrated, _UNCALIBRATED),
            ):
                if wrong:
                    self.health.problem(name, text)
                else:
                    self.health.solved(name)
        if hasattr(self, "_events"):
            self.health.set_counts({"shed_packets": self._events.shed})


def main() -> None:
    run(EventTensorNode)
