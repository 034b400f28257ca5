"""Faces in RGB frames, and in accumulated events where RGB is dark or absent."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import cv2
import numpy as np

from mx_capture.config import Config, setting
from mx_capture.faces.detector import FaceDetector, FaceDetectorConfig
from mx_capture.faces.events import FACE_IN_EVENTS, prepare_event_image
from mx_capture.faces.tracker import FaceTracker, TrackedFace, TrackerConfig
from mx_capture.stream import Frame


@dataclass(frozen=True)
class FaceFinderConfig(Config):
    """When to look for faces in events instead of frames."""

    dark: float = setting(
        12.0,
        "Mean grey level (0..255) below which a frame is too dark to look for faces in",
        minimum=0.0,
        maximum=255.0,
        read_only=False,
    )
    frame_timeout_ms: int = setting(
        500,
        "Without a usable frame for this many ms, faces are looked for in events",
        minimum=1,
        read_only=False,
    )


class FaceFinder:
    """Detection and tracking over both kinds of image; each kind has its own ids and boxes."""

    def __init__(
        self,
        config: FaceFinderConfig,
        detector: FaceDetectorConfig,
        tracker: TrackerConfig,
    ) -> None:
        self.config = config
        self.counters: Counter[str] = Counter()
        self._frame_detector = FaceDetector(detector)
        # Event images differ too much from one to the next to follow a face in them.
        in_events = replace(detector, threshold=FACE_IN_EVENTS, refresh_images=1)
        self._event_detector = FaceDetector(in_events)
        self._tracker = FaceTracker(tracker)
        self._in_events = False
        self._usable_frame_ns: int | None = None

    def adopt(self, config: FaceFinderConfig, tracker: TrackerConfig) -> None:
        """Go on with other settings; faces keep their ids."""
        self.config, self._tracker.config = config, tracker

    def frames_usable(self, stamp_ns: int) -> bool:
        """Whether a frame bright enough came within `frame_timeout_ms` of a ROS time."""
        if self._usable_frame_ns is None:
            return False
        return abs(stamp_ns - self._usable_frame_ns) < self.config.frame_timeout_ms * 1_000_000

    def in_frame(self, frame: Frame) -> list[TrackedFace] | None:
        """Faces in an RGB frame; None if it is too dark to tell."""
        self.counters["frames"] += 1
        if _is_dark(frame.image, self.config.dark):
            self.counters["dark_frames"] += 1
            return None
        self._usable_frame_ns = frame.stamp_ns
        return self._track(frame, self._frame_detector, in_events=False)

    def in_events(self, frame: Frame) -> list[TrackedFace] | None:
        """Faces in an accumulated event image; None while RGB frames are good enough."""
        if self.frames_usable(frame.stamp_ns):
            return None
        self.counters["event_images"] += 1
        prepared = Frame(frame.stamp_ns, prepare_event_image(frame.image))
        return self._track(prepared, self._event_detector, in_events=True)

    def _track(self, frame: Frame, detector: FaceDetector, in_events: bool) -> list[TrackedFace]:
        if in_events is not self._in_events:
            # Another image, other pixels: what was tracked does not carry over.
            self._tracker.forget()
            detector.forget()
            self._in_events = in_events
        height, width = frame.image.shape[:2]
        faces = self._tracker.update(frame.stamp_ns, detector.detect(frame.image))
        self.counters["faces"] += len(faces)
        return [replace(face, roi=face.roi.inside(height, width)) for face in faces]


def _is_dark(image: np.ndarray, level: float) -> bool:
    """Whether the mean grey level, 0..255, is below `level`."""
    # What an eighth of the rows brings suffices most of the time: no pixel takes anything away.
    rows = len(image) // 8
    part = image[(len(image) - rows) // 2 :][:rows]
    if rows and _brightness(part) * rows > (level + 0.1) * len(image):
        return False
    return _brightness(image) < level


def _brightness(image: np.ndarray) -> float:
    """Mean grey level, 0..255; five times as fast as numpy's."""
    return float(np.mean(cv2.mean(image)[: 1 if image.ndim == 2 else 3]))
