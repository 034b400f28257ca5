"""What the page asks for, made from a `LiveView`: pictures, and everything else as plain values."""

from __future__ import annotations

import threading
from typing import Any

import cv2
import numpy as np
from mx_capture.errors import MxError
from mx_capture.roi import Roi

from mx_perception.action_units import ACTION_UNITS
from mx_perception.expressions import expression_of
from mx_perception.live_view import LiveView
from mx_perception.page.health import Reports

_LARGEST = 640
"""Pictures are not sent wider than this."""
_PHASES = ("onset", "apex", "offset")


class PageState:
    """Times on the page are ROS time in microseconds, which a browser's numbers hold exactly."""

    def __init__(self, live: LiveView, reports: Reports) -> None:
        self.live, self.reports = live, reports
        self.asked_s = float("-inf")
        """When a browser last asked for anything, on the monotonic clock."""
        self._lock = threading.Lock()
        self._encoded: dict[str, tuple[int, bytes]] = {}

    def state(self, face_id: str, after_us: int) -> dict[str, Any]:
        """Everything but pictures. Scores are those of one face later than `after_us`.

        `face_id`: the face to follow; another one stands in when it is not there.
        """
        faces = self.live.faces()
        face = face_id if face_id in faces else next(iter(faces), "")
        stamps, scores = self.live.scores(face, after_us * 1000 + 999 if face == face_id else 0)
        return {
            "now_us": self.live.now_ns // 1000,
            "faces": faces,
            "face": face,
            "au": list(self.live.au),
            "names": [ACTION_UNITS.get(number, "") for number in self.live.au],
            "times_us": (stamps // 1000).tolist(),
            "scores": np.round(scores, 3).tolist(),
            "expression": self._expression(scores),
            "marks": [
                [mark.stamp_ns // 1000, mark.au, _PHASES[mark.phase]]
                for mark in self.live.marks(face)
            ],
            "labels": [
                {
                    "au": list(label.au),
                    "onset_us": label.onset_ns // 1000,
                    "offset_us": label.offset_ns // 1000,
                }
                for label in self.live.labels()
            ],
            "rgb_boxes": self._boxes(in_events=False),
            "event_boxes": self._boxes(in_events=True),
            "nodes": self.reports.nodes(),
            "tiles": self.reports.tiles(),
        }

    def picture(self, kind: str, after_us: int) -> tuple[int, bytes] | None:
        """The stamp (us) and JPEG of `rgb` or PNG of `events`; None if none is newer."""
        stamp_us, image = self._image(kind)
        if image is None or stamp_us == after_us:
            return None
        with self._lock:
            known = self._encoded.get(kind)
            if known is None or known[0] != stamp_us:
                known = self._encoded[kind] = stamp_us, _encode(kind, image)
            return known

    def _image(self, kind: str) -> tuple[int, np.ndarray | None]:
        if kind == "rgb":
            frame = self.live.frame
            return (frame.stamp_ns // 1000, frame.image) if frame else (0, None)
        events = self.live.events()
        return (events[0] // 1000, events[1]) if events else (0, None)

    def _expression(self, scores: np.ndarray) -> dict[str, Any] | None:
        if not len(scores):
            return None
        read = expression_of(dict(zip(self.live.au, scores[-1].tolist(), strict=True)))
        return {"name": read.expression, "confidence": round(read.confidence, 2)}

    def _boxes(self, in_events: bool) -> dict[str, list[float]]:
        """Left, top, width and height as shares of the image."""
        boxes: dict[str, Roi] = self.live.placed_boxes(in_events)
        frame = self.live.frame
        size = self.live.event_size() if in_events else frame and frame.image.shape[:2]
        if not size:
            return {}
        return {
            name: [roi.x / size[1], roi.y / size[0], roi.width / size[1], roi.height / size[0]]
            for name, roi in boxes.items()
        }


def _encode(kind: str, image: np.ndarray) -> bytes:
    height, width = image.shape[:2]
    if width > _LARGEST:
        size = (_LARGEST, round(height * _LARGEST / width))
        # Averaging would make single events vanish.
        method = cv2.INTER_AREA if kind == "rgb" else cv2.INTER_NEAREST
        image = cv2.resize(image, size, interpolation=method)
    if image.ndim == 3:
        image = image[..., ::-1]
    options = (
        (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 85])
        if kind == "rgb"
        else (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])
    )
    done, data = cv2.imencode(options[0], image, options[1])
    if not done:
        raise MxError(f"a picture of {image.shape} cannot be encoded as {options[0]}")
    return data.tobytes()
