"""Detection and tracking of faces."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from drawn_face import drawn_face
from mx_capture.errors import MxError
from mx_capture.face_finder import _brightness, _is_dark
from mx_capture.faces.detector import Detection, FaceDetector, FaceDetectorConfig
from mx_capture.faces.events import prepare_event_image
from mx_capture.faces.tracker import FaceTracker, TrackerConfig
from mx_capture.roi import Roi

FRAME_NS = 33_333_333
NO_KEYPOINTS = np.zeros((6, 2), np.float32)


def detection(x: float, y: float, size: float, score: float = 0.9) -> Detection:
    return Detection(Roi(x - size / 2, y - size / 2, size, size), score, NO_KEYPOINTS)


@pytest.mark.parametrize("grey", [False, True])
@pytest.mark.parametrize("shape", [(480, 640), (1200, 300), (720, 1280)])
def test_a_face_is_found_in_images_of_any_shape(shape, grey):
    height, width = shape
    center = (width // 2 - 20, height // 2 + 10)
    image = drawn_face(height, width, center)
    if grey:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    faces = FaceDetector().search(image)
    assert len(faces) == 1
    assert np.hypot(*np.subtract(faces[0].roi.center, center)) < 20
    right_eye, left_eye = faces[0].keypoints_px[:2]
    assert right_eye[0] < center[0] < left_eye[0]


def test_a_small_face_is_found_within_some_images_and_then_kept():
    image = drawn_face(480, 640, (520, 130), face_px=48)
    detector = FaceDetector()
    counts = [len(detector.detect(image)) for _ in range(20)]
    first = counts.index(1)
    assert first <= 12
    assert counts[first:] == [1] * (20 - first)


def test_no_face_in_flat_images_and_a_clear_error_for_others():
    detector = FaceDetector()
    assert detector.detect(np.full((90, 120), 128, np.uint8)) == []
    assert detector.detect(np.zeros((1, 1, 3), np.uint8)) == []
    with pytest.raises(MxError, match="float64"):
        detector.detect(np.zeros((90, 120)))
    with pytest.raises(MxError, match=r"\(90, 120, 4\)"):
        detector.detect(np.zeros((90, 120, 4), np.uint8))


@pytest.mark.parametrize("shape", [(3, 5), (20, 30, 3), (180, 240, 3)])
def test_dark_is_what_is_dark_as_a_whole(shape: tuple[int, ...]) -> None:
    rng, level = np.random.default_rng(0), 12.0
    for brightest in range(12, 40):
        image = rng.integers(0, brightest, shape, dtype=np.uint8)
        image[: shape[0] // 3] = rng.integers(0, 60)
        assert _is_dark(image, level) == (_brightness(image) < level)
    assert not _is_dark(np.full(shape, 12, np.uint8), level)


def test_a_face_cut_by_the_border_stays_found():
    detector = FaceDetector()
    for shift in range(0, 60, 10):
        faces = detector.detect(drawn_face(center=(90 - shift, 240)))
        assert len(faces) == 1
    assert faces[0].roi.x < 0


def test_a_face_is_found_in_events_of_its_edges():
    image = cv2.cvtColor(drawn_face(240, 320, (160, 120), 120), cv2.COLOR_RGB2GRAY)
    moved = np.roll(image, (1, 2), axis=(0, 1))
    change = np.abs(np.log(image + 20.0) - np.log(moved + 20.0))
    events = np.minimum(change / 0.05, 255).astype(np.uint8)
    faces = FaceDetector(FaceDetectorConfig(threshold=0.5)).search(prepare_event_image(events))
    assert len(faces) == 1
    assert np.hypot(*np.subtract(faces[0].roi.center, (160, 120))) < 25
    assert (prepare_event_image(np.zeros((24, 32), np.uint8)) == 255).all()


def test_the_crop_of_a_still_face_does_not_jitter():
    rng = np.random.default_rng(0)
    size = 150.0
    tracker = FaceTracker()
    rois = []
    for frame in range(600):
        # The noise of BlazeFace's boxes on a still camera, in face widths.
        x, y = 320 + rng.normal(0, 0.012 * size), 240 + rng.normal(0, 0.012 * size)
        found = detection(x, y, size * np.exp(rng.normal(0, 0.02)))
        faces = tracker.update(frame * FRAME_NS, [found])
        rois += [(*face.roi.center, face.roi.width) for face in faces]
    rms = np.std(np.array(rois), axis=0)
    assert (rms <= 0.5).all(), rms


def test_the_crop_follows_a_moving_face():
    tracker = FaceTracker()
    for frame in range(90):
        x = 100 + 4 * frame
        faces = tracker.update(frame * FRAME_NS, [detection(x, 240, 120)])
    assert abs(faces[0].roi.center[0] - x) < 0.06 * 120
    assert faces[0].roi.width == pytest.approx(120 * TrackerConfig().crop_scale, rel=0.09)


def test_two_people_crossing_for_a_minute_keep_their_ids():
    rng = np.random.default_rng(1)
    tracker = FaceTracker()
    ids: dict[int, set[str]] = {0: set(), 1: set()}
    for frame in range(1800):
        phase = 2 * np.pi * frame / 120
        people = [
            (320 + 200 * np.sin(phase), 290.0, 130.0),
            (320 - 220 * np.sin(phase * 0.9), 170.0, 90.0),
        ]
        found = []
        for x, y, size in people:
            if rng.random() < 0.03:
                continue
            noise = rng.normal(0, 0.012 * size, 2)
            found.append(detection(x + noise[0], y + noise[1], size * np.exp(rng.normal(0, 0.03))))
        rng.shuffle(found)
        for face in tracker.update(frame * FRAME_NS, found):
            distances = [
                np.hypot(face.box.center[0] - p[0], face.box.center[1] - p[1]) for p in people
            ]
            ids[int(np.argmin(distances))].add(face.id)
    assert ids[0] | ids[1] == {"f00000", "f00001"}
    assert len(ids[0]) == len(ids[1]) == 1


def test_a_face_hidden_while_passing_behind_another_keeps_its_id():
    tracker = FaceTracker()
    for frame in range(100):
        behind = 100 + 6.0 * frame
        found = [detection(320, 240, 140)]
        if abs(behind - 320) > 100:
            found.append(detection(behind, 235, 90))
        faces = tracker.update(frame * FRAME_NS, found)
    assert {face.id: round(face.box.width) for face in faces} == {"f00000": 140, "f00001": 90}


def test_ids_are_never_used_twice():
    tracker = FaceTracker(TrackerConfig(confirm_images=1, keep_ms=100))
    first = tracker.update(0, [detection(100, 100, 80)])
    assert tracker.update(10**9, []) == []
    second = tracker.update(2 * 10**9, [detection(100, 100, 80)])
    backwards = tracker.update(10**9, [detection(100, 100, 80)])
    tracker.forget()
    after = tracker.update(3 * 10**9, [detection(100, 100, 80)])
    assert [f[0].id for f in (first, second, backwards, after)] == [
        "f00000",
        "f00001",
        "f00002",
        "f00003",
    ]


def test_a_single_false_detection_gets_no_id():
    tracker = FaceTracker()
    assert tracker.update(0, [detection(100, 100, 80)]) == []
    for frame in range(1, 10):
        assert tracker.update(frame * FRAME_NS, []) == []


def test_a_followed_face_costs_few_looks_and_moves_with_the_image() -> None:
    picture = drawn_face(180, 240, (110, 90), face_px=90)
    detector = FaceDetector(FaceDetectorConfig(refresh_images=15))
    looks = []
    passed = detector._pass
    detector._pass = lambda *view: looks.append(1) or passed(*view)  # type: ignore[method-assign]
    shifts = [0.0] * 6 + [0.5 * step for step in range(1, 13)]
    boxes = []
    for shift in shifts:
        move = np.array([[1.0, 0.0, shift], [0.0, 1.0, 0.0]])
        size = picture.shape[1], picture.shape[0]
        moved = cv2.warpAffine(picture, move, size, borderMode=cv2.BORDER_REPLICATE)
        boxes.append(detector.detect(moved)[0].roi)
    assert len(looks) <= 10
    assert boxes[-1].x - boxes[5].x == pytest.approx(6.0, abs=1.5)


def test_a_face_that_is_gone_is_not_followed() -> None:
    picture = drawn_face(180, 240, (110, 90), face_px=90)
    detector = FaceDetector()
    for _ in range(8):
        assert detector.detect(picture)
    assert detector.detect(np.full_like(picture, 128)) == []
