"""The capture nodes' work on a source, without ROS: the same steps, the same results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mx_capture.event_tensor import TensorConfig
from mx_capture.face_finder import FaceFinder, FaceFinderConfig
from mx_capture.faces.detector import FaceDetectorConfig
from mx_capture.faces.tracker import TrackedFace, TrackerConfig
from mx_capture.registration import RegistrationConfig, load_registration
from mx_capture.stream import Frame, Label, Packet, Source
from mx_capture.tensorizer import FaceCrop, StampedTensor, Tensorizer, TensorizerConfig


@dataclass(frozen=True)
class PipelineConfig:
    """The configurations of face_detector_node and event_tensor_node."""

    finder: FaceFinderConfig = field(default_factory=FaceFinderConfig)
    detector: FaceDetectorConfig = field(default_factory=FaceDetectorConfig)
    tracker: TrackerConfig = field(default_factory=TrackerConfig)
    tensor: TensorConfig = field(default_factory=TensorConfig)
    tensorizer: TensorizerConfig = field(default_factory=TensorizerConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)


@dataclass(frozen=True)
class FacesFound:
    """Tracked faces in the image of `stamp_ns`."""

    stamp_ns: int
    faces: list[TrackedFace]
    in_events: bool


@dataclass(frozen=True)
class FrameTensor:
    """The events of one face between two RGB frames; its crop in the earlier one is the key."""

    stamped: StampedTensor


Output = FacesFound | StampedTensor | FaceCrop | FrameTensor | Label


class Pipeline:
    """Takes items in the order of their stamps and gives what the nodes would publish."""

    def __init__(self, config: PipelineConfig | None = None, crops: bool = True) -> None:
        """Without `crops` no FaceCrop comes out, and no time is spent on them."""
        config = config or PipelineConfig()
        self._crops = crops
        self.finder = FaceFinder(config.finder, config.detector, config.tracker)
        registration = load_registration(config.registration)
        self.tensorizer = Tensorizer(config.tensor, config.tensorizer, registration)

    def run(self, source: Source) -> Iterator[Output]:
        """Everything that comes out of a whole source."""
        for item in source:
            yield from self.add(item)

    def add(self, item: Packet | Frame | Label) -> Iterator[Output]:
        """What one more item gives."""
        if isinstance(item, Packet):
            yield from self.tensorizer.add_packet(item)
            yield from self._frame_tensors()
            unusable = not self.finder.frames_usable(item.stamp_ns)
            image = self.tensorizer.event_image() if unusable else None
            if image is not None:
                yield from self._found(image.stamp_ns, self.finder.in_events(image), True)
        elif isinstance(item, Frame):
            height, width = item.image.shape[:2]
            self.tensorizer.observe_frame(item.stamp_ns, (height, width))
            faces = self.finder.in_frame(item)
            yield from self._found(item.stamp_ns, faces, False)
            if faces is not None:
                rois = {face.id: face.roi for face in faces}
                crops = self.tensorizer.add_frame(item, rois)
                if self._crops:
                    yield from crops
                yield from self._frame_tensors()
        else:
            yield item

    def _found(
        self, stamp_ns: int, faces: list[TrackedFace] | None, in_events: bool
    ) -> Iterator[FacesFound]:
        if faces is not None:
            rois = {face.id: face.roi for face in faces}
            self.tensorizer.add_faces(stamp_ns, rois, in_events)
            yield FacesFound(stamp_ns, faces, in_events)

    def _frame_tensors(self) -> Iterator[FrameTensor]:
        for stamped in self.tensorizer.frame_tensors():
            yield FrameTensor(stamped)
