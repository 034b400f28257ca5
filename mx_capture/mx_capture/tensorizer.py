"""From packets, faces and frames to stamped tensors: shared by live and offline runs."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.clock import CLOCKS, make_clock
from mx_capture.codecs import Evt3Encoder
from mx_capture.config import Config, setting
from mx_capture.event_tensor import EventTensor, TensorConfig, TensorStream
from mx_capture.registration import Registration, SameSensor
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

Rois = Mapping[str, Roi]
_PENDING_FRAMES = 30
_EVENT_IMAGE_PERIOD_US = 100_000


@dataclass(frozen=True)
class TensorizerConfig(Config):
    """What the tensorizer adds to `TensorConfig`."""

    clock: str = setting(
        "shared",
        "How sensor time becomes ROS time",
        choices=tuple(CLOCKS),
    )
    event_image_us: int = setting(
        800_000,
        "Events of this long make an event image; a nearly still face needs most of a second",
        minimum=1_000,
        maximum=1_000_000,
    )
    frame_bins: int = setting(5, "Time bins of a frame tensor", minimum=1, maximum=64)


@dataclass(frozen=True)
class StampedTensor:
    """An event tensor with its window in ROS time."""

    tensor: EventTensor
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class FaceCrop:
    """One face of an RGB frame, scaled to the crop: `(H, W[, 3]) uint8`."""

    face_id: str
    stamp_ns: int
    image: np.ndarray


@dataclass(frozen=True)
class _FrameWindow:
    start_ns: int
    end_ns: int
    rois: Rois


class Tensorizer:
    """Cuts the event stream on the hop grid and between RGB frames, for every face.

    Faces may come before or after the events of their time: a box counts from
    `roi_delay_us` after its image on, so the result does not depend on who was faster.
    """

    def __init__(
        self, config: TensorConfig, options: TensorizerConfig, registration: Registration
    ) -> None:
        self.config, self.options, self.registration = config, options, registration
        self.frame_size: tuple[int, int] | None = None
        """(height, width) of the RGB frames, as far as it is known."""
        self.counters: Counter[str] = Counter()
        self.clock = make_clock(options.clock)
        self.stream: TensorStream | None = None
        self._format: tuple[str, int, int] | None = None
        self._faces: deque[tuple[int, Rois]] = deque(maxlen=_PENDING_FRAMES)
        self._known_faces: tuple[int, Rois] | None = None
        self._windows: deque[_FrameWindow] = deque()
        self._event_image: int | None = None
        self._last_frame: tuple[int, Rois] | None = None

    def warm_up(self) -> None:
        """Have everything compiled, on a few events that are forgotten again.

        Otherwise the first packets of a camera would wait for the compiler, for seconds.
        """
        size, roi = (64, 64), Roi.full(64, 64)
        events = np.zeros(8, EVENT_DTYPE)
        events["t"] = np.arange(8) * self.config.hop_us + 1
        events["x"] = np.arange(8) // 4
        stream = TensorStream(self.config, "evt3", *size)
        stream.set_faces(-self.config.roi_delay_us, {"": roi})
        stream.push(Packet(0, 0, "evt3", *size, 0, Evt3Encoder(*size).encode(events)))
        stream.cut(roi, self.config.hop_us, 2 * self.config.hop_us, self.options.frame_bins, "")
        stream.event_image(self.options.event_image_us)

    @property
    def faces_expired(self) -> bool:
        """Whether the last faces are from so long ago that they are followed no longer."""
        return self.stream is not None and self.stream.faces_expired

    def add_packet(self, packet: Packet) -> list[StampedTensor]:
        """The hop tensors that this packet completes, oldest first."""
        stream = self._stream_for(packet)
        tensors = stream.push(packet)
        self.clock.observe_triggers(stream.triggers)
        self.clock.observe(packet, stream.now_us)
        self.clock.observe_triggers(stream.triggers)
        self._hand_over_faces(stream)
        return [self._stamped(tensor) for tensor in tensors]

    def observe_frame(self, stamp_ns: int, size: tuple[int, int]) -> None:
        """Every RGB frame's stamp, which a `trigger` clock pairs with its pulse, and its size."""
        self.frame_size = size
        self.clock.observe_frame(stamp_ns)

    def add_faces(self, stamp_ns: int, rois: Rois, in_events: bool = False) -> None:
        """Face boxes of the image of `stamp_ns`, in its pixels, or in event pixels."""
        if not in_events:
            rois = {face: self.to_event(roi) for face, roi in rois.items()}
        self._faces.append((stamp_ns, rois))
        if self.stream is not None:
            self._hand_over_faces(self.stream)

    def add_frame(self, frame: Frame, rois: Rois) -> Iterator[FaceCrop]:
        """The face crops of an RGB frame, made as they are read.

        Opens the frame's tensors (see `frame_tensors`), whether they are read or not.
        """
        self.clock.observe_frame(frame.stamp_ns)
        if self._last_frame is not None:
            start_ns, start_rois = self._last_frame
            kept = {face: roi for face, roi in start_rois.items() if face in rois}
            self._windows.append(_FrameWindow(start_ns, frame.stamp_ns, kept))
            if len(self._windows) > _PENDING_FRAMES:
                self._windows.popleft()
                self.counters["frame_tensors_without_events"] += 1
        self._last_frame = (frame.stamp_ns, rois)
        size = self.config.width, self.config.height
        return (
            FaceCrop(face, frame.stamp_ns, crop_face(frame.image, roi, size))
            for face, roi in rois.items()
        )

    def frame_tensors(self) -> Iterator[StampedTensor]:
        """Tensors between two RGB frames whose events are all here now.

        They are cut with the box of the earlier frame, whose crop is their key frame.
        """
        while self._windows and self.stream is not None and self.clock.ready:
            window = self._windows[0]
            start_us = self.clock.sensor_us(window.start_ns)
            end_us = self.clock.sensor_us(window.end_ns)
            if self.stream.now_us is None or self.stream.now_us < end_us:
                return
            self._windows.popleft()
            for face, roi in window.rois.items():
                tensor = self.stream.cut(
                    self.to_event(roi), start_us, end_us, self.options.frame_bins, face
                )
                if tensor is None:
                    self.counters["frame_tensors_without_events"] += 1
                else:
                    yield StampedTensor(tensor, window.start_ns, window.end_ns)

    def event_image(self) -> Frame | None:
        """The latest events as a grey picture, to look for faces in.

        Ten a second of sensor time, so that live and offline runs see the same;
        None in between.
        """
        draw = self.event_image_later()
        return None if draw is None else draw()

    def event_image_later(self) -> Callable[[], Frame] | None:
        """The same as a function that draws it, from any thread: a busy scene takes 20 ms."""
        now_us = self.stream.now_us if self.stream is not None else None
        if self.stream is None or now_us is None or not self.clock.ready:
            return None
        number = now_us // _EVENT_IMAGE_PERIOD_US
        if number == self._event_image:
            return None
        self._event_image = number
        draw = self.stream.event_image_later(self.options.event_image_us)
        if draw is None:
            return None
        stamp_ns = self.clock.stamp_ns(now_us)
        return lambda: Frame(stamp_ns, draw())

    def totals(self) -> Counter[str]:
        """All counts since the start, of this class, the event stream and the clock."""
        stream = self.stream.counters if self.stream is not None else {}
        return self.counters + Counter(stream) + Counter(self.clock.counters)

    @property
    def uncalibrated(self) -> bool:
        """Whether boxes are taken from one camera to another as if both were the same."""
        if not isinstance(self.registration, SameSensor) or None in (self.frame_size, self._format):
            return False
        same_size = self._format is not None and self.frame_size == self._format[1:]
        return self.options.clock != "shared" or not same_size

    def facts(self) -> dict[str, str]:
        """The state of the clock, what waits, and who is followed; for people."""
        return {
            "registration": type(self.registration).__name__,
            "clock": self.options.clock,
            **self.clock.facts(),
            "waiting_frames": str(len(self._windows)),
            "faces_followed": ", ".join(self._known_faces[1]) if self._known_faces else "",
        }

    def to_event(self, roi: Roi) -> Roi:
        frame, events = self.frame_size, self._format and self._format[1:]
        if isinstance(self.registration, SameSensor) and frame and events and frame != events:
            # No calibration, and sensors of two sizes: the best guess is that both see the same.
            roi = roi.scaled(events[1] / frame[1], events[0] / frame[0])
        return self.registration.to_event(roi)

    def _stream_for(self, packet: Packet) -> TensorStream:
        packet_format = (packet.encoding, packet.height, packet.width)
        if self.stream is None or packet_format != self._format:
            stream = TensorStream(self.config, *packet_format)
            if self.stream is not None:
                self.counters["format_changes"] += 1
            self.stream, self._format = stream, packet_format
            if self._known_faces is not None and not self._faces:
                self._faces.append(self._known_faces)
        return self.stream

    def _hand_over_faces(self, stream: TensorStream) -> None:
        while self._faces and self.clock.ready:
            self._known_faces = stamp_ns, rois = self._faces.popleft()
            stream.set_faces(self.clock.sensor_us(stamp_ns), rois)

    def _stamped(self, tensor: EventTensor) -> StampedTensor:
        return StampedTensor(
            tensor, self.clock.stamp_ns(tensor.start_us), self.clock.stamp_ns(tensor.end_us)
        )


def crop_face(image: np.ndarray, roi: Roi, size: tuple[int, int]) -> np.ndarray:
    """The region of an image, scaled to `size` (width, height); beyond the border it is repeated.

    Crop pixel `c` covers the same part of the face as column `c` of an event tensor with that roi.
    """
    width, height = size
    scale_x, scale_y = roi.width / width, roi.height / height
    transform = np.array(
        [
            [scale_x, 0.0, roi.x + 0.5 * scale_x - 0.5],
            [0.0, scale_y, roi.y + 0.5 * scale_y - 0.5],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    if scale_x > 1.5:
        # Bilinear sampling would skip pixels of a large face: average them first.
        image = cv2.blur(image, (int(scale_x), int(max(scale_y, 1.0))))
    return cv2.warpAffine(image, transform, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
