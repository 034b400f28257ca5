"""How a window looks at its sequence: the augmentations that are right for events.

An expression played backwards is an expression whose events have the other polarity: reversing
time and swapping polarity go together. Mirroring left and right leaves every Action Unit what it
is. Events move as coordinates, with a random place inside their pixel and hop, so that nothing is
interpolated and counts stay counts; frames are warped by the same transform.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from mx_capture.config import Config, setting


@dataclass(frozen=True)
class AugmentConfig(Config):
    """How far a window may be changed; each is drawn anew every time."""

    shift_px: float = setting(4.0, "Shift of the crop, px at 128", minimum=0)
    scale: float = setting(0.08, "Relative change of size", minimum=0, maximum=0.5)
    rotation: float = setting(0.08, "Roll of the head, rad", minimum=0, maximum=1)
    rate: float = setting(0.3, "Relative change of speed", minimum=0, maximum=0.8)
    drop: float = setting(0.3, "Largest share of events dropped", minimum=0, maximum=0.95)
    noise: float = setting(0.003, "Most noise events per pixel and hop", minimum=0, maximum=1)
    reverse: float = setting(0.3, "Share of windows played backwards", minimum=0, maximum=1)
    mirror: float = setting(0.5, "Share of windows mirrored", minimum=0, maximum=1)


@dataclass(frozen=True)
class View:
    """A place of a window in its sequence: stretched in time about `middle`, moved in space.

    `first` is the sequence's hop at the start of the window when nothing is stretched; a negative
    `speed` plays backwards. `matrix (2, 3)` maps (y, x, 1) of the crop, in px, to the window.
    """

    first: int
    middle: float = 0.0
    speed: float = 1.0
    matrix: np.ndarray = field(default_factory=lambda: np.eye(2, 3))

    def place_in_time(self, hop: np.ndarray | float) -> np.ndarray:
        """Hops of the sequence (fractions count) as hops of the window."""
        return (np.asarray(hop) - self.first - self.middle) * self.speed + self.middle

    def source_of(self, hop: np.ndarray) -> np.ndarray:
        """The inverse of `place_in_time`."""
        return (hop - self.middle) / self.speed + self.middle + self.first

    def place(self, points: np.ndarray) -> np.ndarray:
        """`(2, N)` y and x of the crop as those of the window."""
        return self.matrix[:, :2] @ points + self.matrix[:, 2:]

    def interval(self, begin: float, end: float) -> tuple[float, float]:
        """A time interval of the sequence, in hops of the window."""
        one, two = float(self.place_in_time(begin)), float(self.place_in_time(end))
        return min(one, two), max(one, two)

    def sources(self, hops: int) -> tuple[int, int]:
        """The hops of the sequence that a window of `hops` needs, `[first, last)`."""
        ends = self.source_of(np.array([0.0, float(hops)]))
        return math.floor(ends.min()), math.ceil(ends.max())


def draw_view(
    first: int,
    middle: float,
    size: tuple[int, int],
    rng: np.random.Generator,
    augment: AugmentConfig,
) -> View:
    """A random view of the window that starts at `first`, stretched or turned back about the hop
    `middle` of it; `size` is (height, width) of the crop."""
    rate = math.exp(rng.uniform(-1, 1) * math.log1p(augment.rate))
    backwards = rng.random() < augment.reverse
    angle = rng.uniform(-1, 1) * augment.rotation
    scale, stretch = np.exp(rng.uniform(-1, 1, 2) * augment.scale * (1.0, 0.4))
    shift = rng.uniform(-1, 1, 2) * augment.shift_px * size[0] / 128
    flip = -1.0 if rng.random() < augment.mirror else 1.0
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = turn @ np.diag([scale / stretch, flip * scale * stretch])
    centre = np.array(size) / 2
    matrix = np.column_stack([linear, centre + shift - linear @ centre])
    return View(first, middle, (-1.0 if backwards else 1.0) / rate, matrix)
