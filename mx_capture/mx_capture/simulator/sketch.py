"""Sketches: sessions of simulated people at a tenth of the cost of rendering, for training alone.

A person is drawn once with every unit at a few levels; a session adds up the differences, moves
the sum as the head sways, and lets an event sensor look once per hop. What it leaves out: parallax
of the turning head, shadows and lids that meet other units, and everything faster than a hop.
Test on rendered sessions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from mx_capture.faces.detector import FaceDetector
from mx_capture.faces.tracker import FaceTracker, TrackerConfig
from mx_capture.roi import Roi
from mx_capture.simulator.action_units import FARTHEST_MM
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.event_sensor import REFERENCE_LUX, draw_sensor
from mx_capture.simulator.head import UNIT_ORDER, Pose
from mx_capture.simulator.rgb_sensor import RgbSensorConfig
from mx_capture.simulator.scene import Scene
from mx_capture.simulator.script import Script
from mx_capture.simulator.sketch_events import compose, look, needed, warp

FARTHEST_SKETCHED_MM = 6.0
"""Larger movements are cut here: between levels far apart the images do not add up."""
_LEVELS = 4
_GAZE_RAD = (0.25, 0.15)
_STEP = 1e-2
_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class PersonSketch:
    """Images of one person in one place and light, linear and without the room behind.

    `base` and `cover` (the share of each pixel that is person) are `(H, W) float32`; `changes
    (N, H, W) float32` are differences to `base`. `units[row]` lists (level, index into `changes`)
    by level; `gazes` maps cells of a 3x3 grid to indices. `turns (6, 2, 3)`: the change of the
    image's affine map for each of the head's rotations (rad) and shifts (cm). `left (H, W)` is the
    weight of the subject's left side. `roi` is the crop that the tracker would take, `yaw` (rad)
    how far the head is turned.
    """

    base: np.ndarray
    cover: np.ndarray
    changes: np.ndarray
    units: dict[int, list[tuple[float, int]]]
    gazes: dict[tuple[int, int], int]
    turns: np.ndarray
    left: np.ndarray
    background: np.ndarray
    roi: Roi
    yaw: float


@dataclass(frozen=True)
class SketchedSession:
    """A session in the crop of its face.

    `cells (n,) CELL_DTYPE` list what is not empty of the counts per hop in a crop of 128x128, by
    hop. `frames (m, 64, 64) uint8` are grey crops, taken in the middle of the hops `frame_hops`.
    """

    script: Script
    hops: int
    cells: np.ndarray
    frames: np.ndarray
    frame_hops: np.ndarray


def sketch_person(config: SimulationConfig) -> PersonSketch | None:
    """Draw the person of `config`; None when the face detector does not see the face."""
    scene = Scene(config)
    rest = Pose(rotation=scene.script.rest_rotation)
    dark, white = np.zeros((*config.size, 3), np.float32), np.ones((*config.size, 3), np.float32)

    def draw(pose: Pose, room: np.ndarray = dark) -> np.ndarray:
        vertices, normals, axes = scene.head.pose(pose)
        scene.renderer.draw(
            vertices, normals, axes, scene.head.surface, scene.head.textures,
            scene.lamps, room, scene.image,
        )  # fmt: skip
        return scene.image @ _LUMINANCE

    base = draw(rest)
    cover = np.clip(1.0 - (draw(rest, white) - base), 0.0, 1.0)
    background = scene.background.at(0.0) @ _LUMINANCE
    roi = _crop(base + (1 - cover) * background)
    if roi is None:
        return None
    changes: list[np.ndarray] = []
    units: dict[int, list[tuple[float, int]]] = {}
    for row, unit in enumerate(UNIT_ORDER):
        farthest = FARTHEST_MM.get(unit, 6.0)
        most = 1.0 if unit == 45 else min(1.0, FARTHEST_SKETCHED_MM / farthest)
        count = 6 if unit == 45 else _LEVELS
        units[row] = []
        for level in np.linspace(0, most, count + 1)[1:]:
            pose = replace(rest, units=np.zeros_like(rest.units))
            pose.units[row] = level
            units[row].append((float(level), len(changes)))
            changes.append(draw(pose) - base)
    gazes: dict[tuple[int, int], int] = {}
    for i in (-1, 0, 1):
        for j in (-1, 0, 1):
            if (i, j) != (0, 0):
                pose = replace(rest, gaze=np.array([i * _GAZE_RAD[0], j * _GAZE_RAD[1]]))
                gazes[i, j] = len(changes)
                changes.append(draw(pose) - base)
    return PersonSketch(
        base, cover, np.array(changes), units, gazes, *_geometry(scene, rest), background, roi,
        float(rest.rotation[0]),
    )  # fmt: skip


class SketchedLight:
    """What the cameras see of a sketched session, at any time."""

    def __init__(self, person: PersonSketch, script: Script, roi: Roi, margin_px: int) -> None:
        """Only the pixels of `roi` and `margin_px` around are drawn, as far as the sensor goes."""
        self.person, self.script = person, script
        height, width = person.base.shape
        left, top = max(int(roi.x) - margin_px, 0), max(int(roi.y) - margin_px, 0)
        right = min(int(np.ceil(roi.x + roi.width)) + margin_px, width)
        bottom = min(int(np.ceil(roi.y + roi.height)) + margin_px, height)
        self.roi = Roi(roi.x - left, roi.y - top, roi.width, roi.height)
        """The crop in the pixels that are drawn."""
        self._corner, self._shape = (left, top), (bottom - top, right - left)
        self._composed = np.empty_like(person.base)

    def __call__(self, t: float) -> np.ndarray:
        """Linear luminance `(H, W) float32` at time t (s), without the light's gain."""
        person = self.person
        index, share, maps = schedule(person, self.script, np.array([t]))
        area = needed(maps[0], *self._corner, self._shape, *person.base.shape)
        compose(person.base, person.changes, person.left, index[0], share[0], *area, self._composed)
        seen = np.empty(self._shape, np.float32)
        warp(self._composed, person.cover, person.background, maps[0], *self._corner, seen)
        return seen


def sketch_session(
    person: PersonSketch, config: SimulationConfig, hop_us: int = 10_000
) -> SketchedSession:
    """The session of `config` (its script, light and sensor) as acted by `person`."""
    script = Script(config)
    height, width = person.base.shape
    lux = script.light.lux
    sensor = draw_sensor(config.sensor, config.seed, config.sensor_noise)
    rng = np.random.default_rng(np.random.SeedSequence([config.seed, 0x5C]))
    hops = int(config.duration_s * 1e6) // hop_us
    pieces = 6 if script.light.flicker_depth > 0.05 else 1
    times = np.arange(hops * pieces + 1) * (hop_us * 1e-6 / pieces)
    # Flicker is faster than a hop, faces are not.
    index, share, maps = schedule(person, script, times[::pieces])
    spread = np.maximum(rng.normal(1, sensor.mismatch, (2, height, width)), 0.2)
    thresholds = spread * np.array([sensor.threshold_on, sensor.threshold_off])[:, None, None]
    light = np.maximum(person.base + (1 - person.cover) * person.background, 0)
    rates = sensor.shot_hz * rng.lognormal(0, 0.4, (height, width))
    rates /= np.sqrt(np.maximum(light * lux / REFERENCE_LUX, 0.002))
    hot = rng.random((height, width)) < sensor.hot_share
    rates[hot] += rng.uniform(5, 60, int(hot.sum()))
    noise = _noise(rates, hops, hop_us, rng)
    roi = varied_crop(person.roi, rng)
    frame_times = (np.arange(int(config.duration_s * config.frames_fps)) + 0.5) / max(
        config.frames_fps, 1
    )
    frame_steps = np.searchsorted(times, frame_times).astype(np.int64)
    cells, pictures = look(
        person.base, person.cover, person.changes, person.background, person.left,
        index, share, maps, np.log(script.light.gain(times)).astype(np.float32),
        np.float32(sensor.dark_lux / lux),
        np.float32(2 * np.pi * sensor.cutoff_hz * lux / REFERENCE_LUX * hop_us * 1e-6 / pieces),
        thresholds.astype(np.float32), rng.random((height, width), np.float32),
        np.float32(sensor.leak_hz * sensor.threshold_on * hop_us * 1e-6 / pieces),
        pieces, np.array([roi.x, roi.y, roi.width, roi.height]), *noise, frame_steps,
    )  # fmt: skip
    frames = _develop(pictures, lux, rng)
    return SketchedSession(script, hops, cells, frames, (frame_times * 1e6 / hop_us).astype(int))


def _crop(light: np.ndarray) -> Roi | None:
    grey = np.clip(0.2 * light / max(float(light.mean()), 1e-4), 0, 1) ** (1 / 2.2)
    image = cv2.merge([(grey * 255).astype(np.uint8)] * 3)
    tracker, detector = FaceTracker(TrackerConfig(confirm_images=1)), FaceDetector()
    for stamp in (1, 2, 3):
        faces = tracker.update(stamp * 33_000_000, detector.detect(image))
    return faces[0].roi if len(faces) == 1 else None


def varied_crop(roi: Roi, rng: np.random.Generator) -> Roi:
    """A crop within the play that the tracker allows."""
    side = roi.width * float(np.exp(rng.normal(0, 0.03)))
    x, y = np.array(roi.center) + rng.normal(0, 0.015, 2) * side
    return Roi(float(x) - side / 2, float(y) - side / 2, side, side)


def _geometry(scene: Scene, rest: Pose) -> tuple[np.ndarray, np.ndarray]:
    """`turns` and `left` of a sketch."""
    vertices, normals, _ = scene.head.pose(rest)
    front = (normals[:, 2] > 0.4) & (vertices[:, 2] > np.percentile(vertices[:, 2], 60))
    places = vertices[front].copy()
    start = scene.camera.project(vertices)[front, :2].copy()
    system = np.column_stack([start, np.ones(len(start))])
    turns = np.zeros((6, 2, 3), np.float32)
    for axis in range(6):
        nudge = np.zeros(6)
        nudge[axis] = _STEP
        pose = replace(rest, rotation=rest.rotation + nudge[:3], shift=nudge[3:])
        moved = scene.camera.project(scene.head.pose(pose)[0])[front, :2]
        turns[axis] = (np.linalg.lstsq(system, moved - start, rcond=None)[0] / _STEP).T
    # The middle of the face in the image, from points beside it; x grows to the subject's left.
    near = np.abs(places[:, 0] - np.median(places[:, 0])) < 1.0
    middle = float(np.median(start[near, 0]))
    pixels_per_cm = scene.camera.focal_px / scene.camera.distance_cm
    columns = (np.arange(scene.camera.width) + 0.5 - middle) / pixels_per_cm
    left = np.clip(columns / 0.8 + 0.5, 0, 1).astype(np.float32)
    return turns, np.tile(left, (scene.camera.height, 1))


def schedule(
    person: PersonSketch, script: Script, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is seen at each time: indices of changes (-1 ends), their shares on the subject's right
    and left, and the affine map from the image to the sketch."""
    seen: list[dict[int, list[float]]] = []
    maps = np.zeros((len(times), 2, 3), np.float32)
    blink = UNIT_ORDER.index(45)
    rest = script.rest_rotation
    for step, t in enumerate(times):
        pose = script.pose(float(t))
        parts: dict[int, list[float]] = {}
        for row in np.nonzero(pose.units.any(1))[0]:
            for side in (0, 1):
                _between(person.units[int(row)], float(pose.units[row, side]), side, parts)
        open_eyes = 1.0 - float(np.clip(pose.units[blink].max(), 0, 1))
        _look_aside(person.gazes, pose.gaze, open_eyes, parts)
        seen.append(parts)
        moves = np.concatenate([pose.rotation - rest, pose.shift])
        forward = np.eye(3)
        forward[:2] += np.tensordot(moves, person.turns, 1)
        maps[step] = np.linalg.inv(forward)[:2]
    most = max(1, *(len(parts) for parts in seen))
    index = np.full((len(times), most), -1, np.int32)
    share = np.zeros((len(times), most, 2), np.float32)
    for step, parts in enumerate(seen):
        index[step, : len(parts)] = list(parts)
        share[step, : len(parts)] = np.reshape(list(parts.values()), (-1, 2))
    return index, share, maps


def _between(
    levels: list[tuple[float, int]], value: float, side: int, parts: dict[int, list[float]]
) -> None:
    lower, before = 0.0, -1
    value = min(value, levels[-1][0])
    for level, key in levels:
        if value <= level:
            upper = (value - lower) / (level - lower)
            for number, part in ((before, 1 - upper), (key, upper)):
                if number >= 0 and part > 0:
                    parts.setdefault(number, [0.0, 0.0])[side] += part
            return
        lower, before = level, key


def _look_aside(
    gazes: dict[tuple[int, int], int],
    gaze: np.ndarray,
    weight: float,
    parts: dict[int, list[float]],
) -> None:
    across, up = np.clip(gaze / _GAZE_RAD, -1, 1)
    i, j = (1 if across > 0 else -1), (1 if up > 0 else -1)
    a, b = abs(float(across)), abs(float(up))
    for cell, part in (((i, 0), a * (1 - b)), ((0, j), (1 - a) * b), ((i, j), a * b)):
        if part * weight > 0:
            parts[gazes[cell]] = [part * weight] * 2


def _noise(
    rates: np.ndarray, hops: int, hop_us: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hops, pixels (flat) and polarities of noise events, by hop."""
    pixels = np.repeat(np.arange(rates.size), rng.poisson(rates.ravel() * (hops * hop_us * 1e-6)))
    when = rng.integers(0, hops, len(pixels))
    order = np.argsort(when, kind="stable")
    return when[order], pixels[order], rng.integers(0, 2, len(pixels))


def _develop(pictures: np.ndarray, lux: float, rng: np.random.Generator) -> np.ndarray:
    """Linear crops to grey 8-bit frames, as `RgbSensor` does for whole images."""
    if not len(pictures):
        return np.zeros((0, 64, 64), np.uint8)
    config = RgbSensorConfig()
    wanted = config.target / (max(float(pictures[0].mean()), 1e-3) * lux / 300.0) * 10_000.0
    exposure = np.clip(wanted, config.shortest_exposure_us, config.longest_exposure_us)
    gain = np.clip(wanted / exposure, 0.02, config.largest_gain)
    electrons = np.maximum(pictures, 0) * (lux / 300.0 * exposure / 10_000.0 * config.electrons)
    # Three colours and about two pixels of the sensor make one of these.
    electrons += (
        rng.standard_normal(pictures.shape)
        * np.sqrt(electrons + config.read_noise**2)
        / np.sqrt(1.6)
    )
    value = np.clip(electrons * (gain / config.electrons), 0, 1)
    return (value ** (1 / 2.2) * 255 + 0.5).astype(np.uint8)
