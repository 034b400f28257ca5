"""Eyelids: skin that turns about the eyeball and never falls into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from mx_capture.simulator import mesh as head_mesh
from mx_capture.simulator.anatomy import EYE_RADIUS_CM
from mx_capture.simulator.curves import smoothstep

_CANONICAL_APERTURE_CM = 0.67
_LIFT_CM = 0.065


@dataclass(frozen=True)
class Lids:
    """The skin around one eye.

    `index` (N,) vertices; `upper`, `lower` (N,) share of each lid's travel; `reach` (N,) radius
    that the skin must keep (cm); `resting` (N,) 1 where it lies on the eyeball; `centre` (3,) of
    the eyeball; `aperture` in cm at rest.
    """

    index: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    reach: np.ndarray
    resting: np.ndarray
    centre: np.ndarray
    aperture: float

    def settle(self, rest: np.ndarray) -> None:
        """Lay the skin (V, 3) float32 on the eyeball and open the lids to their aperture."""
        skin = rest[self.index]
        across = skin - self.centre
        radius = np.linalg.norm(across, axis=1)
        outside = np.maximum(radius, self.reach)
        wanted = outside + (self.reach - outside) * self.resting
        rest[self.index] = self.centre + across * (wanted / radius)[:, None]
        opening = self.aperture - _CANONICAL_APERTURE_CM
        self._turn(rest, -0.85 * opening, -0.15 * opening)

    def close(self, skin: np.ndarray, upper: float, lower: float) -> None:
        """Turn each lid by a share of the aperture; positive closes."""
        self._turn(skin, upper * self.aperture, lower * self.aperture)

    def keep_outside(self, skin: np.ndarray) -> None:
        """Push skin out of the eyeball."""
        _keep_outside(skin, self.index, self.reach, self.centre)

    def shade(self, eye: np.ndarray, upper: float) -> np.ndarray:
        """(E,) 0..1: light that the upper lid, closed by `upper`, leaves on the eyeball (E, 3)."""
        margin = 0.62 * self.aperture * (1 - 1.6 * upper)
        x, y, _ = (eye - self.centre).T
        edge = margin * np.cos(np.clip(x / 1.35, -1, 1) * np.pi / 2) ** 0.7
        light = 0.25 + 0.75 * smoothstep(-0.02, 0.5, edge - y)
        return light * (0.55 + 0.45 * smoothstep(1.35, 0.8, np.abs(x)))

    def _turn(self, skin: np.ndarray, upper_cm: float, lower_cm: float) -> None:
        _turn_lids(
            skin,
            self.index,
            self.upper,
            self.lower,
            self.centre,
            np.float32(upper_cm),
            np.float32(lower_cm),
        )


def find_lids(mesh: head_mesh.HeadMesh, side: int, centre: np.ndarray, aperture: float) -> Lids:
    """The lids on the right (side 0) or the left (1) of a head around an eyeball at `centre`."""
    loops = (
        (head_mesh.RIGHT_UPPER_LID, head_mesh.RIGHT_LOWER_LID),
        (head_mesh.LEFT_UPPER_LID, head_mesh.LEFT_LOWER_LID),
    )[side]
    points = mesh.vertices
    rims = []
    for loop in loops:
        rim = points[list(loop)]
        order = np.argsort(rim[:, 0])
        rims.append(np.stack([np.interp(points[:, 0], rim[order, 0], rim[order, axis])
                              for axis in (1, 2)], 1))  # fmt: skip
    corners = np.sort(points[[loops[0][0], loops[0][-1]], 0])
    within = np.clip((points[:, 0] - corners[0]) / (corners[1] - corners[0]), 0, 1)
    # Wide open in the middle, closed at both corners, rounder than the canonical slit.
    opening = np.sin(np.pi * within) ** 0.75
    above = points[:, 1] - rims[0][:, 0]
    below = rims[1][:, 0] - points[:, 1]
    is_upper = points[:, 1] > (rims[0][:, 0] + rims[1][:, 0]) / 2
    upper = (1 - smoothstep(0.04, 1.05, above)) * opening * is_upper
    lower = (1 - smoothstep(0.04, 0.95, below)) * opening * ~is_upper
    near = np.abs(points[:, 2] - rims[0][:, 1]) < 2.0
    gap = np.where(is_upper, above, below)
    close = (1 - smoothstep(0.25, 0.6, gap)) * (
        (points[:, 0] > corners[0] - 0.05) & (points[:, 0] < corners[1] + 0.05)
    )
    index = np.flatnonzero(near & ((upper + lower > 0.001) | (close > 0)))
    # The folded rim behind the margin stays nearer to the eyeball than the lid itself.
    depth = points[index, 2] - rims[0][index, 1]
    lift = np.where(is_upper[index], _LIFT_CM + 0.03, _LIFT_CM)
    reach = np.where(depth < -0.12, 0.0, EYE_RADIUS_CM + lift)
    return Lids(
        index,
        upper[index].astype(np.float32),
        lower[index].astype(np.float32),
        reach.astype(np.float32),
        close[index] * (reach > 0),
        centre.astype(np.float32),
        aperture,
    )


@njit(cache=True)
def _turn_lids(out, index, upper, lower, centre, upper_cm, lower_cm):
    """Turn lid skin about the horizontal axis of the eyeball by an arc of so many cm."""
    for n in range(len(index)):
        v = index[n]
        arc = upper[n] * upper_cm - lower[n] * lower_cm
        y, z = out[v, 1] - centre[1], out[v, 2] - centre[2]
        radius = np.sqrt(y * y + z * z)
        turn = arc / max(radius, np.float32(0.5))
        c, s = np.cos(turn), np.sin(turn)
        out[v, 1] = centre[1] + c * y - s * z
        out[v, 2] = centre[2] + s * y + c * z


@njit(cache=True)
def _keep_outside(out, index, reach, centre):
    for n in range(len(index)):
        if reach[n] <= 0:
            continue
        v = index[n]
        x, y, z = out[v, 0] - centre[0], out[v, 1] - centre[1], out[v, 2] - centre[2]
        radius = np.sqrt(x * x + y * y + z * z)
        if radius < reach[n]:
            scale = reach[n] / radius
            out[v, 0] = centre[0] + x * scale
            out[v, 1] = centre[1] + y * scale
            out[v, 2] = centre[2] + z * scale
