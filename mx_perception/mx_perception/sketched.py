"""Sketched people to train on: as many as one likes, with labels that are exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.event_sensor import draw_sensor
from mx_capture.simulator.sketch import (
    PersonSketch,
    sketch_person,
    sketch_session,
)
from mx_capture.simulator.source import SimulatedSource

from mx_perception.dataset import Track
from mx_perception.kinds import FIRST_PERSON, SKETCHED
from mx_perception.processes import drawn
from mx_perception.sequences import FaceSequence, load_sequences, save_sequences, spans_of

VERSION = "v3"
"""In the names of cached sketches; another one wherever sketches become others."""
NEUTRAL_PERSON = 700_000
"""Number of the first one who is at rest while thresholds are chosen."""
SESSIONS = 4
"""Of each person, all in other light and before another sensor."""
SESSION_S = 12.0
NEUTRAL_S = 60.0
HOP_US = 10_000
SIZE = (128, 128)
SENSORS = {"160x160": 0.38, "240x180": 0.28, "346x260": 0.22, "640x480": 0.12}
"""Shares of the sensors that people stand before."""
_FACE_SHARES = {"640x480": (0.35, 0.6)}
"""Height of the face as a share of the image, where it is not that of every simulated session:
large sensors see people from farther away."""


def sketched_people(
    count: int, cache: Path, track: Track, first: int = 0
) -> Iterator[FaceSequence]:
    """Sequences of `count` people from number `first` on, from `cache` or drawn into it now.

    `track(numbers, description=...)` shows progress. A person whose face is not found is left out.
    """
    files = {n: cache / f"person_{n:05d}.{VERSION}.npz" for n in range(first, first + count)}
    for path in drawn(files, _draw, track, "sketching people"):
        yield from load_sequences([path])


def neutral_people(count: int, first: int, cache: Path, track: Track) -> Iterator[FaceSequence]:
    """A minute each of `count` people who show no expression, otherwise as `sketched_people`.

    They blink, speak, look about and sway, before every sensor in turn.
    """
    files = {n: cache / f"neutral_{n:05d}.{VERSION}.npz" for n in range(first, first + count)}
    for path in drawn(files, _draw_at_rest, track, "sketching people at rest"):
        yield from load_sequences([path])


def _draw(number: int, path: Path) -> None:
    save_sequences(path, sketch(FIRST_PERSON + number))


def _draw_at_rest(number: int, path: Path) -> None:
    sensor = list(SENSORS)[number % len(SENSORS)]
    save_sequences(path, sketch_at_rest(FIRST_PERSON + number, sensor))


def sketch(seed: int) -> list[FaceSequence]:
    """The sessions of one person; none if the face is not found."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5D]))
    sensor = str(rng.choice(list(SENSORS), p=list(SENSORS.values())))
    config = SimulationConfig(
        seed=seed,
        duration_s=SESSION_S,
        protocol="study",
        lighting="random",
        sensor=sensor,
        face_share=_face_share(sensor, rng),
    )
    person = sketch_person(config)
    if person is None:
        return []
    return [_session(person, _drawn(config, number, rng)) for number in range(SESSIONS)]


def sketch_at_rest(seed: int, sensor: str) -> list[FaceSequence]:
    """A minute of one person without an expression; nothing if the face is not found."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5D]))
    config = SimulationConfig(
        seed=seed,
        duration_s=NEUTRAL_S,
        protocol="neutral",
        lighting="random",
        sensor=sensor,
        face_share=_face_share(sensor, rng),
    )
    person = sketch_person(config)
    return [] if person is None else [_session(person, replace(config, identity=seed))]


def _face_share(sensor: str, rng: np.random.Generator) -> float:
    return float(rng.uniform(*_FACE_SHARES[sensor])) if sensor in _FACE_SHARES else 0.0


def _drawn(base: SimulationConfig, number: int, rng: np.random.Generator) -> SimulationConfig:
    neutral = number == SESSIONS - 1 and rng.random() < 1 / 3
    return replace(
        base,
        seed=base.seed * SESSIONS + number,
        identity=base.seed,
        protocol="neutral" if neutral else "study",
        distractors=float(rng.uniform(0.3, 1.3)),
        sensor_noise=float(np.exp(rng.uniform(-1.0, 0.7))),
    )


def _session(person: PersonSketch, config: SimulationConfig) -> FaceSequence:
    session = sketch_session(person, config, HOP_US)
    light, camera = session.script.light, draw_sensor(config.sensor, config.seed)
    condition = (
        f"lighting={light.name} lux={light.lux:.3g} sensor={config.sensor} "
        f"threshold={(camera.threshold_on + camera.threshold_off) / 2:.3f} "
        f"noise={config.sensor_noise:.2f} sway={config.distractors:.2f} "
        f"yaw_deg={abs(np.degrees(person.yaw)):.1f}"
    )
    return FaceSequence(
        subject=f"{SKETCHED}{config.identity - FIRST_PERSON:05d}",
        session=f"sketched{config.seed}",
        condition=condition,
        hops=session.hops,
        hop_us=HOP_US,
        size=SIZE,
        cells=session.cells,
        spans=spans_of(SimulatedSource(config).labels(), 0, HOP_US, session.hops),
        frames=session.frames,
        frame_hops=session.frame_hops,
    )
