"""What a simulated session shows, and how it is sampled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mx_capture.config import Config, setting

SENSOR_SIZES = {
    "160x160": (160, 160),
    "240x180": (180, 240),
    "346x260": (260, 346),
    "640x480": (480, 640),
    "1280x720": (720, 1280),
}
"""(height, width) of the sensor presets; 160x160 is a window of 240x180 around the face."""


def _protocol(default: str) -> Any:
    return setting(
        default,
        "What the person does: a clear demonstration, one Action Unit after another, or nothing",
        choices=("demo", "study", "neutral"),
    )


def _lighting(default: str) -> Any:
    return setting(
        default,
        "Kind of light",
        choices=("random", "office", "bright", "dim", "dark", "flicker", "ramp"),
    )


@dataclass(frozen=True)
class SessionConfig(Config):
    """What the sessions of a data set have in common."""

    duration_s: float = setting(20.0, "Length of a session", minimum=0.1, maximum=16_000)
    sensor: str = setting("240x180", "Event sensor preset", choices=tuple(SENSOR_SIZES))
    protocol: str = _protocol("study")
    lighting: str = _lighting("random")
    face_share: float = setting(
        0.0, "Height of the face as a share of the image; 0 draws it", minimum=0.0, maximum=1.2
    )
    distance_cm: float = setting(
        0.0, "Distance of the face from the camera, 0 draws it", minimum=0.0, maximum=300.0
    )
    distractors: float = setting(
        1.0, "Strength of sway, gaze, blinks, speech, moving background", minimum=0.0, maximum=3.0
    )
    sensor_noise: float = setting(
        1.0, "Scale of the event sensor's noise and leak rates", minimum=0.0, maximum=10.0
    )
    render_fps: int = setting(
        125, "Images rendered a second while little moves", minimum=50, maximum=4000
    )
    step_px: float = setting(
        0.3, "Farthest that skin moves from one image to the next", minimum=0.02, maximum=10.0
    )
    samples: int = setting(
        2, "Anti-aliasing samples along each side of a pixel", minimum=1, maximum=8
    )
    frames_fps: int = setting(30, "RGB frames a second; 0 for none", minimum=0, maximum=120)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of both sensors, which share one optical path."""
        return SENSOR_SIZES[self.sensor]


@dataclass(frozen=True)
class SimulationConfig(SessionConfig):
    """One session of one simulated person. Everything else is drawn from `seed`."""

    protocol: str = _protocol("demo")
    lighting: str = _lighting("office")
    seed: int = setting(7, "Number that everything random is drawn from", minimum=0)
    identity: int = setting(
        -1, "Number of the person; -1 takes the seed's", minimum=-1, maximum=2**31 - 1
    )

    @property
    def person(self) -> int:
        """The number of the person."""
        return self.seed if self.identity < 0 else self.identity
