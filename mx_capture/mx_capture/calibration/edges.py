"""A homography without a board: the same edges move in both images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.calibration.contrast import Pair
from mx_capture.errors import MxError
from mx_capture.registration import Homography

_MIN_PAIRS = 5
_NOISE = 0.15
"""Changes of log intensity below this are noise, or too small for events."""
_COARSE_PX = 80
"""Shorter side of the event image in the coarse search."""
_SCALES = np.geomspace(0.4, 2.5, 23)
_MIN_CORRELATION = 0.3


@dataclass(frozen=True)
class Motion:
    """Mean change of brightness per pixel: `rgb` and `events`, (H, W) float32 of either sensor."""

    rgb: np.ndarray
    events: np.ndarray


def accumulate_motion(pairs: Iterable[Pair]) -> Motion:
    """How much every pixel's log intensity changed from frame to frame, in both sensors.

    Between two frames the summed polarities of a pixel are, up to the contrast threshold, the
    change of its log intensity: both images show the same edges of whatever moves.
    Raises MxError with too few pairs or without any change.
    """
    rgb = events = None
    count = 0
    for before, after in _neighbours(pairs):
        change = np.maximum(np.abs(_log(after.image) - _log(before.image)) - _NOISE, 0.0)
        rgb = change if rgb is None else rgb + change
        events = np.abs(after.change) if events is None else events + np.abs(after.change)
        count += 1
    if rgb is None or events is None or count < _MIN_PAIRS:
        raise MxError(f"only {count} frames with events; record at least {_MIN_PAIRS}")
    if rgb.max() == 0 or events.max() == 0:
        raise MxError("nothing moves in the images; move an object or the cameras")
    return Motion(rgb / count, events / count)


def homography_from_edges(motion: Motion) -> tuple[Homography, float]:
    """The plane-to-plane map that aligns the edges best, and their correlation (-1..1).

    First scale and shift on small images, then all eight parameters by maximising the enhanced
    correlation coefficient (Evangelidis and Psarakis 2008). It holds for the distance at which
    the motion took place. Raises MxError if the images do not match.
    """
    start = _scale_and_shift(motion)
    matrix = start
    correlation = 0.0
    for sigma in (4.0, 2.0, 1.0):
        events = _flattened(motion.events, sigma * min(motion.events.shape) / 240)
        rgb = _flattened(motion.rgb, sigma * min(motion.rgb.shape) / 240)
        try:
            # OpenCV warps the second image onto the first, with the map from first to second.
            correlation, inverse = cv2.findTransformECC(
                events,
                rgb,
                np.linalg.inv(matrix).astype(np.float32),
                cv2.MOTION_HOMOGRAPHY,
                (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 200, 1e-6),
            )
        except cv2.error as error:
            raise MxError(_NO_MATCH.format("none")) from error
        matrix = np.linalg.inv(inverse.astype(np.float64))
    if correlation < _MIN_CORRELATION:
        raise MxError(_NO_MATCH.format(f"{correlation:.2f}"))
    to_center = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    # A Roi counts from the corner of a pixel, OpenCV from its centre.
    matrix = to_center @ matrix @ np.linalg.inv(to_center)
    return Homography(matrix / matrix[2, 2]), float(correlation)


_NO_MATCH = (
    "the edges of both sensors do not match (correlation {}); let something with clear edges move "
    "in the part of the scene that both see, at the distance of a face"
)


def _neighbours(pairs: Iterable[Pair]) -> Iterator[tuple[Pair, Pair]]:
    before = None
    for pair in pairs:
        if before is not None:
            yield before, pair
        before = pair


def _log(image: np.ndarray) -> np.ndarray:
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    # Noise in the dark would dominate without the floor.
    return np.log(grey.astype(np.float32) + 16.0)


def _flattened(change: np.ndarray, sigma: float) -> np.ndarray:
    """Blurred, and compressed so that a few strong edges do not decide everything."""
    blurred: np.ndarray = cv2.GaussianBlur(change.astype(np.float32), (0, 0), max(sigma, 0.5))
    moving = blurred[blurred > 0.05 * blurred.max()]
    return np.tanh(blurred / float(np.median(moving))).astype(np.float32)


def _scale_and_shift(motion: Motion) -> np.ndarray:
    """The best map of scale and shift alone, RGB to events: (3, 3) float64."""
    shrink_events = _COARSE_PX / min(motion.events.shape)
    events = _shrunk(motion.events, shrink_events)
    height, width = events.shape
    best, best_score = np.eye(3), -np.inf
    natural = min(motion.events.shape) / min(motion.rgb.shape)
    for scale in _SCALES * natural:
        rgb = _shrunk(motion.rgb, scale * shrink_events)
        # Half of the smaller image must lie on the other one.
        pad_y, pad_x = (min(a, b) // 2 for a, b in zip(rgb.shape, events.shape, strict=True))
        margin_y, margin_x = max(pad_y, rgb.shape[0] - height), max(pad_x, rgb.shape[1] - width)
        padded = cv2.copyMakeBorder(
            events, margin_y, margin_y, margin_x, margin_x, cv2.BORDER_CONSTANT
        )
        match = cv2.matchTemplate(padded, rgb, cv2.TM_CCORR)
        _, common, _, (x, y) = cv2.minMaxLoc(match)
        # Over all of both images: a map that leaves half of the motion unmatched scores low.
        score = common / max(float(np.linalg.norm(rgb) * np.linalg.norm(events)), 1e-6)
        if score > best_score:
            best_score = score
            shift_x, shift_y = (x - margin_x) / shrink_events, (y - margin_y) / shrink_events
            best = np.array([[scale, 0, shift_x], [0, scale, shift_y], [0, 0, 1.0]])
    return best


def _shrunk(change: np.ndarray, factor: float) -> np.ndarray:
    flat = _flattened(change, 0.6 / factor)
    size = tuple(max(1, round(side * factor)) for side in flat.shape[::-1])
    return cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
