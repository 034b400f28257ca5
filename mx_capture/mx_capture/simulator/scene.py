"""Everything that stands before the camera: the person, the light and the room behind."""

from __future__ import annotations

import cv2
import numpy as np

from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.head import Head, Pose
from mx_capture.simulator.identity import draw_identity
from mx_capture.simulator.renderer import Camera, Lighting, Renderer
from mx_capture.simulator.script import Script
from mx_capture.simulator.shading import TEXTURE_EXTENT

_FACE_CM = 18.5
_TEXELS_PER_PIXEL = 1.3


class Scene:
    """Renders a session's images: a function of time alone."""

    def __init__(self, config: SimulationConfig) -> None:
        self.config = config
        self.script = Script(config)
        self.identity = draw_identity(config.person)
        rng = np.random.default_rng(np.random.SeedSequence([config.seed, 0x5CE]))
        height, width = config.size
        share = config.face_share or float(rng.uniform(0.5, 0.78))
        distance = config.distance_cm or float(rng.uniform(40, 90))
        face_px = share * height
        focal = face_px * distance / _FACE_CM
        offset = rng.normal(0, [0.03, 0.02]) * [width, height]
        lift = 0.3 * face_px / _FACE_CM
        self.camera = Camera(
            height, width, focal, distance,
            width / 2 + float(offset[0]), height / 2 + float(offset[1]) + lift,
        )  # fmt: skip
        lighting = _draw_lighting(rng)
        self.lamps = lighting.rows()
        texels = int(
            np.clip(face_px / _FACE_CM * 10 * 2 * TEXTURE_EXTENT * _TEXELS_PER_PIXEL, 96, 1024)
        )
        level = 1 if face_px < 220 else 2
        self.head = Head(self.identity, level, texels, lighting.key_direction)
        self.renderer = Renderer(self.camera, config.samples, float(rng.uniform(0.6, 1.0)))
        self.background = Background(rng, height, width, config.distractors)
        self.luminance = np.zeros((height, width), np.float32)
        self.image = np.zeros((height, width, 3), np.float32)

    def render(self, t: float) -> np.ndarray:
        """(H, W, 3) float32 linear RGB at time t without the light's gain.

        The array is reused by the next call.
        """
        return self.draw(self.script.pose(t), t)

    def draw(self, pose: Pose, t: float = 0.0) -> np.ndarray:
        """As `render`, with a pose that the script does not ask for."""
        vertices, normals, axes = self.head.pose(pose)
        self.renderer.draw(
            vertices,
            normals,
            axes,
            self.head.surface,
            self.head.textures,
            self.lamps,
            self.background.at(t),
            self.image,
        )
        return self.image

    def travel_px(self, start: float, end: float) -> float:
        """How far any point moves in the image between two times, in pixels."""
        before = self._positions(start).copy()
        return float(np.abs(self._positions(end) - before).max())

    def _positions(self, t: float) -> np.ndarray:
        vertices, _, _ = self.head.pose(self.script.pose(t))
        return self.camera.project(vertices)[:, :2]


class Background:
    """A blurred room, sometimes in motion."""

    def __init__(self, rng: np.random.Generator, height: int, width: int, motion: float) -> None:
        self._height, self._width = height, width
        self._margin = margin = max(8, height // 12)
        self._canvas = _draw_room(rng, height + 2 * margin, width + 2 * margin)
        self._amplitude: np.ndarray = np.zeros(2)
        if motion > 0 and rng.random() < 0.35:
            self._amplitude = rng.uniform(0.1, 0.8, 2) * margin * min(motion, 1.2)
        self._rate = rng.uniform(0.03, 0.25, 2)
        self._phase = rng.uniform(0, 6.3, 2)
        self._still = self._shifted(0.0)
        self.moves = bool(self._amplitude.any())

    def at(self, t: float) -> np.ndarray:
        """(H, W, 3) float32 linear RGB at time t."""
        return self._shifted(t) if self.moves else self._still

    def _shifted(self, t: float) -> np.ndarray:
        shift = self._margin + self._amplitude * np.sin(2 * np.pi * self._rate * t + self._phase)
        matrix = np.array([[1.0, 0.0, shift[0]], [0.0, 1.0, shift[1]]])
        return cv2.warpAffine(
            self._canvas,
            matrix,
            (self._width, self._height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )


def _draw_room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """(H, W, 3) float32: walls, frames, shelves and lamps out of focus."""
    base = rng.uniform(0.03, 0.6) * rng.uniform(0.7, 1.2, 3)
    room = np.tile(base.astype(np.float32), (height, width, 1))
    ramp = np.linspace(-1, 1, width)[None] * rng.normal(0, 0.25) + np.linspace(-1, 1, height)[
        :, None
    ] * rng.normal(0, 0.2)
    room *= np.clip(1 + ramp, 0.2, 2)[..., None].astype(np.float32)
    for _ in range(int(rng.integers(0, 14))):
        colour = (rng.uniform(0.01, 1.0) ** 1.5 * rng.uniform(0.4, 1.2, 3)).tolist()
        x, y = rng.uniform(-0.1, 1.0) * width, rng.uniform(-0.1, 1.0) * height
        w, h = rng.uniform(0.03, 0.4) * width, rng.uniform(0.05, 0.7) * height
        corner, other = (int(x), int(y)), (int(x + w), int(y + h))
        if rng.random() < 0.2:
            cv2.circle(room, corner, int(min(w, h) / 2) + 1, colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(room, corner, other, colour, -1 if rng.random() < 0.75 else 2)
    rough = rng.standard_normal((height, width)).astype(np.float32)
    grain = cv2.GaussianBlur(rough, (0, 0), float(rng.uniform(0.8, 4.0)))
    room *= (1 + float(rng.uniform(0, 0.25)) * grain / grain.std())[..., None]
    blur = float(np.exp(rng.uniform(np.log(0.004), np.log(0.03)))) * height
    return np.clip(cv2.GaussianBlur(room, (0, 0), max(blur, 0.8)), 0.004, 3.0).astype(np.float32)


def _draw_lighting(rng: np.random.Generator) -> Lighting:
    side = float(rng.uniform(-1.1, 1.1))
    height = float(rng.uniform(0.0, 1.1))
    warm = float(rng.normal(0, 0.08))
    colour = np.array([1 + warm, 1.0, 1 - warm])
    key = float(rng.uniform(0.5, 1.1))
    fill = float(rng.uniform(0.05, 0.45))
    sky = float(rng.uniform(0.12, 0.5))
    ground = sky * float(rng.uniform(0.2, 0.7))
    return Lighting(
        (side, height, 0.8),
        _colour(colour * key),
        (-side - float(rng.normal(0, 0.3)), float(rng.uniform(-0.2, 0.5)), 0.7),
        _colour(colour[::-1] * fill),
        _colour(colour[::-1] * sky),
        _colour(colour * ground),
    )


def _colour(values: np.ndarray) -> tuple[float, float, float]:
    return (float(values[0]), float(values[1]), float(values[2]))
