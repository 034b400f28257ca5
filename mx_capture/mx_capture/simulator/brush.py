"""Painting on the unrolled skin: where each texel lies, strokes, noise and relief."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numba import njit

from mx_capture.simulator import mesh as head
from mx_capture.simulator.shading import TEXTURE_EXTENT

PAINT_SIZE = 960
TEXELS_PER_CM = PAINT_SIZE / (2 * TEXTURE_EXTENT) / 10
"""Texels of the painting per cm of skin."""


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


@lru_cache(maxsize=1)
def _front_vertices() -> np.ndarray:
    base = head.head_mesh(1).open_vertices
    return base[base[:, 2] > -2.5]


def surface_depth(xy: np.ndarray) -> np.ndarray:
    """z of the canonical face at (N, 2) positions."""
    front = _front_vertices()
    squared = ((front[None, :, :2] - xy[:, None]) ** 2).sum(-1)
    weight = 1 / (squared + 0.01) ** 2
    return (weight * front[None, :, 2]).sum(1) / weight.sum(1)


def ring(indices: tuple[int, ...]) -> np.ndarray:
    """(N, 2) texture coordinates of vertices of the canonical face."""
    return head.texture_coordinates(head.head_mesh(0).open_vertices[list(indices)])


def stroke(lines: list[np.ndarray], width_cm: float) -> np.ndarray:
    """exp(-(d / width)^2) of the distance to the lines (each (N, 2) texture coordinates)."""
    out = np.zeros((PAINT_SIZE, PAINT_SIZE), np.float32)
    for uv in lines:
        _draw(out, _to_texels(uv), max(width_cm * TEXELS_PER_CM, 0.6), False, 1.0)
    return out


def carve(height: np.ndarray, uv: np.ndarray, width_cm: float, depth: float) -> np.ndarray:
    """Lower `height` along a line that thins at its ends; returns the box touched, (4,) rows
    and columns from and to."""
    return _draw(height, _to_texels(uv), max(width_cm * TEXELS_PER_CM, 0.6), True, -depth)


def _to_texels(uv: np.ndarray) -> np.ndarray:
    scale = PAINT_SIZE / (2 * TEXTURE_EXTENT)
    return uv * [scale, -scale] + PAINT_SIZE / 2


@njit(cache=True)
def _draw(out, at, width, taper, amount):
    """Add a tapered line to `out`, or raise `out` to an even one."""
    reach = 3 * width + 1
    size = len(out)
    left = max(int(np.min(at[:, 0]) - reach), 0)
    right = min(int(np.max(at[:, 0]) + reach) + 1, size)
    top = max(int(np.min(at[:, 1]) - reach), 0)
    bottom = min(int(np.max(at[:, 1]) + reach) + 1, size)
    count = len(at) - 1
    for i in range(top, bottom):
        for j in range(left, right):
            best = 0.0
            for n in range(count):
                along_x, along_y = at[n + 1, 0] - at[n, 0], at[n + 1, 1] - at[n, 1]
                x, y = j + 0.5 - at[n, 0], i + 0.5 - at[n, 1]
                length = max(along_x**2 + along_y**2, 1e-9)
                share = min(max((x * along_x + y * along_y) / length, 0.0), 1.0)
                squared = (x - share * along_x) ** 2 + (y - share * along_y) ** 2
                if squared > reach**2:
                    continue
                value = np.exp(-squared / width**2)
                if taper:
                    value *= np.sin(np.pi * min(max((n + share) / count, 0.06), 0.94))
                best = max(best, value)
            if taper:
                out[i, j] += amount * best
            else:
                out[i, j] = max(out[i, j], amount * best)
    return np.array([top, bottom, left, right])


def noise(rng: np.random.Generator, grain_cm: float) -> np.ndarray:
    """(PAINT_SIZE, PAINT_SIZE) Gaussian noise of unit variance with grains of this size."""
    grain = max(grain_cm * TEXELS_PER_CM, 0.5)
    coarse = max(1, int(grain / 2))
    size = PAINT_SIZE // coarse + 2
    small = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), grain / coarse)
    full = cv2.resize(small, (PAINT_SIZE, PAINT_SIZE), interpolation=cv2.INTER_CUBIC)
    return full / full.std()


def slopes(height: np.ndarray) -> np.ndarray:
    """(T, T) cm to (T, T, 2) slopes along x (right) and y (up)."""
    down, right = np.gradient(height.astype(np.float32))
    return np.stack([right, -down], -1) * np.float32(TEXELS_PER_CM)


def reduce(texture: np.ndarray, factor: int) -> np.ndarray:
    """The mean of every (factor, factor) texels, float32."""
    height, width = texture.shape[0] // factor, texture.shape[1] // factor
    reduced = cv2.resize(texture, (width, height), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(reduced, np.float32)
