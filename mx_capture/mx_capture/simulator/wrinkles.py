"""Creases of the skin that Action Units deepen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mx_capture.simulator import mesh as head
from mx_capture.simulator.action_units import UNITS, Crease
from mx_capture.simulator.brush import PAINT_SIZE, reduce, slopes, stroke, surface_depth
from mx_capture.simulator.identity import Identity


@dataclass(frozen=True)
class WrinkleMap:
    """Slopes that one Action Unit adds to the relief on one side at full strength.

    `row`, `column` where the patch lies in the texture, `slopes` (h, w, 2) float32.
    """

    row: int
    column: int
    slopes: np.ndarray


def wrinkle_maps(
    identity: Identity, rng: np.random.Generator, size: int
) -> dict[tuple[int, int], WrinkleMap]:
    maps = {}
    for unit, definition in UNITS.items():
        for side in (0, 1):
            if not definition.creases:
                continue
            height = np.zeros((PAINT_SIZE, PAINT_SIZE), np.float32)
            for crease in definition.creases:
                bent = Crease(
                    tuple(
                        (px + float(rng.normal(0, 0.12)), py + float(rng.normal(0, 0.12)))
                        for px, py in crease.points
                    ),
                    crease.width,
                    crease.depth,
                )
                depth = 0.045 * crease.depth * identity.wrinkling * rng.uniform(0.5, 1.3)
                height -= depth * crease_mask(bent, side)
            relief = reduce(slopes(height), size)
            strong = np.abs(relief).max(-1) > 2e-3
            if not strong.any():
                continue
            rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
            patch = relief[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            maps[unit, side] = WrinkleMap(
                int(rows[0]), int(columns[0]), np.ascontiguousarray(patch, np.float32)
            )
    return maps


def crease_mask(crease: Crease, side: int) -> np.ndarray:
    """0..1 along the crease, thinning at its ends."""
    points = np.array(crease.points)
    fine = np.linspace(0, len(points) - 1, 12)
    x = np.interp(fine, np.arange(len(points)), points[:, 0])
    y = np.interp(fine, np.arange(len(points)), points[:, 1])
    z = surface_depth(np.stack([x, y], 1))
    line = np.stack([x if side else -x, y, z], 1)
    return stroke([head.texture_coordinates(line)], crease.width, taper=True)
