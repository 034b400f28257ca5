"""From RGB pixels to event pixels: where the crop of a face lies on the event sensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import yaml

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.roi import Roi


@dataclass(frozen=True)
class RegistrationConfig(Config):
    """Where the relation of the two sensors is written down."""

    calibration: str = setting(
        "", "Calibration file (YAML) of `./mx calibrate`; empty if both are one sensor"
    )
    crop_width_m: float = setting(
        0.18,
        "Width in metres that a face crop spans at the face: its size gives the distance",
        minimum=0.01,
    )


class Registration(Protocol):
    """Maps regions of the RGB image to the event sensor."""

    def to_event(self, roi: Roi) -> Roi:
        """The region of event pixels that shows what `roi` shows; it may exceed the sensor."""
        ...


@dataclass(frozen=True)
class SameSensor:
    """Events and RGB come from the same pixels (DAVIS, the simulator, files of one camera).

    `scale` is event pixels per RGB pixel, (x, y), for a sensor that bins one of them.
    """

    scale: tuple[float, float] = (1.0, 1.0)

    def to_event(self, roi: Roi) -> Roi:
        x, y = self.scale
        return Roi(roi.x * x, roi.y * y, roi.width * x, roi.height * y)


@dataclass(frozen=True)
class Homography:
    """A plane-to-plane map: exact for a beam splitter, or for faces at one distance.

    `matrix`: (3, 3) float64, RGB pixels to event pixels.
    """

    matrix: np.ndarray

    def to_event(self, roi: Roi) -> Roi:
        points = cv2.perspectiveTransform(_center_and_edges(roi)[None], self.matrix)[0]
        return _roi_through(points, roi)


@dataclass(frozen=True)
class Camera:
    """A calibrated camera: OpenCV's pinhole model with 5 distortion coefficients.

    As everywhere in OpenCV, integer coordinates are pixel centres.
    """

    height: int
    width: int
    matrix: np.ndarray
    distortion: np.ndarray


@dataclass(frozen=True)
class Stereo:
    """Two cameras side by side; the distance of a face follows from the size of its crop.

    `rotation` (3, 3) and `translation_m` (3,) take points from the RGB camera's frame to that of
    the event camera. A face whose size is assumed wrongly by a share s appears s * f * b / z
    event pixels off (focal length f in pixels, baseline b, distance z).
    """

    rgb: Camera
    events: Camera
    rotation: np.ndarray
    translation_m: np.ndarray
    crop_width_m: float

    def to_event(self, roi: Roi) -> Roi:
        # A Roi counts from the corner of a pixel, OpenCV from its centre.
        points = _center_and_edges(roi)[:, None] - 0.5
        rays = cv2.undistortPoints(points, self.rgb.matrix, self.rgb.distortion)[:, 0]
        # A crop that the border of the image has cut still has its full longer side.
        if roi.width >= roi.height:
            extent = np.hypot(*(rays[2] - rays[1]))
        else:
            extent = np.hypot(*(rays[4] - rays[3]))
        depth_m = self.crop_width_m / max(float(extent), 1e-6)
        points_m = np.column_stack([rays, np.ones(len(rays))]) * depth_m
        turn, _ = cv2.Rodrigues(self.rotation)
        pixels, _ = cv2.projectPoints(
            points_m, turn, self.translation_m, self.events.matrix, self.events.distortion
        )
        return _roi_through(pixels[:, 0] + 0.5, roi)


def load_registration(config: RegistrationConfig) -> Registration:
    """The registration that a calibration file describes; MxError names what is wrong in it."""
    if not config.calibration:
        return SameSensor()
    path = Path(config.calibration)
    values = _read_yaml(path)
    mode = values.get("mode")
    try:
        if mode == "same_sensor":
            x, y = (float(value) for value in values.get("scale", (1.0, 1.0)))
            return SameSensor((x, y))
        if mode == "homography":
            return Homography(_array(values["homography"], (3, 3)))
        if mode == "stereo":
            return Stereo(
                _camera(values["rgb"]),
                _camera(values["events"]),
                _array(values["rotation"], (3, 3)),
                _array(values["translation_m"], (3,)),
                config.crop_width_m,
            )
    except KeyError as error:
        raise MxError(f"{path}: {error.args[0]} is missing; run ./mx calibrate again") from error
    except (TypeError, ValueError) as error:
        raise MxError(f"{path}: {error}; run ./mx calibrate again") from error
    raise MxError(f"{path}: mode {mode!r} is not one of same_sensor, homography, stereo")


def write_registration(
    path: Path, registration: Registration, notes: Mapping[str, Any] | None = None
) -> None:
    """Write a calibration file that `load_registration` reads; `notes` are for people."""
    values: dict[str, Any]
    if isinstance(registration, Homography):
        values = {"mode": "homography", "homography": _plain(registration.matrix)}
    elif isinstance(registration, Stereo):
        values = {
            "mode": "stereo",
            "rgb": _plain_camera(registration.rgb),
            "events": _plain_camera(registration.events),
            "rotation": _plain(registration.rotation),
            "translation_m": _plain(registration.translation_m),
        }
    elif isinstance(registration, SameSensor):
        values = {"mode": "same_sensor", "scale": list(registration.scale)}
    else:
        raise TypeError(f"cannot write a {type(registration).__name__}")
    text = yaml.safe_dump({**values, **(notes or {})}, sort_keys=False, default_flow_style=None)
    path.write_text(text, encoding="utf-8")


def _center_and_edges(roi: Roi) -> np.ndarray:
    """Centre, left, right, top and bottom of a region: (5, 2) float64."""
    x, y = roi.center
    half_width, half_height = roi.width / 2, roi.height / 2
    return np.array(
        [
            [x, y],
            [x - half_width, y],
            [x + half_width, y],
            [x, y - half_height],
            [x, y + half_height],
        ]
    )


def _roi_through(points: np.ndarray, roi: Roi) -> Roi:
    """The upright region of `roi`'s shape with the centre and mean size of the mapped points."""
    scale_x = np.hypot(*(points[2] - points[1])) / max(roi.width, 1e-9)
    scale_y = np.hypot(*(points[4] - points[3])) / max(roi.height, 1e-9)
    scale = float(np.sqrt(scale_x * scale_y))
    width, height = roi.width * scale, roi.height * scale
    return Roi(float(points[0, 0]) - width / 2, float(points[0, 1]) - height / 2, width, height)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MxError(f"calibration {path}: {error.strerror}; give an existing file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise MxError(f"calibration {path} is not YAML: {reason}") from error
    if not isinstance(values, dict):
        raise MxError(f"calibration {path} holds no mapping; run ./mx calibrate again")
    return values


def _camera(values: Mapping[str, Any]) -> Camera:
    return Camera(
        int(values["height"]),
        int(values["width"]),
        _array(values["camera_matrix"], (3, 3)),
        _array(values["distortion"], (5,)),
    )


def _plain_camera(camera: Camera) -> dict[str, Any]:
    return {
        "height": camera.height,
        "width": camera.width,
        "camera_matrix": _plain(camera.matrix),
        "distortion": _plain(camera.distortion),
    }


def _array(values: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, np.float64)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"expected finite numbers of shape {shape}, found {values!r}")
    return array


def _plain(array: np.ndarray) -> list[Any]:
    return np.asarray(array, np.float64).tolist()
