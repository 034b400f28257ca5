"""Facial Action Units as displacement fields and wrinkle lines on the canonical face.

Which muscle moves what, and in which direction, follows the Facial Action Coding System (Ekman,
Friesen and Hager, 2002, chapters on each unit). The manual gives no millimetres. `peak_mm`, the
largest skin displacement at intensity E, follows measured excursions where there are any: brow
elevation about 10 mm and mouth corner excursion about 12 mm (Paletz, Manktelow and Chaban 1994;
Sforza et al. 2010), lid aperture 9 to 11 mm (Fox 1966); the others are scaled to these by eye.

Intensity is 0..1 and linear in displacement. FACS orders A (trace), B (slight), C (marked or
pronounced), D (severe or extreme), E (maximum) and makes C and D wider than the rest;
`INTENSITY_OF_GRADE` places the middle of each on our scale.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mx_capture.simulator.curves import smoothstep
from mx_capture.simulator.mesh import HeadMesh

INTENSITY_OF_GRADE = {"A": 0.08, "B": 0.2, "C": 0.45, "D": 0.75, "E": 1.0}

ACTION_UNITS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 26, 45)
"""The units that sessions perform and label."""

FARTHEST_MM = {
    1: 8.2, 2: 8.5, 4: 5.5, 5: 2.8, 6: 6.5, 7: 2.7, 9: 7.3, 10: 6.8,
    12: 12.0, 14: 4.5, 15: 6.2, 17: 5.8, 20: 8.9, 26: 16.7, 45: 7.9,
}  # fmt: skip
"""Millimetres that the farthest landmark of the face moves at intensity 1, mean of five people:
pulls, lids, jaw and creases together."""

AUXILIARY_UNITS = (18, 25)
"""Lip pucker and lips part: used inside speech and open smiles, never labelled alone."""

NAMES = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    18: "lip pucker",
    20: "lip stretcher",
    25: "lips part",
    26: "jaw drop",
    45: "blink",
}

COMBINATIONS = (
    (6, 12),
    (1, 2),
    (1, 2, 5),
    (1, 2, 5, 26),
    (1, 4),
    (1, 4, 15),
    (4, 7),
    (4, 5, 7),
    (9, 10),
    (9, 17),
    (15, 17),
    (10, 12),
    (12, 26),
    (1, 2, 4, 5, 20),
    (7, 12),
    (14, 17),
)
"""Combinations that occur together: smile, surprise, sadness, anger, disgust, fear and others
(Ekman, Friesen and Hager 2002, Investigator's Guide, table of emotion predictions)."""


@dataclass(frozen=True)
class Pull:
    """Skin around `centre` (cm) follows `move` (direction and relative size), as a Gaussian.

    `lip` restricts the pull to the skin above (+1) or below (-1) the line between the lips.
    """

    centre: tuple[float, float, float]
    spread: tuple[float, float, float]
    move: tuple[float, float, float]
    lip: int = 0


@dataclass(frozen=True)
class Crease:
    """A wrinkle along `points` (cm, on the left side), `width` cm wide and of relative `depth`."""

    points: tuple[tuple[float, float], ...]
    width: float = 0.13
    depth: float = 1.0


@dataclass(frozen=True)
class ActionUnit:
    """One unit on the left half of the face; the right half mirrors it.

    `peak_mm` is the largest displacement by the pulls (of the chin for the jaw, of the lid for the
    blink). Lids turn on top of it: `upper_lid` and `lower_lid` are the shares of the neutral
    aperture by which they move at intensity 1 (positive closes). `jaw_degrees` opens the jaw.
    Units `both_sides_linked` move both halves alike.
    """

    peak_mm: float
    pulls: tuple[Pull, ...] = ()
    creases: tuple[Crease, ...] = ()
    upper_lid: float = 0.0
    lower_lid: float = 0.0
    jaw_degrees: float = 0.0
    both_sides_linked: bool = field(default=False)


_FOREHEAD_INNER = tuple(
    Crease(((0.0, y - 0.05), (1.2, y), (2.6, y + 0.12)), 0.14, d)
    for y, d in ((6.1, 0.7), (6.9, 1.0), (7.7, 0.8))
)
_FOREHEAD_OUTER = tuple(
    Crease(((2.2, y), (3.8, y + 0.2), (5.2, y)), 0.14, d)
    for y, d in ((6.0, 0.8), (6.7, 1.0), (7.4, 0.7))
)
_NASOLABIAL = Crease(((1.75, -0.6), (2.3, -1.5), (2.9, -2.7), (3.3, -4.0)), 0.2, 1.0)

UNITS: dict[int, ActionUnit] = {
    1: ActionUnit(
        8.0,
        (
            Pull((1.5, 4.7, 5.0), (1.5, 1.3, 3.0), (0.06, 1.0, -0.12)),
            Pull((1.0, 6.3, 5.0), (1.5, 1.2, 3.0), (0.0, 0.45, -0.1)),
            Pull((2.2, 3.6, 4.4), (0.9, 0.4, 2.0), (0.0, 0.3, 0.0)),
        ),
        _FOREHEAD_INNER,
        upper_lid=-0.06,
    ),
    2: ActionUnit(
        8.0,
        (
            Pull((4.7, 4.8, 4.0), (1.3, 1.2, 3.0), (0.04, 1.0, -0.25)),
            Pull((4.4, 6.4, 3.8), (1.5, 1.2, 3.0), (0.0, 0.4, -0.15)),
            Pull((4.2, 3.5, 3.8), (0.9, 0.4, 2.0), (0.0, 0.35, 0.0)),
        ),
        _FOREHEAD_OUTER,
        upper_lid=-0.06,
    ),
    4: ActionUnit(
        5.5,
        (
            Pull((1.7, 4.6, 5.0), (1.2, 0.9, 3.0), (-0.75, -0.75, 0.2)),
            Pull((3.6, 4.7, 4.5), (1.3, 0.9, 3.0), (-0.3, -0.75, 0.1)),
            Pull((0.0, 4.6, 5.5), (0.7, 1.0, 3.0), (0.0, -0.5, 0.35)),
            Pull((2.4, 3.5, 4.3), (1.2, 0.4, 2.0), (-0.1, -0.4, 0.05)),
        ),
        (
            Crease(((0.55, 3.7), (0.62, 4.6), (0.75, 5.6)), 0.12, 1.2),
            Crease(((0.05, 3.6), (0.12, 4.5), (0.2, 5.2)), 0.1, 0.5),
            Crease(((0.0, 3.3), (0.6, 3.25)), 0.1, 0.6),
        ),
        upper_lid=0.06,
    ),
    5: ActionUnit(
        1.0, (Pull((3.15, 3.5, 4.0), (1.0, 0.35, 2.0), (0.0, 0.35, -0.3)),), upper_lid=-0.25
    ),
    6: ActionUnit(
        6.0,
        (
            Pull((4.3, 0.5, 3.6), (1.5, 1.2, 3.0), (-0.15, 1.0, 0.4)),
            Pull((5.6, 2.6, 2.0), (0.8, 1.2, 2.0), (-0.65, -0.1, 0.3)),
            Pull((3.2, 1.5, 4.0), (1.4, 0.5, 2.0), (-0.1, 0.5, 0.25)),
            Pull((5.2, 4.2, 3.0), (1.0, 0.7, 2.0), (-0.1, -0.35, 0.0)),
        ),
        (
            Crease(((5.0, 2.75), (5.6, 3.1), (6.3, 3.4)), 0.1, 1.0),
            Crease(((5.05, 2.5), (5.8, 2.5), (6.5, 2.5)), 0.1, 1.1),
            Crease(((4.95, 2.2), (5.6, 1.9), (6.2, 1.5)), 0.1, 1.0),
            Crease(((1.9, 1.7), (3.1, 1.25), (4.5, 1.5)), 0.16, 0.9),
        ),
        upper_lid=0.07,
        lower_lid=0.16,
    ),
    7: ActionUnit(
        1.2,
        (
            Pull((3.15, 1.9, 4.0), (1.3, 0.4, 2.0), (-0.25, 0.8, 0.2)),
            Pull((4.8, 2.5, 3.0), (0.5, 0.6, 2.0), (-0.5, 0.0, 0.1)),
        ),
        (
            Crease(((2.0, 1.95), (3.1, 1.7), (4.4, 1.95)), 0.11, 1.0),
            Crease(((5.0, 2.5), (5.6, 2.5)), 0.1, 0.5),
        ),
        upper_lid=0.14,
        lower_lid=0.2,
    ),
    9: ActionUnit(
        6.5,
        (
            Pull((1.5, -0.8, 5.4), (0.8, 0.9, 2.5), (0.15, 1.0, -0.05)),
            Pull((1.0, 1.0, 5.6), (0.8, 1.0, 2.5), (-0.1, 0.6, 0.25)),
            Pull((1.4, -3.3, 5.4), (1.3, 0.7, 2.0), (0.05, 0.55, 0.05), lip=1),
            Pull((2.9, -0.2, 4.2), (1.0, 0.9, 2.5), (-0.2, 0.6, 0.2)),
            Pull((1.3, 4.5, 5.1), (1.0, 0.7, 2.5), (-0.35, -0.6, 0.1)),
        ),
        (
            Crease(((0.0, 2.9), (0.6, 2.8), (1.1, 2.5)), 0.11, 1.1),
            Crease(((0.35, 2.2), (0.8, 1.9), (1.4, 1.4)), 0.11, 1.1),
            Crease(((0.45, 1.5), (0.9, 1.1), (1.4, 0.7)), 0.1, 0.9),
            _NASOLABIAL,
        ),
        upper_lid=0.06,
        lower_lid=0.08,
    ),
    10: ActionUnit(
        6.0,
        (
            Pull((1.3, -3.5, 5.5), (1.0, 0.8, 2.0), (0.05, 1.0, 0.1), lip=1),
            Pull((2.4, -1.7, 4.8), (0.9, 1.0, 2.5), (0.1, 0.6, 0.3)),
            Pull((1.6, -0.9, 5.2), (0.6, 0.6, 2.0), (0.2, 0.3, 0.0)),
        ),
        (_NASOLABIAL, Crease(((2.0, -1.0), (2.7, -1.7), (3.4, -2.6)), 0.18, 0.8)),
    ),
    12: ActionUnit(
        11.0,
        (
            Pull((2.5, -4.35, 4.3), (1.0, 0.8, 2.5), (0.72, 0.72, -0.3)),
            Pull((1.3, -3.7, 5.2), (0.9, 0.5, 2.0), (0.22, 0.2, -0.16), lip=1),
            Pull((1.3, -4.9, 5.2), (0.9, 0.6, 2.0), (0.25, 0.26, -0.18), lip=-1),
            Pull((3.9, -2.4, 4.0), (1.3, 1.2, 2.5), (0.25, 0.5, 0.3)),
            Pull((4.2, -0.6, 3.7), (1.3, 0.9, 2.5), (0.0, 0.25, 0.15)),
        ),
        (
            Crease(((1.8, -0.8), (2.5, -1.6), (3.3, -2.8), (3.7, -4.2)), 0.2, 1.4),
            Crease(((3.2, -3.6), (3.45, -4.3), (3.3, -5.0)), 0.13, 0.8),
            Crease(((2.0, 1.6), (3.1, 1.2), (4.4, 1.5)), 0.15, 0.3),
        ),
        lower_lid=0.04,
    ),
    14: ActionUnit(
        4.5,
        (
            Pull((2.6, -4.35, 4.2), (0.6, 0.7, 2.0), (0.5, 0.1, -0.75)),
            Pull((3.4, -4.3, 3.8), (0.8, 1.1, 2.0), (-0.25, 0.15, 0.3)),
        ),
        (
            Crease(((2.95, -3.8), (3.15, -4.35), (2.95, -4.9)), 0.13, 1.5),
            Crease(((2.3, -1.6), (2.9, -2.8), (3.2, -3.7)), 0.18, 0.5),
        ),
    ),
    15: ActionUnit(
        6.0,
        (
            Pull((2.45, -4.45, 4.3), (0.8, 0.7, 2.0), (0.12, -1.0, -0.05)),
            Pull((1.4, -5.0, 5.1), (0.9, 0.5, 2.0), (0.05, -0.25, 0.0), lip=-1),
            Pull((2.9, -6.0, 3.9), (0.9, 0.9, 2.0), (0.0, -0.35, 0.2)),
            Pull((2.6, -3.0, 4.5), (0.9, 0.7, 2.0), (0.0, -0.3, 0.0)),
        ),
        (
            Crease(((2.65, -4.5), (2.95, -5.2), (2.95, -6.0)), 0.14, 1.3),
            Crease(((2.0, -1.2), (2.7, -2.4), (3.0, -3.6)), 0.18, 0.5),
        ),
    ),
    17: ActionUnit(
        6.0,
        (
            Pull((0.7, -7.3, 5.0), (1.3, 1.1, 2.5), (0.0, 1.0, 0.25)),
            Pull((0.7, -5.2, 5.4), (1.2, 0.7, 2.0), (0.0, 0.65, 0.25), lip=-1),
            Pull((0.7, -3.8, 5.5), (1.2, 0.45, 2.0), (0.0, 0.35, 0.15), lip=1),
            Pull((2.4, -4.5, 4.3), (0.6, 0.5, 2.0), (0.0, -0.15, 0.0)),
        ),
        (
            Crease(((0.0, -6.05), (0.8, -6.15), (1.6, -6.5)), 0.16, 1.4),
            Crease(((0.25, -7.2), (0.5, -7.6)), 0.12, 0.8),
            Crease(((0.8, -7.0), (1.1, -7.5)), 0.12, 0.8),
            Crease(((0.0, -7.9), (0.4, -8.0)), 0.12, 0.7),
            Crease(((0.9, -8.0), (1.2, -7.8)), 0.12, 0.7),
        ),
        both_sides_linked=True,
    ),
    18: ActionUnit(
        6.0,
        (
            Pull((2.4, -4.35, 4.3), (0.9, 0.9, 2.0), (-1.0, 0.0, 0.5)),
            Pull((0.6, -3.7, 5.6), (0.9, 0.6, 2.0), (-0.1, 0.0, 0.5), lip=1),
            Pull((0.6, -4.9, 5.6), (0.9, 0.6, 2.0), (-0.1, 0.0, 0.5), lip=-1),
        ),
        both_sides_linked=True,
    ),
    20: ActionUnit(
        8.0,
        (
            Pull((2.5, -4.4, 4.3), (0.9, 0.9, 2.5), (1.0, -0.15, -0.45)),
            Pull((1.2, -3.8, 5.2), (0.9, 0.5, 2.0), (0.35, 0.0, -0.2), lip=1),
            Pull((1.2, -4.9, 5.2), (0.9, 0.6, 2.0), (0.35, -0.1, -0.2), lip=-1),
            Pull((3.9, -5.0, 3.4), (1.2, 1.4, 2.5), (0.5, -0.1, 0.0)),
        ),
        (
            Crease(((3.15, -3.4), (3.45, -4.4), (3.3, -5.4)), 0.15, 1.2),
            Crease(((3.8, -3.9), (4.1, -4.7), (4.0, -5.5)), 0.15, 0.6),
        ),
    ),
    25: ActionUnit(
        4.0,
        (
            Pull((0.0, -3.9, 5.3), (1.4, 0.5, 2.0), (0.0, 0.35, 0.05), lip=1),
            Pull((0.0, -4.7, 5.3), (1.4, 0.7, 2.0), (0.0, -1.0, 0.05), lip=-1),
        ),
        both_sides_linked=True,
    ),
    26: ActionUnit(14.0, jaw_degrees=10.5, both_sides_linked=True),
    45: ActionUnit(8.0, upper_lid=0.94, lower_lid=0.1),
}


def displacement_fields(mesh: HeadMesh, unit: int) -> tuple[np.ndarray, np.ndarray]:
    """(right, left), each (V, 3) float64 cm of skin displacement at intensity 1.

    Their sum peaks at `peak_mm`. Lid and jaw rotations are not part of it.
    """
    definition = UNITS[unit]
    points = mesh.open_vertices
    above = share_of_upper_lip(points)
    sides = []
    for sign in (-1.0, 1.0):
        mirrored = points * np.array([sign, 1.0, 1.0])
        total = np.zeros_like(points)
        for pull in definition.pulls:
            offset = (mirrored - np.array(pull.centre)) / np.array(pull.spread)
            weight = np.exp(-0.5 * (offset**2).sum(1))
            if pull.lip:
                weight = weight * (above if pull.lip > 0 else 1 - above)
            total += weight[:, None] * np.array(pull.move)
        # Muscles insert in front of the ear; the cranium does not move.
        total *= smoothstep(-1.5, 1.0, points[:, 2])[:, None]
        # Towards the midline each half gives way to the other, so that both add up smoothly.
        own_half = smoothstep(-0.9, 0.9, mirrored[:, 0])
        sides.append(total * own_half[:, None] * np.array([sign, 1.0, 1.0]))
    peak = np.linalg.norm(sides[0] + sides[1], axis=1).max()
    if peak > 0:
        sides = [side * (definition.peak_mm / 10 / peak) for side in sides]
    return sides[0], sides[1]


def share_of_upper_lip(points: np.ndarray) -> np.ndarray:
    """(V,) 1 above the line between the parted lips, 0 below, soft beyond the mouth corners."""
    x = np.abs(points[:, 0])
    line = np.interp(x, [0.0, 1.1, 2.15, 3.0], [-4.265, -4.23, -4.29, -4.4])
    softness = np.interp(x, [1.8, 2.3, 4.5], [0.02, 0.12, 1.2])
    return 1 / (1 + np.exp(-np.clip((points[:, 1] - line) / softness, -40, 40)))


def jaw_weights(points: np.ndarray) -> np.ndarray:
    """(V,) share of the jaw's rotation that the skin follows: 1 at the chin, 0 above the mouth."""
    below = 1 - share_of_upper_lip(points)
    inner = below * smoothstep(-3.0, -5.0, points[:, 1] - 0.15 * np.abs(points[:, 0]))
    inner = np.where((np.abs(points[:, 0]) < 2.3) & (points[:, 1] > -5.0), below, inner)
    towards_neck = smoothstep(-2.5, 1.5, points[:, 2])
    beside = smoothstep(8.0, 5.0, np.abs(points[:, 0]))
    return np.clip(inner, 0, 1) * towards_neck * (0.25 + 0.75 * beside)
