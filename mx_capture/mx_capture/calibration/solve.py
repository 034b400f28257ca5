"""From views of a board to intrinsics, extrinsics or a homography."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.calibration.views import View
from mx_capture.errors import MxError
from mx_capture.registration import Camera, Homography, Stereo

MIN_VIEWS = 8
_OUTLIER = 3.0
"""Views with more than this many times the median error are left out: the board moved fast."""
_WIDE = 0.8
"""Corners this far out, as a share of half the diagonal, show the second radial coefficient."""
_GOOD_PX = 0.5
"""A view with an error below this is never left out."""


@dataclass(frozen=True)
class StereoCalibration:
    """Two cameras and their relation, with root mean square reprojection errors in pixels."""

    stereo: Stereo
    rgb_error_px: float
    event_error_px: float
    stereo_error_px: float
    views: int


def calibrate_stereo(
    views: Sequence[View],
    rgb_size: tuple[int, int],
    event_size: tuple[int, int],
    crop_width_m: float,
) -> StereoCalibration:
    """Intrinsics of both sensors and their relation. Sizes are (height, width).

    Raises MxError for fewer than `MIN_VIEWS` views.
    """
    views = list(views)
    _require(views, MIN_VIEWS)
    rgb, rgb_errors = _camera([v.rgb_px for v in views], views, rgb_size)
    events, event_errors = _camera([v.event_px for v in views], views, event_size)
    good = _inliers(rgb_errors) & _inliers(event_errors) & _agreeing(views, rgb, events)
    if not good.all():
        views = [view for view, keep in zip(views, good, strict=True) if keep]
        _require(views, MIN_VIEWS)
        rgb, rgb_errors = _camera([v.rgb_px for v in views], views, rgb_size)
        events, event_errors = _camera([v.event_px for v in views], views, event_size)
    stereo_error, *_, rotation, translation, _, _ = cv2.stereoCalibrate(
        [v.points_m.astype(np.float32) for v in views],
        [v.rgb_px.astype(np.float32) for v in views],
        [v.event_px.astype(np.float32) for v in views],
        *(rgb.matrix, rgb.distortion, events.matrix, events.distortion),
        rgb_size[::-1],
        flags=cv2.CALIB_FIX_INTRINSIC,
    )
    stereo = Stereo(rgb, events, rotation, translation.ravel(), crop_width_m)
    rgb_error, event_error = (
        float(np.sqrt(np.mean(errors**2))) for errors in (rgb_errors, event_errors)
    )
    return StereoCalibration(stereo, rgb_error, event_error, float(stereo_error), len(views))


def homography_from_board(views: Sequence[View]) -> tuple[Homography, float]:
    """The plane-to-plane map over all views, and its root mean square error in event pixels."""
    _require(views, 1)
    rgb = np.concatenate([view.rgb_px for view in views])
    events = np.concatenate([view.event_px for view in views])
    # A Roi counts from the corner of a pixel, OpenCV from its centre.
    matrix, _ = cv2.findHomography(rgb + 0.5, events + 0.5, cv2.RANSAC, 3.0)
    if matrix is None:
        raise MxError("the board's points give no homography; show it larger and less tilted")
    mapped = cv2.perspectiveTransform(rgb[None] + 0.5, matrix)[0]
    return Homography(matrix), _rms(mapped, events + 0.5)


def _require(views: Sequence[View], count: int) -> None:
    if len(views) < count:
        raise MxError(
            f"only {len(views)} of at least {count} different views show the whole board to both "
            "sensors; move it slowly through both images, near and far, tilted, or let it blink"
        )


def _camera(
    pixels: Sequence[np.ndarray], views: Sequence[View], size: tuple[int, int]
) -> tuple[Camera, np.ndarray]:
    """Intrinsics from all views, and the error of each view in pixels (RMS)."""
    _, matrix, distortion, _, _, _, _, errors = cv2.calibrateCameraExtended(
        [view.points_m.astype(np.float32) for view in views],
        [points.astype(np.float32) for points in pixels],
        size[::-1],
        np.eye(3),
        np.zeros(5),
        flags=_distortion_flags(np.concatenate(pixels), size),
    )
    return Camera(*size, matrix, distortion.ravel()[:5]), errors.ravel()


def _distortion_flags(pixels: np.ndarray, size: tuple[int, int]) -> int:
    """Which coefficients stay 0: they run away where no corners hold them.

    Tangential distortion and the third radial coefficient are below the noise of event corners;
    the second one matters, and can be told, only far from the middle.
    """
    middle = np.array(size[::-1]) / 2
    reached = np.percentile(np.hypot(*(pixels - middle).T), 95.0) / np.hypot(*middle)
    flags = cv2.CALIB_FIX_K3 | cv2.CALIB_ZERO_TANGENT_DIST
    return flags if reached > _WIDE else flags | cv2.CALIB_FIX_K2


def _agreeing(views: Sequence[View], rgb: Camera, events: Camera) -> np.ndarray:
    """Which views show one and the same relation of the cameras: (N,) bool.

    The relation of each view is tried on all; the one with the least median error decides. A
    view whose event picture shows where the board was a moment ago does not agree.
    """
    poses = [
        (_pose(view.points_m, view.rgb_px, rgb), _pose(view.points_m, view.event_px, events))
        for view in views
    ]
    best: np.ndarray = np.full(len(views), np.inf)
    for (rgb_turn, rgb_shift), (event_turn, event_shift) in poses:
        rotation = event_turn @ rgb_turn.T
        translation = event_shift - rotation @ rgb_shift
        errors = np.array(
            [
                _rms(
                    view.event_px,
                    cv2.projectPoints(
                        view.points_m,
                        cv2.Rodrigues(rotation @ turn)[0],
                        rotation @ shift + translation,
                        *(events.matrix, events.distortion),
                    )[0][:, 0],
                )
                for view, ((turn, shift), _) in zip(views, poses, strict=True)
            ]
        )
        if np.median(errors) < np.median(best):
            best = errors
    return _inliers(best)


def _pose(
    points_m: np.ndarray, pixels: np.ndarray, camera: Camera
) -> tuple[np.ndarray, np.ndarray]:
    _, turn, shift = cv2.solvePnP(points_m, pixels, camera.matrix, camera.distortion)
    return cv2.Rodrigues(turn)[0], shift.ravel()


def _rms(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.sum((a - b) ** 2, axis=1))))


def _inliers(errors: np.ndarray) -> np.ndarray:
    return np.asarray(errors <= max(_OUTLIER * float(np.median(errors)), _GOOD_PX))
