"""What is painted on the skin: colour, lips, brows, lashes, stubble, relief and wrinkles.

Everything is painted once per person on a fine texture from canonical positions, then reduced to
the resolution at which the camera sees it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numba import njit

from mx_capture.simulator import mesh as head
from mx_capture.simulator.action_units import UNITS, Crease
from mx_capture.simulator.identity import Identity
from mx_capture.simulator.renderer import TEXTURE_EXTENT

PAINT_SIZE = 1024
_PER_CM = PAINT_SIZE / (2 * TEXTURE_EXTENT) / 10
"""Texels of the painting per cm of skin."""

_OUTER_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_OUTER_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_RIGHT_BROW = ((55, 107), (65, 66), (52, 105), (53, 63), (46, 70))


@dataclass(frozen=True)
class WrinkleMap:
    """Slopes that one Action Unit adds to the relief on one side at full strength.

    `row`, `column` where the patch lies in the texture, `slopes` (h, w, 2) float32.
    """

    row: int
    column: int
    slopes: np.ndarray


@dataclass(frozen=True)
class SkinTextures:
    """`colour` (T, T, 4) float32 RGB and gloss, `relief` (T, T, 2) float32 slopes along x and y,
    `wrinkles` by (unit, side), side 0 right and 1 left."""

    colour: np.ndarray
    relief: np.ndarray
    wrinkles: dict[tuple[int, int], WrinkleMap]


def paint_skin(identity: Identity, hair_shadow: np.ndarray, size: int) -> SkinTextures:
    """Textures of `size` texels; `hair_shadow` (PAINT_SIZE, PAINT_SIZE) 0..1 is the hairy scalp."""
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x5C]))
    where = texel_positions()
    colour = _complexion(identity, rng, where)
    gloss = _gloss(identity, where)
    lips = _lips_mask()
    colour, gloss = _paint_lips(identity, rng, colour, gloss, lips)
    colour = _paint_eyelids(identity, colour)
    beard = beard_region(where) * (1 - lips)
    dots = rng.random(beard.shape).astype(np.float32)
    dots = cv2.GaussianBlur(dots, (0, 0), 0.8)
    dots = np.clip((dots - 0.5) * 5 + 0.5, 0, 1)
    shade = identity.stubble + (0.85 if identity.beard == "full" else 0.0)
    hairs = np.clip(beard * shade * (0.25 + 0.75 * dots), 0, 1)
    colour = _mix(colour, np.array(identity.hair_colour) * 0.8 + 0.01, 0.75 * hairs)
    brow = _brow_mask(identity, rng)
    colour = _mix(colour, np.array(identity.brow_colour), brow)
    scalp = np.array(identity.hair_colour) * 0.6
    colour = _mix(colour, scalp, 0.85 * hair_shadow)
    gloss = gloss * (1 - 0.8 * np.clip(hairs + brow + hair_shadow, 0, 1))
    height = _static_relief(identity, rng, where, brow)
    packed = np.concatenate([colour, gloss[..., None]], -1).astype(np.float32)
    return SkinTextures(
        _reduce(packed, size), _reduce(_slopes(height), size), _wrinkle_maps(identity, rng, size)
    )


@lru_cache(maxsize=1)
def texel_positions() -> np.ndarray:
    """(PAINT_SIZE, PAINT_SIZE, 3) float32 canonical position under each texel of the painting."""
    mesh = head.head_mesh(2)
    skin = mesh.triangles[mesh.materials == head.SKIN]
    scale = PAINT_SIZE / (2 * TEXTURE_EXTENT)
    flat = np.stack(
        [PAINT_SIZE / 2 + mesh.uv[:, 0] * scale, PAINT_SIZE / 2 - mesh.uv[:, 1] * scale], 1
    )
    out = np.full((PAINT_SIZE, PAINT_SIZE, 3), np.nan, np.float32)
    _interpolate(flat, skin, mesh.open_vertices, out)
    missing = np.isnan(out[..., 0])
    # Holes (eyes, mouth, corners) take the nearest position known.
    _, labels = cv2.distanceTransformWithLabels(
        missing.astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    source = np.zeros((labels.max() + 1, 3), np.float32)
    source[labels[~missing]] = out[~missing]
    return source[labels]


def beard_region(where: np.ndarray) -> np.ndarray:
    """(...) 0..1 where a beard grows, from canonical positions (..., 3)."""
    x, y, z = np.abs(where[..., 0]), where[..., 1], where[..., 2]
    cheek_line = np.interp(x, [0.0, 2.0, 3.4, 5.0, 6.8, 8.0], [-2.2, -2.6, -4.0, -3.6, -0.5, 1.5])
    below = _step(0.0, 1.1, cheek_line - y)
    chin_gap = 1 - 0.7 * np.exp(-((x - 1.6) ** 2 / 0.6 + (y + 6.1) ** 2 / 0.3))
    front = _step(-4.5, -2.0, z)
    return below * chin_gap * front


@njit(cache=True)
def _interpolate(flat, triangles, values, out):
    size = out.shape[0]
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux, uy = flat[b, 0] - flat[a, 0], flat[b, 1] - flat[a, 1]
        vx, vy = flat[c, 0] - flat[a, 0], flat[c, 1] - flat[a, 1]
        area = ux * vy - uy * vx
        if area >= 0:
            continue
        left = max(0, int(np.floor(min(flat[a, 0], flat[b, 0], flat[c, 0]))))
        right = min(size - 1, int(np.ceil(max(flat[a, 0], flat[b, 0], flat[c, 0]))))
        top = max(0, int(np.floor(min(flat[a, 1], flat[b, 1], flat[c, 1]))))
        bottom = min(size - 1, int(np.ceil(max(flat[a, 1], flat[b, 1], flat[c, 1]))))
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                px, py = x + 0.5 - flat[a, 0], y + 0.5 - flat[a, 1]
                wb = (px * vy - py * vx) / area
                wc = (ux * py - uy * px) / area
                if wb >= -1e-6 and wc >= -1e-6 and wb + wc <= 1 + 1e-6:
                    for k in range(3):
                        out[y, x, k] = (
                            (1 - wb - wc) * values[a, k] + wb * values[b, k] + wc * values[c, k]
                        )


def _complexion(identity: Identity, rng: np.random.Generator, where: np.ndarray) -> np.ndarray:
    x, y, z = np.abs(where[..., 0]), where[..., 1], where[..., 2]

    def spot(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)) * (z > -1)

    red = spot(4.2, -1.0, 1.5, 1.3) + 0.9 * spot(0.0, -1.3, 1.2, 0.8) + 0.4 * spot(0, -7.5, 1.5, 1)
    red = red + 0.35 * spot(3.1, 1.7, 1.3, 0.5)
    dark = (
        spot(3.0, 1.6, 1.4, 0.55) + 0.7 * spot(2.9, 3.5, 1.6, 0.5) + 0.8 * spot(1.7, 2.5, 0.5, 0.7)
    )
    blotches = _noise(rng, 0.9) * 0.6 + _noise(rng, 0.3) * 0.4
    pores = _noise(rng, 0.05)
    tone = 1 + identity.mottling * (0.035 * blotches + 0.035 * pores)
    tone = tone * (1 - 0.16 * (0.4 + identity.age) * dark)
    colour = np.array(identity.skin_colour) * tone[..., None]
    blood = np.clip(identity.ruddiness * (red + 0.3 * _noise(rng, 0.5)), 0, 1.4)[..., None]
    colour = colour * (1 - blood * np.array([0.02, 0.19, 0.17]))
    yellow = np.clip(spot(0, 6.5, 4, 1.6), 0, 1)[..., None] * 0.4
    colour = colour * (1 - yellow * np.array([0.0, 0.0, 0.06]))
    if identity.freckles > 0:
        dots = np.clip(_noise(rng, 0.07) - 1.5, 0, 1)
        field = spot(2.5, 0.5, 2.8, 1.6) + 0.25
        colour = colour * (1 - (dots * field * identity.freckles)[..., None] * [0.35, 0.5, 0.55])
    spots = np.zeros_like(x)
    for _ in range(rng.poisson(3 + 4 * identity.age)):
        cx, cy = rng.uniform(-6.5, 6.5), rng.uniform(-8, 8)
        radius = rng.uniform(0.05, 0.14)
        near = (where[..., 0] - cx) ** 2 + (y - cy) ** 2
        spots = np.maximum(spots, np.exp(-near / (2 * radius**2)) * (z > 0) * rng.uniform(0.2, 0.8))
    colour = colour * (1 - spots[..., None] * np.array([0.5, 0.65, 0.7]))
    nostrils = np.exp(
        -(((x - 0.72) / 0.42) ** 2 + ((y + 1.78) / 0.26) ** 2 + ((z - 5.95) / 0.7) ** 2) * 1.3
    )
    colour = colour * (1 - np.clip(1.25 * nostrils, 0, 0.93)[..., None])
    groove = np.exp(-(((x - 1.75) / 0.22) ** 2 + ((y + 1.1) / 0.7) ** 2)) * (z > 3)
    return colour * (1 - 0.28 * groove[..., None] * np.array([0.8, 1.0, 1.0]))


def _gloss(identity: Identity, where: np.ndarray) -> np.ndarray:
    x, y = np.abs(where[..., 0]), where[..., 1]
    zone = np.exp(-((x / 2.2) ** 2)) * _step(-3.0, 3.0, y) + np.exp(-((x / 0.9) ** 2)) * (
        np.abs(y) < 3
    )
    zone = zone + 0.5 * np.exp(-(((x - 4.5) / 1.5) ** 2 + ((y - 0.8) / 1.2) ** 2))
    return identity.oiliness * (0.10 + 0.16 * np.clip(zone, 0, 1.2))


def _paint_lips(
    identity: Identity,
    rng: np.random.Generator,
    colour: np.ndarray,
    gloss: np.ndarray,
    lips: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    lines = 1 + 0.08 * cv2.GaussianBlur(_noise(rng, 0.06), (0, 0), sigmaX=0.01, sigmaY=4)
    tint = np.array(identity.lip_colour) * lines[..., None]
    colour = colour * (1 - lips[..., None]) + tint * lips[..., None]
    seam = _stroke([_ring(head.UPPER_LIP), _ring(head.LOWER_LIP)], 0.1)
    colour = colour * (1 - 0.62 * seam[..., None] * np.array([0.75, 1.0, 1.0]))
    corners = np.zeros_like(seam)
    for index in (61, 291):
        corners = np.maximum(corners, _stroke([_ring((index, index))], 0.17))
    colour = colour * (1 - 0.35 * corners[..., None])
    return colour, gloss * (1 - lips) + lips * 0.3


def _paint_eyelids(identity: Identity, colour: np.ndarray) -> np.ndarray:
    for upper, lower in (
        (head.RIGHT_UPPER_LID, head.RIGHT_LOWER_LID),
        (head.LEFT_UPPER_LID, head.LEFT_LOWER_LID),
    ):
        lash = _stroke([_ring(upper)], 0.11 + 0.09 * identity.lashes)
        colour = colour * (1 - (0.5 + 0.45 * identity.lashes) * lash[..., None])
        rim = _stroke([_ring(lower)], 0.06)
        colour = colour * (1 - (0.25 + 0.35 * identity.lashes) * rim[..., None])
    return colour


def _brow_mask(identity: Identity, rng: np.random.Generator) -> np.ndarray:
    """Hairs drawn one by one along both brows: inner ones rise, outer ones lie flat."""
    zoom = 2
    mask = np.zeros((PAINT_SIZE * zoom, PAINT_SIZE * zoom), np.uint8)
    base = head.head_mesh(0).open_vertices
    rows = np.array([[base[a], base[b]] for a, b in _RIGHT_BROW])
    centre = rows.mean(1)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(centre, axis=0), axis=1))])
    count = int(120 + 230 * identity.brow_density)
    for side in (1.0, -1.0):
        for _ in range(count):
            along = rng.beta(1.05, 1.15)
            at = np.array([np.interp(along * length[-1], length, centre[:, k]) for k in range(3)])
            thick = identity.brow_thickness * np.interp(
                along, [0, 0.15, 0.5, 0.8, 1], [0.35, 0.85, 0.8, 0.5, 0.12]
            )
            at[1] += identity.brow_height - 0.1 + identity.brow_arch * np.sin(np.pi * along**1.6)
            at[1] += rng.normal(0, 0.27) * thick
            angle = np.interp(along, [0, 0.2, 0.6, 1], [1.5, 0.85, 0.3, -0.35]) + rng.normal(0, 0.2)
            size = rng.uniform(0.28, 0.6) * (0.75 + 0.35 * identity.brow_thickness)
            tip = at + size * np.array([-np.cos(angle), np.sin(angle), 0.0])
            ends = np.stack([at, tip]) * np.array([side, 1.0, 1.0])
            _line(mask, head.texture_coordinates(ends), zoom, int(rng.uniform(70, 200)))
    small = cv2.resize(mask, (PAINT_SIZE, PAINT_SIZE), interpolation=cv2.INTER_AREA)
    drawn = small.astype(np.float32) / 255
    body = cv2.GaussianBlur(drawn, (0, 0), 0.09 * _PER_CM)
    return np.clip(1.0 * drawn + 0.8 * body * identity.brow_density, 0, 0.95)


def _line(mask: np.ndarray, ends: np.ndarray, zoom: int, value: int) -> None:
    scale = PAINT_SIZE * zoom / (2 * TEXTURE_EXTENT)
    at = np.stack([ends[:, 0] * scale, -ends[:, 1] * scale], 1) + PAINT_SIZE * zoom / 2
    first, second = (np.round(at * 16).astype(int)).tolist()
    cv2.line(mask, first, second, value, 2, cv2.LINE_AA, 4)


def _static_relief(
    identity: Identity, rng: np.random.Generator, where: np.ndarray, brow: np.ndarray
) -> np.ndarray:
    """Height in cm of pores, age lines and the fold of the upper lid."""
    height = 0.0025 * identity.mottling * _noise(rng, 0.06)
    height = height + 0.006 * identity.age * _noise(rng, 0.2)
    for unit, share in ((1, 0.35), (2, 0.3), (4, 0.3), (6, 0.35), (12, 0.35), (7, 0.3)):
        for crease in UNITS[unit].creases:
            depth = 0.028 * share * identity.age**1.5 * crease.depth * rng.uniform(0.5, 1.3)
            height = height - depth * _crease_mask(crease, 0) - depth * _crease_mask(crease, 1)
    base = head.head_mesh(0).open_vertices
    for lid in (head.RIGHT_UPPER_LID, head.LEFT_UPPER_LID):
        fold = base[list(lid)] + np.array([0.0, 0.34, 0.0])
        fold[:, 1] += 0.12 * np.sin(np.linspace(0, np.pi, len(fold)))
        height = height - 0.03 * identity.lid_fold * _stroke([head.texture_coordinates(fold)], 0.11)
    return height + 0.012 * brow


def _wrinkle_maps(
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
                height -= depth * _crease_mask(bent, side)
            slopes = _reduce(_slopes(height), size)
            strong = np.abs(slopes).max(-1) > 2e-3
            if not strong.any():
                continue
            rows, columns = np.flatnonzero(strong.any(1)), np.flatnonzero(strong.any(0))
            patch = slopes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            maps[unit, side] = WrinkleMap(
                int(rows[0]), int(columns[0]), np.ascontiguousarray(patch, np.float32)
            )
    return maps


def _crease_mask(crease: Crease, side: int) -> np.ndarray:
    """0..1 along the crease, thinning at its ends."""
    points = np.array(crease.points)
    fine = np.linspace(0, len(points) - 1, 12)
    x = np.interp(fine, np.arange(len(points)), points[:, 0])
    y = np.interp(fine, np.arange(len(points)), points[:, 1])
    z = _surface_depth(np.stack([x, y], 1))
    line = np.stack([x if side else -x, y, z], 1)
    return _stroke([head.texture_coordinates(line)], crease.width, taper=True)


@lru_cache(maxsize=1)
def _front_vertices() -> np.ndarray:
    base = head.head_mesh(1).open_vertices
    return base[base[:, 2] > -2.5]


def _surface_depth(xy: np.ndarray) -> np.ndarray:
    """z of the canonical face at (N, 2) positions."""
    front = _front_vertices()
    squared = ((front[None, :, :2] - xy[:, None]) ** 2).sum(-1)
    weight = 1 / (squared + 0.01) ** 2
    return (weight * front[None, :, 2]).sum(1) / weight.sum(1)


def _ring(indices: tuple[int, ...]) -> np.ndarray:
    return head.texture_coordinates(head.head_mesh(0).open_vertices[list(indices)])


def _lips_mask() -> np.ndarray:
    mask = np.zeros((PAINT_SIZE, PAINT_SIZE), np.uint8)
    base = head.head_mesh(2).open_vertices
    scale = PAINT_SIZE / (2 * TEXTURE_EXTENT)
    outer = _OUTER_UPPER_LIP + _OUTER_LOWER_LIP[-2:0:-1]
    uv = head.texture_coordinates(base[list(outer)])
    # A spline through the outline, so that the lips have no corners but their own.
    closed = np.concatenate([uv[-2:], uv, uv[:3]])
    smooth = []
    for i in range(1, len(closed) - 2):
        for t in np.linspace(0, 1, 6, endpoint=False):
            p0, p1, p2, p3 = closed[i - 1 : i + 3]
            smooth.append(
                0.5
                * (
                    2 * p1
                    + (p2 - p0) * t
                    + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2
                    + (3 * p1 - p0 - 3 * p2 + p3) * t**3
                )
            )
    at = np.array(smooth) * [scale, -scale] + PAINT_SIZE / 2
    cv2.fillPoly(mask, [np.round(at * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.07 * _PER_CM)


def _stroke(lines: list[np.ndarray], width_cm: float, taper: bool = False) -> np.ndarray:
    """exp(-(d / width)^2) of the distance to the lines (each (N, 2) texture coordinates)."""
    out = np.zeros((PAINT_SIZE, PAINT_SIZE), np.float32)
    scale = PAINT_SIZE / (2 * TEXTURE_EXTENT)
    width = max(width_cm * _PER_CM, 0.6)
    reach = int(np.ceil(3 * width)) + 1
    for uv in lines:
        at = uv * [scale, -scale] + PAINT_SIZE / 2
        low = np.maximum(np.floor(at.min(0)).astype(int) - reach, 0)
        high = np.minimum(np.ceil(at.max(0)).astype(int) + reach + 1, PAINT_SIZE)
        x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
        patch = out[low[1] : high[1], low[0] : high[0]]
        count = len(at) - 1
        for n, (start, end) in enumerate(zip(at[:-1], at[1:], strict=True)):
            along = end - start
            share = (x - start[0]) * along[0] + (y - start[1]) * along[1]
            share = np.clip(share / max(float(along @ along), 1e-9), 0, 1)
            gap_x, gap_y = x - start[0] - share * along[0], y - start[1] - share * along[1]
            value = np.exp(-(gap_x**2 + gap_y**2) / width**2)
            if taper:
                value = value * np.sin(np.pi * np.clip((n + share) / count, 0.06, 0.94))
            np.maximum(patch, value, out=patch)
    return out


def _noise(rng: np.random.Generator, grain_cm: float) -> np.ndarray:
    """(PAINT_SIZE, PAINT_SIZE) Gaussian noise of unit variance with grains of this size."""
    grain = max(grain_cm * _PER_CM, 0.5)
    coarse = max(1, int(grain / 2))
    size = PAINT_SIZE // coarse + 2
    noise = rng.standard_normal((size, size), np.float32)
    noise = cv2.GaussianBlur(noise, (0, 0), grain / coarse)
    noise = cv2.resize(noise, (PAINT_SIZE, PAINT_SIZE), interpolation=cv2.INTER_CUBIC)
    return noise / noise.std()


def _slopes(height: np.ndarray) -> np.ndarray:
    """(T, T) cm to (T, T, 2) slopes along x (right) and y (up)."""
    down, right = np.gradient(height.astype(np.float32))
    return np.stack([right, -down], -1) * np.float32(_PER_CM)


def _reduce(texture: np.ndarray, size: int) -> np.ndarray:
    reduced = cv2.resize(texture, (size, size), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(reduced, np.float32)


def _mix(colour: np.ndarray, tint: np.ndarray, share: np.ndarray) -> np.ndarray:
    return colour * (1 - share[..., None]) + tint * share[..., None]


def _step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
