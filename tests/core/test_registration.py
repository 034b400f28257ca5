"""From RGB regions to event regions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig
from mx_capture.registration import (
    Camera,
    Homography,
    RegistrationConfig,
    SameSensor,
    Stereo,
    load_registration,
    write_registration,
)
from mx_capture.roi import Roi
from mx_capture.stream import Packet
from mx_capture.tensorizer import Tensorizer, TensorizerConfig

CROP_WIDTH_M = RegistrationConfig().crop_width_m


def camera(rng: np.random.Generator, height: int = 480, width: int = 640) -> Camera:
    focal = rng.uniform(0.75, 1.0) * width
    matrix = np.array(
        [
            [focal, 0, width / 2 + rng.normal(0, 8)],
            [0, focal * rng.uniform(0.99, 1.01), height / 2 + rng.normal(0, 8)],
            [0, 0, 1],
        ]
    )
    distortion = np.array([*rng.normal(0, [0.08, 0.03]), *rng.normal(0, 0.001, 2), 0.0])
    return Camera(height, width, matrix, distortion)


def rig(rng: np.random.Generator) -> Stereo:
    rotation, _ = cv2.Rodrigues(rng.normal(0, np.radians(2.0), 3))
    translation = np.array([-rng.uniform(0.02, 0.035), *rng.normal(0, 0.003, 2)])
    return Stereo(camera(rng), camera(rng), rotation, translation, CROP_WIDTH_M)


def project(points_m: np.ndarray, camera: Camera, stereo: Stereo | None = None) -> np.ndarray:
    rotation = np.zeros(3) if stereo is None else cv2.Rodrigues(stereo.rotation)[0]
    translation = np.zeros(3) if stereo is None else stereo.translation_m
    pixels, _ = cv2.projectPoints(points_m, rotation, translation, camera.matrix, camera.distortion)
    return pixels[:, 0] + 0.5  # a Roi counts from pixel corners


def test_stereo_centers_a_face_within_3_px_from_40_cm_to_150_cm():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(500):
        stereo = rig(rng)
        z = rng.uniform(0.4, 1.5)
        center = np.array([rng.uniform(-0.2, 0.2) * z, rng.uniform(-0.15, 0.15) * z, z])
        # Faces of people differ by some percent, and so do detected boxes.
        width = CROP_WIDTH_M * rng.uniform(0.95, 1.05)
        edges = center + np.array([[0, 0, 0], [-width / 2, 0, 0], [width / 2, 0, 0]])
        in_rgb = project(edges, stereo.rgb)
        side = float(np.hypot(*(in_rgb[2] - in_rgb[1])))
        roi = Roi(float(in_rgb[0, 0]) - side / 2, float(in_rgb[0, 1]) - side / 2, side, side)
        mapped = stereo.to_event(roi)
        in_events = project(edges, stereo.events, stereo)
        errors.append(np.hypot(*np.subtract(mapped.center, in_events[0])))
        assert mapped.width == pytest.approx(np.hypot(*(in_events[2] - in_events[1])), rel=0.06)
        assert mapped.width == pytest.approx(mapped.height)
    assert max(errors) <= 3.0, max(errors)


def test_same_sensor_and_homography():
    roi = Roi(10.0, 20.0, 40.0, 40.0)
    assert SameSensor().to_event(roi) == roi
    assert SameSensor((0.5, 2.0)).to_event(roi) == Roi(5.0, 40.0, 20.0, 80.0)
    turned = Homography(np.array([[0.0, -2.0, 300.0], [2.0, 0.0, 5.0], [0.0, 0.0, 1.0]]))
    mapped = turned.to_event(roi)
    assert mapped.center == pytest.approx((300 - 2 * 40, 2 * 30 + 5))
    assert (mapped.width, mapped.height) == pytest.approx((80.0, 80.0))


def test_an_empty_region_has_a_defined_result():
    stereo = rig(np.random.default_rng(3))
    for registration in (SameSensor(), Homography(np.eye(3)), stereo):
        mapped = registration.to_event(Roi(5.0, 5.0, 0.0, 0.0))
        assert mapped.area == 0.0
        assert np.isfinite([mapped.x, mapped.y]).all()


def test_a_calibration_file_gives_the_registration_back(tmp_path: Path):
    path = tmp_path / "calibration.yaml"
    roi = Roi(200.0, 100.0, 120.0, 120.0)
    for registration in (
        SameSensor((0.5, 0.5)),
        Homography(np.array([[1.0, 0.1, 3.0], [0.0, 0.9, 2.0], [1e-5, 0.0, 1.0]])),
        rig(np.random.default_rng(4)),
    ):
        write_registration(path, registration, {"reprojection_px": 0.2})
        loaded = load_registration(RegistrationConfig(calibration=str(path)))
        assert type(loaded) is type(registration)
        assert loaded.to_event(roi) == registration.to_event(roi)
    assert load_registration(RegistrationConfig()) == SameSensor()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mode: [", "is not YAML"),
        ("7", "holds no mapping"),
        ("mode: magic", "mode 'magic' is not one of same_sensor, homography, stereo"),
        ("mode: homography", "homography is missing"),
        ("mode: homography\nhomography: [1, 2]", "shape"),
        ("mode: stereo\nrgb: {height: 1}", "width is missing"),
        ("mode: stereo\nrgb: 3", "calibrate again"),
        ("mode: same_sensor\nscale: x", "calibrate again"),
    ],
)
def test_a_bad_calibration_file_is_one_clear_line(tmp_path: Path, text: str, message: str):
    path = tmp_path / "calibration.yaml"
    path.write_text(text)
    with pytest.raises(MxError) as caught:
        load_registration(RegistrationConfig(calibration=str(path)))
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_calibration_file_is_named():
    with pytest.raises(MxError, match=r"nowhere\.yaml: No such file"):
        load_registration(RegistrationConfig(calibration="nowhere.yaml"))


@pytest.mark.parametrize(
    ("clock", "frame_size", "registration", "uncalibrated"),
    [
        ("shared", (24, 32), SameSensor(), False),
        ("shared", (48, 64), SameSensor(), True),
        ("arrival", (24, 32), SameSensor(), True),
        ("arrival", None, SameSensor(), False),
        ("arrival", (24, 32), Homography(np.eye(3)), False),
    ],
)
def test_two_cameras_without_a_calibration_are_known(clock, frame_size, registration, uncalibrated):
    tensorizer = Tensorizer(TensorConfig(), TensorizerConfig(clock=clock), registration)
    tensorizer.add_packet(Packet(0, 0, "evt3", 24, 32, 0, b""))
    if frame_size is not None:
        tensorizer.observe_frame(1, frame_size)
    assert tensorizer.uncalibrated == uncalibrated
    assert tensorizer.facts()["registration"] == type(registration).__name__
