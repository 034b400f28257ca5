"""Sketched sessions against rendered ones."""

import numpy as np
import pytest
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.head import UNIT_ORDER
from mx_capture.simulator.sketch import PersonSketch, sketch_person, sketch_session
from mx_capture.simulator.sketch_events import warp
from mx_capture.simulator.source import SimulatedSource
from mx_perception.dataset import sequences_of

CONFIG = SimulationConfig(
    seed=21, duration_s=4.0, protocol="study", lighting="office", sensor="160x160", render_fps=100
)


@pytest.fixture(scope="module")
def person() -> PersonSketch:
    sketched = sketch_person(CONFIG)
    assert sketched is not None
    return sketched


def per_hop(cells: np.ndarray, hops: int) -> np.ndarray:
    return np.bincount(cells["hop"], weights=cells["count"], minlength=hops)


def test_events_follow_those_of_the_rendered_session(person: PersonSketch) -> None:
    sketched = sketch_session(person, CONFIG)
    rendered = sequences_of(SimulatedSource(CONFIG), "someone")[0]
    later = sketched.hops - rendered.hops  # the tracker needs some frames to see the face
    ours = per_hop(sketched.cells, sketched.hops)[later:]
    theirs = per_hop(rendered.cells, rendered.hops)
    assert 0.6 < ours.sum() / theirs.sum() < 1.5
    smooth = np.ones(5) / 5
    assert np.corrcoef(np.convolve(ours, smooth), np.convolve(theirs, smooth))[0, 1] > 0.7


def test_the_same_seed_gives_the_same_session(person: PersonSketch) -> None:
    one, two = sketch_session(person, CONFIG), sketch_session(person, CONFIG)
    assert np.array_equal(one.cells, two.cells)
    assert np.array_equal(one.frames, two.frames)


def test_a_person_has_every_unit_at_rising_levels(person: PersonSketch) -> None:
    assert set(person.units) == set(range(len(UNIT_ORDER)))
    for levels in person.units.values():
        assert [level for level, _ in levels] == sorted(level for level, _ in levels)
        size = [float(np.abs(person.changes[key]).sum()) for _, key in levels]
        assert size == sorted(size) and size[0] > 0


@pytest.mark.parametrize("turn", [0.0, 0.03, -0.2])
def test_what_is_seen_is_interpolated_between_the_pixels_of_the_sketch(turn: float) -> None:
    rng = np.random.default_rng(3)
    image, cover, room = rng.random((3, 40, 50), np.float32)
    inverse = np.array([[0.98, turn, 2.3], [-turn, 1.03, -1.4]], np.float32)
    seen = np.empty((40, 50), np.float32)
    warp(image, cover, room, inverse, 0, 0, seen)
    rows, columns = np.mgrid[0:40, 0:50] + 0.5
    u, v = np.tensordot(inverse, [columns, rows, np.ones_like(rows)], 1) - 0.5
    u, v = np.clip(u, 0, 50 - 1.001), np.clip(v, 0, 40 - 1.001)  # the border goes on outside
    i, j = v.astype(int), u.astype(int)
    fv, fu = v - i, u - j

    def between(picture: np.ndarray) -> np.ndarray:
        above = picture[i, j] * (1 - fu) + picture[i, j + 1] * fu
        below = picture[i + 1, j] * (1 - fu) + picture[i + 1, j + 1] * fu
        return above * (1 - fv) + below * fv

    light, solid = between(image), between(cover)
    np.testing.assert_allclose(seen, light + (1 - solid) * room, atol=2e-4)
