"""An RGB camera that tells where faces are and never shows them, for privacy.

Camera and face detector in one process: images do not leave it.
"""

from __future__ import annotations

from std_msgs.msg import Header

from mx_capture.conversions import faces_to_message, ns_to_time
from mx_capture.face_finder import FaceFinder, FaceFinderConfig
from mx_capture.faces.detector import FaceDetectorConfig
from mx_capture.faces.tracker import TrackedFace, TrackerConfig
from mx_capture.health import WARN
from mx_capture.node_setup import RESULT_QOS
from mx_capture.nodes.executable import run
from mx_capture.nodes.face_topics import FaceTopics, FaceTopicsConfig
from mx_capture.nodes.rgb_camera_node import RgbCameraNode
from mx_capture.stream import RGB_FRAME, Frame
from mx_msgs.msg import Faces

_DARK = "too dark to find faces, and in privacy mode there is no other way; add light"


class FaceCameraNode(RgbCameraNode):
    """Publishes `faces`, `/humans/faces/tracked` and boxes, and `rgb/camera_info`."""

    publishes_images = False

    def __init__(self) -> None:
        super().__init__(
            "face_camera_node",
            FaceFinderConfig,
            FaceDetectorConfig,
            TrackerConfig,
            FaceTopicsConfig,
        )

    def load(self) -> None:
        super().load()
        self.finder = FaceFinder(
            self.config(FaceFinderConfig),
            self.config(FaceDetectorConfig),
            self.config(TrackerConfig),
        )
        self.humans = FaceTopics(self, self.config(FaceTopicsConfig), pictures=False)

    def update(self) -> None:
        self.finder.adopt(self.config(FaceFinderConfig), self.config(TrackerConfig))

    def start(self) -> None:
        self.faces = self.publish_to(Faces, "faces", RESULT_QOS)
        self.humans.start()
        self.active = True
        super().start()

    def stop(self) -> None:
        super().stop()
        # What the last frame has to tell may still wait for the executor.
        self.active = False

    def publish_frame(self, frame: Frame) -> None:
        super().publish_frame(frame)
        faces = self.finder.in_frame(frame)
        if faces is None:
            self.health.problem("dark", _DARK, level=WARN)
            return
        self.health.solved("dark")
        self.faces.publish(faces_to_message(faces, frame.stamp_ns, RGB_FRAME))
        self.health.latency("image_to_faces", (self.now_ns() - frame.stamp_ns) / 1e6)
        if self.executor is not None:
            # Frames come in the player's thread, the topics of faces belong to the executor's.
            self.executor.create_task(self.tell, faces, frame)

    def tell(self, faces: list[TrackedFace], frame: Frame) -> None:
        """REP-155."""
        if not self.active:
            return
        header = Header(stamp=ns_to_time(frame.stamp_ns), frame_id=RGB_FRAME)
        self.humans.publish(faces, frame.image, header)

    def observe(self) -> None:
        super().observe()
        if hasattr(self, "finder"):
            self.health.set_counts(self.finder.counters)


def main() -> None:
    run(FaceCameraNode)
