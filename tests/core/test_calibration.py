"""Calibration from boards and from edges, on rendered scenes with known cameras."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from board_scene import BoardScene, Pose
from mx_capture.calibration.board import Board, BoardConfig, FoundBoard
from mx_capture.calibration.contrast import REST, Pair, pairs
from mx_capture.calibration.edges import accumulate_motion, homography_from_edges
from mx_capture.calibration.solve import calibrate_stereo, homography_from_board
from mx_capture.calibration.views import View, ViewCollector, make_view
from mx_capture.errors import MxError
from mx_capture.registration import (
    Camera,
    Homography,
    RegistrationConfig,
    Stereo,
    load_registration,
)
from mx_capture.roi import Roi
from mx_capture.verbs import calibrate

SQUARE_PX = 60
CHECKERBOARD = BoardConfig(columns=7, rows=5, square_m=0.035)
APRILGRID = BoardConfig(board="aprilgrid", columns=3, rows=2, square_m=0.09)


def camera(height: int, width: int, focal: float, k1: float) -> Camera:
    matrix = np.array([[focal, 0, width / 2 + 3], [0, focal, height / 2 - 2], [0, 0, 1]])
    return Camera(height, width, matrix, np.array([k1, 0.02, 0.0005, -0.0005, 0.0]))


RIG = Stereo(
    camera(360, 480, 420.0, -0.08),
    camera(260, 346, 310.0, -0.05),
    cv2.Rodrigues(np.array([0.01, -0.03, 0.02]))[0],
    np.array([-0.03, 0.002, 0.003]),
    RegistrationConfig().crop_width_m,
)


def waved(board: Board, blink: bool, t_us: int) -> Pose:
    """A hand waves the board; slowly if it blinks."""
    s = t_us / 1e6
    turn = np.array([0.4 * np.sin(2.3 * s), 0.4 * np.cos(1.7 * s), 0.2 * np.sin(s)])
    middle = np.array([0.06 * np.sin(1.3 * s), 0.05 * np.cos(2.1 * s), 0.5 + 0.1 * np.sin(0.9 * s)])
    light = 1.0
    if blink:
        light = 0.2 if t_us // 20_000 % 2 else 1.0
    else:
        middle[:2] += 0.005 * np.array([np.sin(25 * s), np.cos(25 * s)])
    return Pose(turn, middle - cv2.Rodrigues(turn)[0] @ np.append(extent(board) / 2, 0), light)


def extent(board: Board) -> np.ndarray:
    return np.ptp(board.points_m[:, :2], axis=0)


def scene(config: BoardConfig, blink: bool = False, duration_us: int = 2_400_000) -> BoardScene:
    board = Board(config)
    gap = SQUARE_PX if config.board == "checkerboard" else round(SQUARE_PX * config.spacing)
    return BoardScene(
        board.draw(SQUARE_PX),
        config.square_m / SQUARE_PX,
        SQUARE_PX + gap - 0.5,
        RIG,
        lambda t_us: waved(board, blink, t_us),
        duration_us,
    )


@pytest.mark.parametrize(
    ("config", "blink"), [(CHECKERBOARD, False), (CHECKERBOARD, True), (APRILGRID, False)]
)
def test_two_cameras_are_found_from_a_board(config: BoardConfig, blink: bool):
    source = scene(config, blink)
    views = ViewCollector(Board(config)).collect(pairs(source, source))
    found = calibrate_stereo(views, source.frame_size, source.event_size, RIG.crop_width_m)
    assert found.rgb_error_px < 0.2
    assert found.event_error_px < 1.0
    for mine, true in ((found.stereo.rgb, RIG.rgb), (found.stereo.events, RIG.events)):
        assert mine.matrix[0, 0] == pytest.approx(true.matrix[0, 0], rel=0.03)
    # What it is for: a face at any distance lands in the right place.
    for roi in (Roi(180, 120, 150, 150), Roi(300, 200, 60, 60), Roi(60, 60, 100, 100)):
        shift = np.subtract(found.stereo.to_event(roi).center, RIG.to_event(roi).center)
        assert np.hypot(*shift) < 2.0


def test_the_verb_writes_a_file_that_loads(tmp_path, monkeypatch, capsys):
    source = scene(CHECKERBOARD, duration_us=800_000)
    monkeypatch.setattr(calibrate, "open_source", lambda path: source)
    out = tmp_path / "calibration.yaml"
    board = ["--columns", "7", "--rows", "5", "--square-m", "0.035"]
    assert calibrate.main(["session", *board, "--mode", "homography", "--out", str(out)]) == 0
    assert "reprojection_px" in capsys.readouterr().out
    assert isinstance(load_registration(RegistrationConfig(calibration=str(out))), Homography)


def test_the_verb_says_what_is_wrong(tmp_path, monkeypatch):
    with pytest.raises(MxError, match="give either one SESSION"):
        calibrate.main(["--rgb", "a.mp4"])
    with pytest.raises(MxError, match="give either one SESSION"):
        calibrate.main(["session", "--rgb", "a.mp4", "--events", "b.raw"])
    source = scene(CHECKERBOARD, duration_us=300_000)
    monkeypatch.setattr(calibrate, "open_source", lambda path: source)
    with pytest.raises(MxError, match="there is no folder"):
        calibrate.main(["session", "--out", str(tmp_path / "no" / "file.yaml")])
    with pytest.raises(MxError, match="never seen by both sensors"):
        calibrate.main(["session", "--columns", "13", "--out", str(tmp_path / "c.yaml")])
    with pytest.raises(MxError, match="of at least 8 different views"):
        calibrate.main(
            ["session", "--columns", "7", "--rows", "5", "--out", str(tmp_path / "c.yaml")]
        )
    assert not list(tmp_path.iterdir())


def test_frames_and_events_are_needed():
    source = scene(CHECKERBOARD)
    source.frame_size = None
    with pytest.raises(MxError, match="has no frames"):
        next(pairs(source, source))
    source = scene(CHECKERBOARD)
    source.event_size = None
    with pytest.raises(MxError, match="has no events"):
        next(pairs(source, source))


def test_a_view_that_disagrees_is_left_out():
    rng = np.random.default_rng(0)
    views = [exact_view(rng) for _ in range(12)]
    wrong = views[5]
    views[5] = View(wrong.points_m, wrong.rgb_px, wrong.event_px + np.array([25, -10]))
    found = calibrate_stereo(views, (360, 480), (260, 346), RIG.crop_width_m)
    assert 10 <= found.views <= 11
    assert found.stereo.translation_m == pytest.approx(RIG.translation_m, abs=1e-3)
    with pytest.raises(MxError, match="only 7 of at least 8"):
        calibrate_stereo(views[6:] + views[:1], (360, 480), (260, 346), RIG.crop_width_m)


def test_a_homography_maps_the_plane_of_the_board():
    rng = np.random.default_rng(1)
    view = exact_view(rng)
    homography, error = homography_from_board([view])
    assert error < 1.0
    pixel = view.rgb_px[10] + 0.5
    mapped = homography.to_event(Roi(pixel[0] - 10, pixel[1] - 10, 20, 20))
    assert np.hypot(*(mapped.center - view.event_px[10] - 0.5)) < 1.5


def exact_view(rng: np.random.Generator) -> View:
    board = Board(CHECKERBOARD)
    turn = rng.uniform(-0.4, 0.4, 3)
    shift = np.array([rng.uniform(-0.1, 0.1), rng.uniform(-0.08, 0.08), rng.uniform(0.4, 0.7)])
    shift = shift - cv2.Rodrigues(turn)[0] @ np.append(extent(board) / 2, 0)
    in_events = RIG.rotation @ cv2.Rodrigues(turn)[0], RIG.rotation @ shift + RIG.translation_m
    pixels = [
        cv2.projectPoints(board.points_m, cv2.Rodrigues(r)[0], t, c.matrix, c.distortion)[0][:, 0]
        for (r, t), c in (
            ((cv2.Rodrigues(turn)[0], shift), RIG.rgb),
            (in_events, RIG.events),
        )
    ]
    return View(board.points_m, *pixels)


def test_corners_counted_from_the_other_end_are_turned():
    board = Board(CHECKERBOARD)
    points = board.points_m[:, :2] * 1000
    ids = np.arange(len(points))
    view = make_view(board, FoundBoard(ids, points), FoundBoard(ids, points[::-1] + 7))
    assert view is not None
    assert np.allclose(view.event_px - view.rgb_px, 7)


@pytest.mark.parametrize("config", [CHECKERBOARD, APRILGRID])
def test_a_drawn_board_is_found_where_it_was_drawn(config: BoardConfig):
    board = Board(config)
    found = board.find(board.draw(SQUARE_PX))
    assert found is not None
    assert len(found.ids) >= 0.9 * len(board.points_m)
    gap = SQUARE_PX if config.board == "checkerboard" else round(SQUARE_PX * config.spacing)
    drawn = board.points_m[found.ids, :2] * SQUARE_PX / config.square_m + SQUARE_PX + gap - 0.5
    off = np.hypot(*(found.points_px - drawn).T)
    turned = np.hypot(*(found.points_px - drawn[::-1]).T)
    assert min(off.max(), turned.max()) < 0.5
    assert board.find(np.full((100, 120), 90, np.uint8)) is None


def test_edges_that_move_give_the_homography():
    true = np.array([[0.62, 0.02, 25.0], [-0.015, 0.63, 12.0], [4e-5, 2e-5, 1.0]])
    moments = list(moving_texture(true))
    homography, correlation = homography_from_edges(accumulate_motion(moments))
    assert correlation > 0.6
    for roi in (Roi(200, 120, 100, 100), Roi(100, 150, 80, 80), Roi(300, 200, 90, 90)):
        shift = np.subtract(homography.to_event(roi).center, Homography(true).to_event(roi).center)
        assert np.hypot(*shift) < 1.5


def test_edges_need_motion_and_a_match():
    true = np.diag([0.6, 0.6, 1.0])
    moments = list(moving_texture(true))
    with pytest.raises(MxError, match="only 2 frames"):
        accumulate_motion(moments[:3])
    with pytest.raises(MxError, match="nothing moves"):
        accumulate_motion([moments[0]] * 8)
    rng = np.random.default_rng(0)
    noise = [
        Pair(
            pair.stamp_ns,
            pair.image,
            pair.contrast,
            rng.normal(0, 1, pair.change.shape).astype(np.float32),
        )
        for pair in moments
    ]
    with pytest.raises(MxError, match="do not match"):
        homography_from_edges(accumulate_motion(noise))


def moving_texture(rgb_to_event: np.ndarray):
    """Blobs that drift differently before a still background, seen by both sensors."""
    rng = np.random.default_rng(5)
    background = cv2.GaussianBlur(rng.uniform(60, 180, (360, 480)).astype(np.float32), (0, 0), 6)
    blobs = [(rng.uniform(60, 420), rng.uniform(60, 300), *rng.uniform(-6, 6, 2)) for _ in range(9)]
    to_center = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centered = np.linalg.inv(to_center) @ rgb_to_event @ to_center
    before = None
    for step in range(20):
        image = background.copy()
        for i, (x, y, vx, vy) in enumerate(blobs):
            at = (round(16 * (x + vx * step)), round(16 * (y + vy * step)))
            cv2.ellipse(
                image,
                at,
                (16 * (14 + 3 * i), 16 * 20),
                25.0 * i,
                0,
                360,
                20.0 + 25 * i,
                -1,
                cv2.LINE_AA,
                4,
            )
        image = cv2.GaussianBlur(image, (0, 0), 1.0)
        log = np.log(cv2.warpPerspective(image, centered, (346, 260)) + 4.0)
        change = np.zeros_like(log) if before is None else np.trunc((log - before) / 0.2)
        before = log
        yield Pair(step, image.clip(0, 255).astype(np.uint8), change, change.astype(np.float32))


def test_a_picture_of_rest_is_flat():
    pair = Pair(0, np.zeros((4, 4), np.uint8), np.zeros((20, 30), np.float32), np.zeros((20, 30)))
    assert (pair.picture() == REST).all()
