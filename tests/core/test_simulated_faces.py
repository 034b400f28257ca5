"""The population of faces: meshes, Action Units, and what they look like."""

import numpy as np
import pytest
from mx_capture.faces.detector import FaceDetector, FaceDetectorConfig
from mx_capture.simulator.action_units import (
    ACTION_UNITS,
    COMBINATIONS,
    UNITS,
    displacement_fields,
    share_of_upper_lip,
)
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.head import UNIT_ORDER, Head, Pose
from mx_capture.simulator.identity import draw_identity
from mx_capture.simulator.mesh import LOWER_LIP, UPPER_LIP, head_mesh
from mx_capture.simulator.scene import Scene

RIGHT_MOUTH_CORNER, RIGHT_INNER_BROW, RIGHT_OUTER_BROW, CHIN = 61, 107, 70, 152
RIGHT_CHEEK, NOSE_WING, UPPER_LIP_EDGE, LOWER_LIP_EDGE = 50, 98, 37, 84
RIGHT_UPPER_LID, RIGHT_LOWER_LID = 159, 145


@pytest.fixture(scope="module")
def head() -> Head:
    return Head(draw_identity(4), 1, 256)


def posed(head: Head, units: dict[int, float], sides: tuple[float, float] = (1, 1)) -> np.ndarray:
    pose = Pose()
    for unit, value in units.items():
        pose.units[UNIT_ORDER.index(unit)] = np.array(sides) * value
    return head.pose(pose)[0].copy()


def test_the_mouth_is_closed_and_the_skin_has_no_other_holes() -> None:
    mesh = head_mesh(1)
    np.testing.assert_allclose(mesh.vertices[list(UPPER_LIP)], mesh.vertices[list(LOWER_LIP)])
    gap = mesh.open_vertices[list(UPPER_LIP)] - mesh.open_vertices[list(LOWER_LIP)]
    assert gap[5, 1] > 0.3
    edges = np.sort(mesh.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    _, uses = np.unique(edges, axis=0, return_counts=True)
    assert uses.max() == 2
    # Mouth (80 edges), both eyes (64 each) and the back of the head (72) end somewhere.
    assert (uses == 1).sum() < 500


def test_texture_coordinates_are_finite_and_faces_do_not_fold() -> None:
    mesh = head_mesh(1)
    assert np.isfinite(mesh.uv).all()
    front = (mesh.vertices[mesh.triangles, 2] > 0).all(1) & (mesh.materials == 0)
    a, b, c = (mesh.uv[mesh.triangles[front, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert (area > 0).mean() > 0.9


@pytest.mark.parametrize("unit", [u for u in UNITS if UNITS[u].pulls])
def test_displacement_peaks_at_the_millimetres_given(unit: int) -> None:
    right, left = displacement_fields(head_mesh(1), unit)
    peak = np.linalg.norm(right + left, axis=1).max()
    assert peak == pytest.approx(UNITS[unit].peak_mm / 10)
    # Each side stays on its half of the face.
    x = head_mesh(1).vertices[:, 0]
    assert np.abs(right[x > 1.5]).max() < 1e-6
    assert np.abs(left[x < -1.5]).max() < 1e-6


@pytest.mark.parametrize(
    ("unit", "vertex", "direction"),
    [
        (1, RIGHT_INNER_BROW, (0, 1, 0)),
        (2, RIGHT_OUTER_BROW, (0, 1, 0)),
        (4, RIGHT_INNER_BROW, (1, -1, 0)),
        (5, RIGHT_UPPER_LID, (0, 1, 0)),
        (6, RIGHT_CHEEK, (0, 1, 0)),
        (7, RIGHT_LOWER_LID, (0, 1, 0)),
        (9, NOSE_WING, (0, 1, 0)),
        (10, UPPER_LIP_EDGE, (0, 1, 0)),
        (12, RIGHT_MOUTH_CORNER, (-1, 1, 0)),
        (14, RIGHT_MOUTH_CORNER, (-0.5, 0, -1)),
        (15, RIGHT_MOUTH_CORNER, (0, -1, 0)),
        (17, LOWER_LIP_EDGE, (0, 1, 0)),
        (20, RIGHT_MOUTH_CORNER, (-1, 0, 0)),
        (26, CHIN, (0, -1, 0)),
        (45, RIGHT_UPPER_LID, (0, -1, 0)),
    ],
)
def test_units_move_the_skin_the_way_facs_says(
    head: Head, unit: int, vertex: int, direction: tuple[float, float, float]
) -> None:
    moved = posed(head, {unit: 1.0})[vertex] - posed(head, {})[vertex]
    aim = np.array(direction) / np.linalg.norm(direction)
    assert moved @ aim > 0.1
    assert moved @ aim > 0.7 * np.linalg.norm(moved)


@pytest.mark.parametrize("unit", [1, 2, 4, 6, 9, 12, 15, 20, 45])
def test_sides_are_separable(head: Head, unit: int) -> None:
    rest = posed(head, {})
    only_right = np.linalg.norm(posed(head, {unit: 1.0}, (1, 0)) - rest, axis=1)[:468]
    x = head_mesh(1).vertices[:468, 0]
    assert only_right[x < -1.5].max() > 0.1
    assert only_right[x > 1.5].max() < 0.01


def test_a_blink_closes_the_eye_and_intensity_is_linear(head: Head) -> None:
    def aperture(units: dict[int, float]) -> float:
        points = posed(head, units)
        return float(points[RIGHT_UPPER_LID, 1] - points[RIGHT_LOWER_LID, 1])

    assert aperture({}) == pytest.approx(head.identity.eye_opening, abs=0.25)
    assert aperture({45: 1.0}) < 0.12
    assert aperture({5: 1.0}) > aperture({}) + 0.1
    rest = posed(head, {})[RIGHT_MOUTH_CORNER]
    half = posed(head, {12: 0.5})[RIGHT_MOUTH_CORNER] - rest
    full = posed(head, {12: 1.0})[RIGHT_MOUTH_CORNER] - rest
    np.testing.assert_allclose(2 * half, full, atol=1e-4)


def test_the_jaw_drops_by_the_millimetres_given(head: Head) -> None:
    moved = posed(head, {26: 1.0}) - posed(head, {})
    assert np.linalg.norm(moved[CHIN]) == pytest.approx(UNITS[26].peak_mm / 10, rel=0.15)


def test_the_jaw_leaves_the_upper_lip_in_place(head: Head) -> None:
    moved = posed(head, {26: 1.0}) - posed(head, {})
    assert np.linalg.norm(moved[UPPER_LIP_EDGE]) < 0.05
    assert moved[LOWER_LIP_EDGE, 1] < -0.6
    above = share_of_upper_lip(head_mesh(1).open_vertices)
    assert above[UPPER_LIP_EDGE] > 0.95 and above[LOWER_LIP_EDGE] < 0.05


def test_units_and_combinations_are_known() -> None:
    assert set(ACTION_UNITS) == {1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 26, 45}
    assert all(set(combination) <= set(ACTION_UNITS) for combination in COMBINATIONS)


def test_people_are_repeatable_and_differ() -> None:
    same, again, other = draw_identity(11), draw_identity(11), draw_identity(12)
    assert same.skin_colour == again.skin_colour
    assert np.array_equal(same.bumps, again.bumps)
    assert same.skin_colour != other.skin_colour
    people = [draw_identity(seed) for seed in range(60)]
    assert len({person.hair_style for person in people}) >= 7
    assert {person.beard for person in people} >= {"none", "full"}
    assert len({person.glasses for person in people}) >= 3
    brightness = [sum(person.skin_colour) for person in people]
    assert max(brightness) > 4 * min(brightness)


@pytest.mark.parametrize("seed", [21, 22, 23])
def test_neutral_faces_are_found(seed: int) -> None:
    scene = Scene(SimulationConfig(seed=seed, protocol="neutral", distractors=0.0))
    image = np.clip(scene.render(0.0), 0, 1) ** (1 / 2.2)
    detector = FaceDetector(FaceDetectorConfig())
    found = detector.detect((image * 255).astype(np.uint8))
    assert len(found) == 1
    assert found[0].score > 0.5
