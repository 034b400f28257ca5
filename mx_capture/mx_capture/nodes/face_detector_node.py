"""Images in, tracked faces out: from RGB frames, or from accumulated events in the dark."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sensor_msgs.msg import Image

from mx_capture.conversions import faces_to_message, message_to_frame
from mx_capture.errors import MxError
from mx_capture.face_finder import FaceFinder, FaceFinderConfig
from mx_capture.faces.detector import FaceDetectorConfig
from mx_capture.faces.tracker import TrackedFace, TrackerConfig
from mx_capture.node_setup import RESULT_QOS, SENSOR_QOS, ManagedNode, run
from mx_capture.stream import Frame
from mx_msgs.msg import Faces


class FaceDetectorNode(ManagedNode):
    """`rgb/image_raw` or, without usable frames, `event_image` to `faces`."""

    def __init__(self) -> None:
        super().__init__("face_detector_node", FaceFinderConfig, FaceDetectorConfig, TrackerConfig)

    def load(self) -> None:
        self.finder = FaceFinder(
            self.config(FaceFinderConfig),
            self.config(FaceDetectorConfig),
            self.config(TrackerConfig),
        )

    def start(self) -> None:
        self.faces = self.publish_to(Faces, "faces", RESULT_QOS)
        self.subscribe_to(
            Image, "rgb/image_raw", lambda image: self.find(image, self.finder.in_frame), SENSOR_QOS
        )
        self._event_images: Any = None
        self.every(0.25, self.watch_frames)

    def watch_frames(self) -> None:
        """Event images are made only while somebody listens: when frames are dark or absent."""
        wanted = not self.finder.frames_usable(self.now_ns())
        if wanted and self._event_images is None:
            self._event_images = self.subscribe_to(
                Image,
                "event_image",
                lambda image: self.find(image, self.finder.in_events),
                SENSOR_QOS,
            )
        elif not wanted and self._event_images is not None:
            self.withdraw(self._event_images)
            self._event_images = None

    def find(self, image: Image, finder: Callable[[Frame], list[TrackedFace] | None]) -> None:
        began = time.perf_counter()
        try:
            frame = message_to_frame(image)
        except MxError as error:
            self.health.count("bad_images")
            self.warn(str(error))
            return
        faces = finder(frame)
        if faces is None:
            return
        self.faces.publish(faces_to_message(faces, frame.stamp_ns, image.header.frame_id))
        self.health.latency("detection", (time.perf_counter() - began) * 1e3)
        self.health.latency("image_to_faces", (self.now_ns() - frame.stamp_ns) / 1e6)

    def observe(self) -> None:
        if hasattr(self, "finder"):
            self.health.set_counts(self.finder.counters)


def main() -> None:
    run(FaceDetectorNode)
