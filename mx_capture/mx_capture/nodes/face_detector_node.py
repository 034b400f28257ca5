"""Images in, tracked faces out: from RGB frames, or from accumulated events in the dark."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from sensor_msgs.msg import Image

from mx_capture.config import Config, setting
from mx_capture.conversions import faces_to_message, message_to_frame
from mx_capture.errors import MxError
from mx_capture.face_finder import FaceFinder, FaceFinderConfig
from mx_capture.faces.detector import FaceDetectorConfig
from mx_capture.faces.tracker import TrackedFace, TrackerConfig
from mx_capture.node_setup import RESULT_QOS, SENSOR_QOS, ManagedNode
from mx_capture.nodes.executable import run
from mx_capture.nodes.face_topics import FaceTopics, FaceTopicsConfig
from mx_capture.stream import Frame
from mx_msgs.msg import Faces

_NO_FRAMES = (
    "no RGB frame that shows something: faces are looked for in events, and found less often; see "
    "the camera and its light"
)


@dataclass(frozen=True)
class PicturesConfig(Config):
    """Whether pictures of people leave the node."""

    pictures: bool = setting(
        True, "Publish cropped, aligned and landmarks of each face; false: its box only"
    )


class FaceDetectorNode(ManagedNode):
    """From `rgb/image_raw` or, without usable frames, `event_image` to `faces` and REP-155."""

    losses: ClassVar = {"bad_images": "the camera sends what is no picture; set its pixel format"}
    silences: ClassVar = {
        "frames event_images": "no images come; start a camera, or remap its topic to rgb/image_raw"
    }
    niceness: ClassVar = 5

    def __init__(self) -> None:
        super().__init__(
            "face_detector_node",
            FaceFinderConfig,
            FaceDetectorConfig,
            TrackerConfig,
            FaceTopicsConfig,
            PicturesConfig,
        )

    def load(self) -> None:
        self.finder = FaceFinder(
            self.config(FaceFinderConfig),
            self.config(FaceDetectorConfig),
            self.config(TrackerConfig),
        )
        pictures = self.config(PicturesConfig).pictures
        self.humans = FaceTopics(self, self.config(FaceTopicsConfig), pictures)

    def update(self) -> None:
        self.finder.adopt(self.config(FaceFinderConfig), self.config(TrackerConfig))

    def start(self) -> None:
        self.faces = self.publish_to(Faces, "faces", RESULT_QOS)
        self.humans.start()
        self.subscribe_to(Image, "rgb/image_raw", self.find_in_frame, SENSOR_QOS)
        self._event_images: Any = None
        self._usable_s = float("-inf")
        self.health.solved("rgb")
        self.every(0.25, self.watch_frames)

    def watch_frames(self) -> None:
        """Event images are made only while somebody listens: when frames are dark or absent.

        Frames that come late on a busy machine do come: their stamps do not matter here.
        """
        silent_s = time.monotonic() - self._usable_s
        wanted = silent_s * 1e3 >= self.finder.config.frame_timeout_ms
        if wanted and self._event_images is None:
            self._event_images = self.subscribe_to(
                Image, "event_image", self.find_in_events, SENSOR_QOS
            )
            if self.finder.counters["frames"]:
                self.health.problem("rgb", _NO_FRAMES)
        elif not wanted and self._event_images is not None:
            self.health.solved("rgb")
            self.withdraw(self._event_images)
            self._event_images = None

    def find_in_frame(self, image: Image) -> None:
        self.find(image, self.finder.in_frame, in_events=False)

    def find_in_events(self, image: Image) -> None:
        self.find(image, self.finder.in_events, in_events=True)

    def find(
        self,
        image: Image,
        finder: Callable[[Frame], list[TrackedFace] | None],
        in_events: bool,
    ) -> None:
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
        if not in_events:
            self._usable_s = time.monotonic()
        self.faces.publish(faces_to_message(faces, frame.stamp_ns, image.header.frame_id))
        self.health.latency("detection", (time.perf_counter() - began) * 1e3)
        self.health.latency("image_to_faces", (self.now_ns() - frame.stamp_ns) / 1e6)
        self.humans.publish(faces, frame.image, image.header, in_events)

    def observe(self) -> None:
        if hasattr(self, "finder"):
            self.health.set_counts(self.finder.counters)


def main() -> None:
    run(FaceDetectorNode)
