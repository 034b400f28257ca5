"""What is painted on the skin: colour, lips, brows, lashes, stubble, relief and wrinkles.

Everything is painted once per person on a fine texture from canonical positions, then reduced to
the resolution at which the camera sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.simulator import mesh as head
from mx_capture.simulator.action_units import UNITS
from mx_capture.simulator.brush import (
    PAINT_SIZE,
    TEXELS_PER_CM,
    carve,
    noise,
    reduce,
    ring,
    slopes,
    stroke,
    surface_depth,
    texel_positions,
)
from mx_capture.simulator.curves import smoothstep
from mx_capture.simulator.identity import Identity
from mx_capture.simulator.shading import TEXTURE_EXTENT
from mx_capture.simulator.wrinkles import WrinkleMap, crease_line, wrinkle_maps

_OUTER_UPPER_LIP = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
_OUTER_LOWER_LIP = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
_RIGHT_BROW = ((55, 107), (65, 66), (52, 105), (53, 63), (46, 70))


@dataclass(frozen=True)
class SkinTextures:
    """`colour` (T, T, 4) float32 RGB and gloss, `relief` (T, T, 2) float32 slopes along x and y,
    `wrinkles` by (unit, side), side 0 right and 1 left."""

    colour: np.ndarray
    relief: np.ndarray
    wrinkles: dict[tuple[int, int], WrinkleMap]


def paint_skin(identity: Identity, hair_shadow: np.ndarray, factor: int) -> SkinTextures:
    """Textures of PAINT_SIZE // factor texels.

    `hair_shadow` (PAINT_SIZE, PAINT_SIZE) 0..1 is the hairy scalp.
    """
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x5C]))
    where = texel_positions()
    colour = _complexion(identity, rng, where)
    gloss = _gloss(identity, where)
    lips = _lips_mask()
    colour, gloss = _paint_lips(identity, rng, colour, gloss, lips)
    _paint_eyelids(identity, colour)
    stubble = beard_region(where, "none") * identity.stubble
    beard = 0.85 * beard_region(where, identity.beard) * (identity.beard != "none")
    dots = rng.random(lips.shape).astype(np.float32)
    dots = cv2.GaussianBlur(dots, (0, 0), 0.8)
    dots = np.clip((dots - 0.5) * 5 + 0.5, 0, 1)
    hairs = np.clip(np.maximum(stubble, beard) * (0.25 + 0.75 * dots), 0, 1) * (1 - lips)
    colour = _mix(colour, np.array(identity.hair_colour) * 0.8 + 0.01, 0.75 * hairs)
    brow = _brow_mask(identity, rng)
    colour = _mix(colour, np.array(identity.brow_colour), brow)
    scalp = np.array(identity.hair_colour) * 0.6
    colour = _mix(colour, scalp, 0.85 * hair_shadow)
    gloss = gloss * (1 - 0.8 * np.clip(hairs + brow + hair_shadow, 0, 1))
    height = _static_relief(identity, rng, where, brow)
    packed = np.concatenate([colour, gloss[..., None]], -1).astype(np.float32)
    return SkinTextures(
        reduce(packed, factor), reduce(slopes(height), factor), wrinkle_maps(identity, rng, factor)
    )


def beard_region(where: np.ndarray, kind: str) -> np.ndarray:
    """(...) 0..1 where a beard of this kind grows, from canonical positions (..., 3).

    Kinds are those of `Identity.beard`; with `none` it is where a beard would grow.
    """
    x, y, z = np.abs(where[..., 0]), where[..., 1], where[..., 2]
    cheek_line = np.interp(x, [0.0, 2.0, 3.4, 5.0, 6.8, 8.0], [-2.2, -2.6, -4.0, -3.6, -0.5, 1.5])
    chin_gap = 1 - 0.7 * np.exp(-((x - 1.6) ** 2 / 0.6 + (y + 6.1) ** 2 / 0.3))
    region = smoothstep(0.0, 1.1, cheek_line - y) * chin_gap * smoothstep(-4.5, -2.0, z)
    # Hair stands back from the lips.
    lips = np.exp(-(((x / 2.5) ** 4) + (((y + 4.35) / 1.15) ** 4)))
    region = region * (1 - np.clip(1.6 * lips, 0, 1))
    if kind == "moustache":
        return region * smoothstep(-4.5, -4.0, y) * smoothstep(3.3, 2.9, x)
    if kind == "goatee":
        return region * smoothstep(3.0, 2.4, x)
    return region


def _complexion(identity: Identity, rng: np.random.Generator, where: np.ndarray) -> np.ndarray:
    x, y, z = np.abs(where[..., 0]), where[..., 1], where[..., 2]

    def spot(cx: float, cy: float, sx: float, sy: float) -> np.ndarray:
        return np.exp(-0.5 * (((x - cx) / sx) ** 2 + ((y - cy) / sy) ** 2)) * (z > -1)

    red = spot(4.2, -1.0, 1.5, 1.3) + 0.9 * spot(0.0, -1.3, 1.2, 0.8) + 0.4 * spot(0, -7.5, 1.5, 1)
    red = red + 0.35 * spot(3.1, 1.7, 1.3, 0.5)
    dark = (
        spot(3.0, 1.6, 1.4, 0.55) + 0.7 * spot(2.9, 3.5, 1.6, 0.5) + 0.8 * spot(1.7, 2.5, 0.5, 0.7)
    )
    blotches = noise(rng, 0.9) * 0.6 + noise(rng, 0.3) * 0.4
    pores = noise(rng, 0.05)
    tone = 1 + identity.mottling * (0.035 * blotches + 0.035 * pores)
    tone = tone * (1 - 0.16 * (0.4 + identity.age) * dark)
    colour = np.array(identity.skin_colour, np.float32) * tone[..., None]
    blood = np.clip(identity.ruddiness * (red + 0.3 * noise(rng, 0.5)), 0, 1.4)
    _dim(colour, blood, 0.02, 0.19, 0.17)
    _dim(colour, spot(0, 6.5, 4, 1.6), 0.0, 0.0, 0.024)
    if identity.freckles > 0:
        dots = np.clip(noise(rng, 0.07) - 1.5, 0, 1)
        field = spot(2.5, 0.5, 2.8, 1.6) + 0.25
        _dim(colour, dots * field * identity.freckles, 0.35, 0.5, 0.55)
    for _ in range(rng.poisson(3 + 4 * identity.age)):
        at = rng.uniform([[-6.5, -8.0]], [[6.5, 8.0]])
        point = head.texture_coordinates(np.concatenate([at, surface_depth(at)[:, None]], 1))
        mole = stroke([np.repeat(point, 2, 0)], rng.uniform(0.07, 0.2)) * rng.uniform(0.2, 0.8)
        _dim(colour, mole, 0.5, 0.65, 0.7)
    nostrils = np.exp(
        -(((x - 0.72) / 0.42) ** 2 + ((y + 1.78) / 0.26) ** 2 + ((z - 5.95) / 0.7) ** 2) * 1.3
    )
    _dim(colour, np.clip(1.25 * nostrils, 0, 0.93), 1.0, 1.0, 1.0)
    groove = np.exp(-(((x - 1.75) / 0.22) ** 2 + ((y + 1.1) / 0.7) ** 2)) * (z > 3)
    _dim(colour, groove, 0.22, 0.28, 0.28)
    return colour


def _gloss(identity: Identity, where: np.ndarray) -> np.ndarray:
    x, y = np.abs(where[..., 0]), where[..., 1]
    zone = np.exp(-((x / 2.2) ** 2)) * smoothstep(-3.0, 3.0, y) + np.exp(-((x / 0.9) ** 2)) * (
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
    lines = 1 + 0.08 * cv2.GaussianBlur(noise(rng, 0.06), (0, 0), sigmaX=0.01, sigmaY=4)
    colour = _mix(colour, np.array(identity.lip_colour), lips)
    _dim(colour, lips * (1 - lines), 1.0, 1.0, 1.0)
    seam = stroke([ring(head.UPPER_LIP), ring(head.LOWER_LIP)], 0.1)
    _dim(colour, seam, 0.47, 0.62, 0.62)
    _dim(colour, stroke([ring((61, 61)), ring((291, 291))], 0.17), 0.35, 0.35, 0.35)
    return colour, gloss * (1 - lips) + lips * 0.3


def _paint_eyelids(identity: Identity, colour: np.ndarray) -> None:
    """Draw lashes along the upper lids and the rims of the lower ones."""
    upper = [ring(head.RIGHT_UPPER_LID), ring(head.LEFT_UPPER_LID)]
    lower = [ring(head.RIGHT_LOWER_LID), ring(head.LEFT_LOWER_LID)]
    lash = (0.5 + 0.45 * identity.lashes) * stroke(upper, 0.11 + 0.09 * identity.lashes)
    _dim(colour, lash, 1.0, 1.0, 1.0)
    _dim(colour, (0.25 + 0.35 * identity.lashes) * stroke(lower, 0.06), 1.0, 1.0, 1.0)


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
    body = cv2.GaussianBlur(drawn, (0, 0), 0.09 * TEXELS_PER_CM)
    return np.clip(1.0 * drawn + 0.8 * body * identity.brow_density, 0, 0.95)


def _line(mask: np.ndarray, ends: np.ndarray, zoom: int, value: int) -> None:
    scale = PAINT_SIZE * zoom / (2 * TEXTURE_EXTENT)
    at = np.stack([ends[:, 0] * scale, -ends[:, 1] * scale], 1) + PAINT_SIZE * zoom / 2
    first, second = (np.round(at * 16).astype(int)).tolist()
    cv2.line(mask, first, second, (value,), 2, cv2.LINE_AA, 4)


def _static_relief(
    identity: Identity, rng: np.random.Generator, where: np.ndarray, brow: np.ndarray
) -> np.ndarray:
    """Height in cm of pores, age lines and the fold of the upper lid."""
    height = 0.0025 * identity.mottling * noise(rng, 0.06)
    height = height + 0.006 * identity.age * noise(rng, 0.2)
    for unit, share in ((1, 0.35), (2, 0.3), (4, 0.3), (6, 0.35), (12, 0.35), (7, 0.3)):
        for crease in UNITS[unit].creases:
            depth = 0.028 * share * identity.age**1.5 * crease.depth * rng.uniform(0.5, 1.3)
            for side in (0, 1):
                carve(height, crease_line(np.array(crease.points), side), crease.width, depth)
    base = head.head_mesh(0).open_vertices
    for lid in (head.RIGHT_UPPER_LID, head.LEFT_UPPER_LID):
        fold = base[list(lid)] + np.array([0.0, 0.34, 0.0])
        fold[:, 1] += 0.12 * np.sin(np.linspace(0, np.pi, len(fold)))
        height = height - 0.03 * identity.lid_fold * stroke([head.texture_coordinates(fold)], 0.11)
    return height + 0.012 * brow


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
    cv2.fillPoly(mask, [np.round(at * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 0.07 * TEXELS_PER_CM)


def _mix(colour: np.ndarray, tint: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Colour (T, T, 3) with `share` (T, T) of it replaced by the tint (3,)."""
    mixed = np.empty_like(colour)
    for k in range(3):
        mixed[..., k] = colour[..., k] + (np.float32(tint[k]) - colour[..., k]) * share
    return mixed


def _dim(colour: np.ndarray, share: np.ndarray, red: float, green: float, blue: float) -> None:
    """Take these shares of each colour away, in place."""
    for k, loss in enumerate((red, green, blue)):
        colour[..., k] *= 1 - np.float32(loss) * share
