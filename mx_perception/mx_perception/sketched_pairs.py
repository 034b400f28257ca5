"""Pairs of frames of sketched people, as many as one likes: what the reconstruction trains on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from mx_capture.roi import Roi
from mx_capture.simulator.clip import Clip, ClipConfig, take_clip, take_shaken_clip
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.event_sensor import draw_sensor
from mx_capture.simulator.script import Script
from mx_capture.simulator.sketch import PersonSketch, SketchedLight, sketch_person, varied_crop

from mx_perception.dataset import Track
from mx_perception.frame_pairs import (
    AGES,
    FramePairs,
    Pair,
    load_pairs,
    pair_crop,
    save_pairs,
)
from mx_perception.networks.cvae import CvaeConfig
from mx_perception.processes import drawn

VERSION = "v2"
"""In the names of cached pairs; another one wherever sketches become others."""
FIRST_PERSON = 2_000_000_000
"""Seeds from here on; `./mx simulate` and the sketches for Action Units count from smaller ones."""
SESSIONS = 2
"""Of each person, in other light and before another sensor."""
PAIRS = 36
"""Of each session."""
SHAKEN = 0.2
SHAKEN_LUX = (6.0, 60.0)
LONGEST_EXPOSURE_US = 100_000.0
PATH_PX = (4.0, 12.0)
"""Of the shake in the exposure of the key frame, in pixels of the crop."""
SESSION_S = 12.0
FRAME_US = 1e6 / 30
_SENSORS = {"160x160": 0.4, "240x180": 0.45, "346x260": 0.15}
_MARGIN_PX = 6


def sketched_pairs(
    count: int, cache: Path, config: CvaeConfig, track: Track, shaken: float = SHAKEN
) -> FramePairs | None:
    """Pairs of `count` people, from `cache` or drawn into it now; None of nobody.

    `shaken` is the share whose key frame was exposed for long while the camera shook. A person
    whose face is not found is left out. Targets are without noise.
    """
    files = {
        n: cache / f"sketched_{n:05d}_{config.name}_{shaken:g}.{VERSION}.npz" for n in range(count)
    }
    paths = drawn(files, partial(_draw, config, shaken), track, "sketching people")
    parts = [load_pairs(path, f"sketched{number:05d}") for number, path in enumerate(paths)]
    return FramePairs.joined(parts) if parts else None


def _draw(config: CvaeConfig, shaken: float, number: int, path: Path) -> None:
    save_pairs(path, list(sketch_pairs(FIRST_PERSON + number, config, shaken)), config)


@dataclass(frozen=True)
class SketchedClip:
    """A clip of a sketched person, the crop of the face in its pixels, and what looked at it."""

    clip: Clip
    roi: Roi
    cameras: ClipConfig


def sketch_pairs(seed: int, config: CvaeConfig, shaken: float) -> Iterator[Pair]:
    """The pairs of one person; none if the face is not found."""
    for it in sketch_clips(seed, config.width, shaken):
        clip = it.clip
        key, target = (pair_crop(image, it.roi, config) for image in (clip.key, clip.truth))
        events, age_ms = _counts(clip, it.roi, config), round(clip.length_us / 1e3)
        yield Pair(key, target, events, age_ms, len(clip.path_px) > 0)


def sketch_clips(seed: int, width: int, shaken: float) -> Iterator[SketchedClip]:
    """The clips of one person, for crops of so many pixels; none if the face is not found."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5F]))
    sensor = str(rng.choice(list(_SENSORS), p=list(_SENSORS.values())))
    base = SimulationConfig(
        seed=seed, duration_s=SESSION_S, protocol="study", lighting="random", sensor=sensor
    )
    person = sketch_person(base)
    if person is None:
        return
    for number in range(SESSIONS):
        session = replace(
            base,
            seed=seed * SESSIONS + number,
            identity=seed,
            distractors=float(rng.uniform(0.3, 1.5)),
            sensor_noise=float(np.exp(rng.uniform(-1.0, 0.7))),
        )
        for _ in range(PAIRS):
            yield _clip(person, session, rng, width, shaken)


def _clip(
    person: PersonSketch,
    session: SimulationConfig,
    rng: np.random.Generator,
    width: int,
    shaken: float,
) -> SketchedClip:
    script = Script(session)
    roi = varied_crop(person.roi, rng).inside(*person.base.shape)
    light = SketchedLight(person, script, roi, _MARGIN_PX)
    sensor = draw_sensor(session.sensor, session.seed, session.sensor_noise)
    seed = int(rng.integers(2**31))
    scale = roi.width / width
    start_s = float(rng.uniform(0.0, SESSION_S - 1.0))
    if rng.random() < shaken:
        lux = float(np.exp(rng.uniform(*np.log(SHAKEN_LUX))))
        cameras = ClipConfig(sensor, lux, longest_exposure_us=LONGEST_EXPOSURE_US)
        rest_us, path_px = float(rng.uniform(0, 100_000)), float(rng.uniform(*PATH_PX)) * scale
        clip = take_shaken_clip(light, cameras, start_s, rest_us, path_px, seed)
    else:
        flickers = script.light.flicker_depth > 0
        cameras = ClipConfig(sensor, script.light.lux, script.light.gain, flickers)
        clip = take_clip(light, cameras, start_s, float(rng.choice(AGES)) * FRAME_US, seed)
    return SketchedClip(clip, light.roi, cameras)


def _counts(clip: Clip, roi: Roi, config: CvaeConfig) -> np.ndarray:
    """`(T, P, H, W) uint8` of a clip's events, as `mx_capture.layout` places them."""
    events = clip.events
    column = np.floor((events["x"] + 0.5 - roi.x) * config.width / roi.width).astype(np.int64)
    row = np.floor((events["y"] + 0.5 - roi.y) * config.height / roi.height).astype(np.int64)
    time = np.floor(events["t"] * config.bins / clip.length_us).astype(np.int64)
    shape = (config.bins, config.polarities, config.height, config.width)
    inside = (column >= 0) & (column < config.width) & (row >= 0) & (row < config.height)
    inside &= (time >= 0) & (time < config.bins)
    places = (time[inside], events["p"][inside].astype(np.int64), row[inside], column[inside])
    counts = np.bincount(np.ravel_multi_index(places, shape), minlength=int(np.prod(shape)))
    return np.minimum(counts, 255).astype(np.uint8).reshape(shape)
