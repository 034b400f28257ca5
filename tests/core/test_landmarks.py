"""FaceMesh points, their 70 of REP-155, and upright crops."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_face import drawn_face
from mx_capture.faces.alignment import cut, upright_crop
from mx_capture.faces.detector import FaceDetector
from mx_capture.faces.landmarks import REP155_FROM_MESH, FaceLandmarks
from mx_capture.roi import Roi


@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_points_lie_on_the_face(roll: float):
    # The drawing's features, turned with it.
    turn = cv2.getRotationMatrix2D((320, 240), roll, 1.0)
    image = cv2.warpAffine(drawn_face(), turn, (640, 480), borderValue=(120, 130, 140))
    scale = 180 / 210
    drawn = {
        "right pupil": (68, (158, 198)),
        "left pupil": (69, (242, 198)),
        "below the nose": (33, (200, 262)),
        "upper lip": (51, (200, 283)),
        "mouth, right corner": (48, (164, 292)),
        "mouth, left corner": (54, (236, 292)),
    }
    face = FaceDetector().search(image)[0]
    landmarks = FaceLandmarks().find(image, face.roi, face.keypoints_px)
    assert landmarks.score > 0.9
    assert landmarks.points_px.shape == (468, 3)
    found = landmarks.rep155_px()
    for name, (index, (x, y)) in drawn.items():
        upright = np.array([320 + (x - 200) * scale, 240 + (y - 232) * scale, 1.0])
        assert np.hypot(*(found[index] - turn @ upright)) < 15, name


def test_rep155_is_symmetric():
    """Mirrored indices of the scheme are mirrored points of a symmetric drawing."""
    image = drawn_face()
    face = FaceDetector().search(image)[0]
    found = FaceLandmarks().find(image, face.roi, face.keypoints_px).rep155_px()
    assert len(REP155_FROM_MESH) == 70
    mirrored = [
        *range(16, -1, -1),
        *range(26, 16, -1),
        27,
        28,
        29,
        30,
        35,
        34,
        33,
        32,
        31,
        45,
        44,
        43,
        42,
        47,
        46,
        39,
        38,
        37,
        36,
        41,
        40,
        54,
        53,
        52,
        51,
        50,
        49,
        48,
        59,
        58,
        57,
        56,
        55,
        64,
        63,
        62,
        61,
        60,
        67,
        66,
        65,
        69,
        68,
    ]
    other = found[mirrored] * (-1, 1) + (640, 0)
    assert np.abs(found - other).max() < 12


def test_a_crop_without_a_face_scores_low():
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    keypoints = np.array([[100, 100], [200, 100]], np.float32)
    assert FaceLandmarks().find(image, Roi(50, 50, 200, 200), keypoints).score < 0.5


def test_an_upright_crop_has_level_eyes_around_the_middle_of_the_box():
    box, keypoints = Roi(100, 60, 80, 80), np.array([[120, 110], [160, 90]], np.float32)
    crop_to_image = upright_crop(box, keypoints, 1.5, 96)
    to_crop = cv2.invertAffineTransform(crop_to_image)
    eyes = keypoints @ to_crop[:, :2].T + to_crop[:, 2]
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-4)
    assert eyes[0, 0] < eyes[1, 0]
    middle = crop_to_image @ (47.5, 47.5, 1)
    assert middle == pytest.approx((139.5, 99.5))
    assert np.hypot(*crop_to_image[:, 0]) * 96 == pytest.approx(1.5 * 80)


def test_a_cut_averages_when_shrinking_and_is_black_beyond_the_image():
    stripes = np.zeros((400, 400), np.uint8)
    stripes[:, ::2] = 200
    crop = cut(stripes, upright_crop(Roi(0, 0, 400, 400), np.zeros((6, 2)), 1.0, 50), 50)
    assert np.abs(crop[5:45, 5:45].astype(int) - 100).max() <= 15
    outside = cut(stripes, upright_crop(Roi(900, 0, 40, 40), np.zeros((6, 2)), 1.0, 50), 50)
    assert not outside.any()
