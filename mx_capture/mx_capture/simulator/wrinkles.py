"""Creases of the skin that Action Units deepen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mx_capture.simulator import mesh as head
from mx_capture.simulator.action_units import UNITS
from mx_capture.simulator.brush import PAINT_SIZE, carve, reduce, slopes, surface_depth
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
    identity: Identity, rng: np.random.Generator, factor: int
) -> dict[tuple[int, int], WrinkleMap]:
    """By (unit, side), side 0 right and 1 left; `factor` times coarser than the painting."""
    maps = {}
    for unit, definition in UNITS.items():
        for side in (0, 1):
            if not definition.creases:
                continue
            height = np.zeros((PAINT_SIZE, PAINT_SIZE), np.float32)
            boxes = []
            for crease in definition.creases:
                # No two people crease in quite the same places.
                points = np.array(crease.points) + rng.normal(0, 0.12, (len(crease.points), 2))
                depth = 0.045 * crease.depth * identity.wrinkling * rng.uniform(0.5, 1.3)
                boxes.append(carve(height, crease_line(points, side), crease.width, depth))
            box = np.array(boxes)
            top, left = (max(0, int(box[:, k].min()) // factor - 1) for k in (0, 2))
            bottom, right = (
                min(PAINT_SIZE // factor, int(box[:, k].max()) // factor + 2) for k in (1, 3)
            )
            patch = height[top * factor : bottom * factor, left * factor : right * factor]
            maps[unit, side] = WrinkleMap(top, left, reduce(slopes(patch), factor))
    return maps


def crease_line(points: np.ndarray, side: int) -> np.ndarray:
    """(N, 2) texture coordinates of a line through (P, 2) points on the left half of the face."""
    fine = np.linspace(0, len(points) - 1, 12)
    x = np.interp(fine, np.arange(len(points)), points[:, 0])
    y = np.interp(fine, np.arange(len(points)), points[:, 1])
    z = surface_depth(np.stack([x, y], 1))
    return head.texture_coordinates(np.stack([x if side else -x, y, z], 1))
