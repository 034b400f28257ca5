"""Short clips of any light before both cameras, the event camera's and the RGB camera's.

Sessions are rendered as a whole; a clip takes what is needed to learn what lies between two
frames: a key frame, the events since, and the picture at the end as a camera without noise and
without motion blur would take it. The cameras may shake, and the key frame may be exposed for
long: then it is blurred by motion of which the events tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import cv2
import numpy as np

from mx_capture.simulator.event_sensor import EventSensor, EventSensorConfig
from mx_capture.simulator.rgb_sensor import RgbSensor, RgbSensorConfig

STEP_US = 4_000.0
"""Between the images that the event sensor sees; it interpolates."""
_SHAKEN_STEP_US = 2_500.0
_NOISELESS = {"electrons": 1e12, "read_noise": 0.0}
_SHAKE_HZ = (2.5, 8.0)

Light = Callable[[float], np.ndarray]
"""Time in s -> linear luminance `(H, W) float32` of the scene."""


@dataclass(frozen=True)
class ClipConfig:
    """Cameras and light of a clip. `gain` gives factors on all light at times in s.

    Light that flickers has to be looked at more often than once between two images.
    """

    sensor: EventSensorConfig
    lux: float
    gain: Callable[[np.ndarray], np.ndarray] = np.ones_like
    flickers: bool = False
    longest_exposure_us: float = 16_000.0


@dataclass(frozen=True)
class Clip:
    """`key` and `truth (H, W, 3) uint8`; `events` since the key frame, `t` in us from its stamp.

    `truth` is what an ideal camera would see `length_us` after the stamp of the key frame.
    `exposure_us` is the time in which the key frame gathered light. `path_px (n, 2)`: where the
    image was at even times of it, to the right and down of where it is in `truth`; empty where the
    camera stood still.
    """

    key: np.ndarray
    truth: np.ndarray
    events: np.ndarray
    length_us: float
    exposure_us: float
    path_px: np.ndarray


@dataclass(frozen=True)
class Shake:
    """A camera that shakes: two waves across and two up; `at` gives the shift in px."""

    size_px: np.ndarray
    hz: np.ndarray
    phase: np.ndarray

    def at(self, t: float) -> np.ndarray:
        """(2,) shift to the right and down, 0 at no special time."""
        shift: np.ndarray = (self.size_px * np.sin(2 * np.pi * self.hz * t + self.phase)).sum(1)
        return shift


def draw_shake(rng: np.random.Generator, path_px: float, exposure_s: float) -> Shake:
    """A shake whose path is `path_px` long in the first `exposure_s`."""
    size = rng.normal(0, 1, (2, 2))
    hz = rng.uniform(*_SHAKE_HZ, (2, 2))
    shake = Shake(size, hz, rng.uniform(0, 2 * np.pi, (2, 2)))
    places = np.array([shake.at(t) for t in np.linspace(0, exposure_s, 20)])
    length = float(np.hypot(*np.diff(places, axis=0).T).sum())
    return replace(shake, size_px=size * path_px / max(length, 1e-6))


def take_clip(
    light: Light, config: ClipConfig, start_s: float, length_us: float, seed: int
) -> Clip:
    """A clip of a scene; the key frame is stamped in the middle of its exposure, as elsewhere."""
    first = light(start_s)
    rgb = _camera(first, config, seed)
    half_s = rgb.exposure_us * 0.25e-6
    for t in (start_s - half_s, start_s + half_s):
        _gather(rgb, light(max(t, 0.0)), config, t)
    key = rgb.develop(0)
    steps = max(1, round(length_us / STEP_US))
    sensor = EventSensor(config.sensor, first.shape[0], first.shape[1], seed, config.lux)
    times = start_s + np.arange(steps + 1) * length_us * 1e-6 / steps
    events, last = _watch(sensor, light, config, times)
    truth = _truth(last, config, first, times[-1], seed)
    return Clip(key, truth, events, length_us, rgb.exposure_us, np.zeros((0, 2)))


def take_shaken_clip(
    light: Light,
    config: ClipConfig,
    start_s: float,
    rest_us: float,
    path_px: float,
    seed: int,
) -> Clip:
    """A clip while the camera shakes; its key frame is stamped as its exposure begins.

    In the exposure, which the light asks for within `longest_exposure_us`, the image moves along
    `path_px` pixels; the clip ends `rest_us` after it. The border of the images is repeated.
    """
    still = light(start_s)
    rgb = _camera(still, config, seed)
    length_us = rgb.exposure_us + rest_us
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5A]))
    shake = draw_shake(rng, path_px, rgb.exposure_us * 1e-6)
    middle = shake.at(length_us * 0.5e-6)

    def shaken(t: float) -> np.ndarray:
        right, down = shake.at(t - start_s) - middle
        move = np.array([[1.0, 0.0, -right], [0.0, 1.0, -down]])
        flags, border = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
        image = light(t)
        moved = cv2.warpAffine(image, move, image.shape[::-1], flags=flags, borderMode=border)
        return np.maximum(moved, 0.0)

    steps = max(1, round(length_us / _SHAKEN_STEP_US))
    sensor = EventSensor(config.sensor, still.shape[0], still.shape[1], seed, config.lux)
    times = start_s + np.arange(steps + 1) * length_us * 1e-6 / steps
    exposed = start_s + rgb.exposure_us * 1e-6

    def kept(t: float) -> np.ndarray:
        image = shaken(t)
        if t <= exposed:
            _gather(rgb, image, config, t)
        return image

    events, last = _watch(sensor, kept, config, times)
    truth = _truth(last, config, still, times[-1], seed)
    end = shake.at(times[-1] - start_s)
    path = np.array([shake.at(t - start_s) - end for t in times if t <= exposed])
    return Clip(rgb.develop(0), truth, events, length_us, rgb.exposure_us, path)


def _camera(image: np.ndarray, config: ClipConfig, seed: int, **changes: float) -> RgbSensor:
    options = RgbSensorConfig(longest_exposure_us=config.longest_exposure_us, **changes)
    camera = RgbSensor(options, seed, config.lux)
    camera.settle(_colour(image))
    return camera


def _gather(camera: RgbSensor, image: np.ndarray, config: ClipConfig, t: float) -> None:
    camera.gather(_colour(image) * np.float32(config.gain(np.array([t]))[0]), 1.0)


def _truth(
    image: np.ndarray, config: ClipConfig, settled_on: np.ndarray, t: float, seed: int
) -> np.ndarray:
    camera = _camera(settled_on, config, seed, **_NOISELESS)
    _gather(camera, image, config, t)
    return camera.develop(1)


def _watch(
    sensor: EventSensor, light: Light, config: ClipConfig, times: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Events from the first time to the last, and the last image."""
    parts = []
    image = light(times[0])
    sensor.see(image, 0.0, config.gain(times[:1]))
    for before, now in pairwise(times):
        image = light(now)
        gains = config.gain(np.linspace(before, now, 5 if config.flickers else 2))
        parts.append(sensor.see(image, (now - times[0]) * 1e6, gains))
    return np.concatenate(parts), image


def _colour(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[..., np.newaxis], 3, axis=2)
