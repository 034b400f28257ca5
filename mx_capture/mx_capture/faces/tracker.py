"""Following faces from image to image: stable ids, and crops that stay still on a still face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mx_capture.config import Config, setting
from mx_capture.faces.detector import Detection, overlap
from mx_capture.roi import Roi

_DUPLICATE = 0.3
"""A detection that overlaps a followed face this much (IoU) is not another face."""


@dataclass(frozen=True)
class TrackerConfig(Config):
    """How faces are followed and cropped."""

    crop_scale: float = setting(
        1.15,
        "Side of the square crop over that of the face box",
        minimum=0.5,
        maximum=4.0,
        read_only=False,
    )
    confirm_images: int = setting(
        3,
        "Images in a row that must show a new face before it gets an id",
        minimum=1,
        maximum=100,
        read_only=False,
    )
    hold_ms: int = setting(
        200,
        "A face not seen for this long is still reported, where it was",
        minimum=0,
        read_only=False,
    )
    keep_ms: int = setting(
        1_500,
        "A face not seen for this long gets a new id when it comes back",
        minimum=0,
        read_only=False,
    )
    smoothing_ms: float = setting(
        60.0,
        "Time constant of the smoothing of position and size",
        minimum=0.0,
        maximum=5_000.0,
        read_only=False,
    )
    center_play: float = setting(
        0.04,
        "The crop rests while the face moves less than this share of its width",
        minimum=0.0,
        read_only=False,
    )
    size_play: float = setting(
        0.08,
        "The crop keeps its size while that of the face changes less than this",
        minimum=0.0,
        read_only=False,
    )
    reach: float = setting(
        0.8,
        "How far from where it is expected a face is looked for, in face widths",
        minimum=0.1,
        read_only=False,
    )


@dataclass(frozen=True)
class TrackedFace:
    """A face with its id. `roi` is the square crop, `box` the face box, both in image pixels.

    `keypoints_px`: (6, 2) float32 in the order of `detector.KEYPOINTS`, of the last detection.
    """

    id: str
    roi: Roi
    score: float
    keypoints_px: np.ndarray
    box: Roi


class FaceTracker:
    """Detections in, tracked faces out, for one stream of images.

    A detection belongs to the face whose expected place (constant velocity) and size fit best.
    Position and size pass a critically damped filter and then one with play, like a loose
    gear: within the play the crop does not move at all, beyond it follows without jumps.
    """

    def __init__(self, config: TrackerConfig = TrackerConfig()) -> None:
        self.config = config
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._last_ns: int | None = None

    def update(self, stamp_ns: int, detections: Sequence[Detection]) -> list[TrackedFace]:
        """Faces in the image of `stamp_ns` (ROS time), ordered by id.

        A stamp not later than the one before starts afresh: nothing is known about then.
        """
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            self.forget()
        seconds = 0.0 if self._last_ns is None else (stamp_ns - self._last_ns) / 1e9
        self._last_ns = stamp_ns
        for track in self._tracks:
            track.predict(seconds)
        self._assign(stamp_ns, seconds, detections)
        self._tracks = [track for track in self._tracks if self._alive(track, stamp_ns)]
        return [
            track.face(self.config.crop_scale)
            for track in sorted(self._tracks, key=lambda track: track.id)
            if track.id and stamp_ns - track.seen_ns <= self.config.hold_ms * 1_000_000
        ]

    def forget(self) -> None:
        """Drop all faces; ids go on, so that none is used twice."""
        self._tracks, self._last_ns = [], None

    def _assign(self, stamp_ns: int, seconds: float, detections: Sequence[Detection]) -> None:
        costs = sorted(
            (cost, t, d)
            for t, track in enumerate(self._tracks)
            for d, detection in enumerate(detections)
            if (cost := track.cost(detection, stamp_ns)) <= self.config.reach
        )
        free_tracks, free_detections = set(range(len(self._tracks))), set(range(len(detections)))
        for _, t, d in costs:
            if t in free_tracks and d in free_detections:
                free_tracks.remove(t)
                free_detections.remove(d)
                self._tracks[t].correct(detections[d], stamp_ns, seconds, self.config)
                if not self._tracks[t].id and self._tracks[t].images >= self.config.confirm_images:
                    self._tracks[t].id = self._new_id()
        for d in sorted(free_detections):
            roi = detections[d].roi
            seen = [track for track in self._tracks if track.seen_ns == stamp_ns]
            if not any(overlap(roi, track.detection.roi) > _DUPLICATE for track in seen):
                track = _Track(detections[d], stamp_ns)
                if self.config.confirm_images == 1:
                    track.id = self._new_id()
                self._tracks.append(track)

    def _alive(self, track: _Track, stamp_ns: int) -> bool:
        if not track.id:
            return track.seen_ns == stamp_ns
        return stamp_ns - track.seen_ns <= self.config.keep_ms * 1_000_000

    def _new_id(self) -> str:
        self._next_id += 1
        return f"f{self._next_id - 1:05d}"


class _Track:
    """State of one face: (centre x, centre y, log size), its velocity, and the resting crop."""

    def __init__(self, detection: Detection, stamp_ns: int) -> None:
        self.id = ""
        self.images = 1
        self.detection = detection
        self.seen_ns = stamp_ns
        self.state = _measure(detection)
        self.velocity = np.zeros(3)
        self.crop = self.state.copy()

    @property
    def size(self) -> float:
        return float(np.exp(self.state[2]))

    def predict(self, seconds: float) -> None:
        self.state = self.state + self.velocity * seconds

    def cost(self, detection: Detection, stamp_ns: int) -> float:
        """Distance in face widths, plus the difference in log size; forgiving after a gap."""
        shift = _measure(detection) - self.state
        distance = np.hypot(shift[0], shift[1]) / self.size + abs(shift[2])
        missed_s = (stamp_ns - self.seen_ns) / 1e9
        return float(distance / (1.0 + missed_s))

    def correct(
        self, detection: Detection, stamp_ns: int, seconds: float, config: TrackerConfig
    ) -> None:
        self.images += 1
        self.detection, self.seen_ns = detection, stamp_ns
        # Critically damped fading-memory filter (Brookner 1998, g-h filters).
        fade = np.exp(-seconds * 1e3 / config.smoothing_ms) if config.smoothing_ms else 0.0
        error = _measure(detection) - self.state
        self.state = self.state + (1.0 - fade**2) * error
        self.velocity = self.velocity + (1.0 - fade) ** 2 / max(seconds, 1e-3) * error
        play = np.array([config.center_play * self.size] * 2 + [config.size_play])
        self.crop = np.clip(self.crop, self.state - play, self.state + play)

    def face(self, crop_scale: float) -> TrackedFace:
        center_x, center_y, side = self.crop[0], self.crop[1], crop_scale * np.exp(self.crop[2])
        roi = Roi(float(center_x - side / 2), float(center_y - side / 2), float(side), float(side))
        found = self.detection
        return TrackedFace(self.id, roi, found.score, found.keypoints_px, found.roi)


def _measure(detection: Detection) -> np.ndarray:
    """(centre x, centre y, log size) of a face box, float64."""
    side = np.sqrt(max(detection.roi.area, 1.0))
    return np.array([*detection.roi.center, np.log(side)])
