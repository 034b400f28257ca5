"""Light that does not reach everywhere: shadows and ambient occlusion, found once at rest."""

from __future__ import annotations

import numpy as np

from mx_capture.simulator.renderer import Surface, rasterise

_MAP_PX = 192
_HALF_CM = 20.0


def bake_light(
    vertices: np.ndarray,
    normals: np.ndarray,
    surface: Surface,
    key_direction: tuple[float, float, float],
    smooth: np.ndarray,
) -> np.ndarray:
    """(V, 2) float32: the shares of ambient light and of the key light that reach each vertex.

    `smooth` (F, 3) are the triangles of the skin, along which both are evened out.
    """
    open_sky = np.zeros(len(vertices))
    weight = np.full(len(vertices), 1e-6)
    for direction in _sphere_directions(48):
        facing = np.clip(normals @ direction, 0, 1)
        open_sky += facing * _visible_from(direction, vertices, surface)
        weight += facing
    key = np.array(key_direction) / np.linalg.norm(key_direction)
    rng = np.random.default_rng(7)
    shadow = np.zeros(len(vertices))
    for _ in range(10):
        shadow += _visible_from(key + rng.normal(0, 0.09, 3), vertices, surface) / 10
    light = np.stack([0.12 + 0.88 * np.clip(open_sky / weight, 0, 1), shadow], 1)
    return _even_out(light, smooth).astype(np.float32)


def _even_out(light: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Average over neighbours, so that shadows have no saw teeth along the mesh."""
    for _ in range(2):
        total = np.zeros_like(light)
        times = np.zeros(len(light))
        mean = light[triangles].mean(1)
        for k in range(3):
            np.add.at(total, triangles[:, k], mean)
            np.add.at(times, triangles[:, k], 1)
        known = times > 0
        light[known] = 0.5 * light[known] + 0.5 * total[known] / times[known, None]
    return light


def _visible_from(direction: np.ndarray, vertices: np.ndarray, surface: Surface) -> np.ndarray:
    """(V,) 0..1: what part of a parallel light from `direction` reaches each vertex."""
    forward = direction / np.linalg.norm(direction)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= max(np.linalg.norm(right), 1e-6)
    up = np.cross(forward, right)
    middle, scale = _MAP_PX / 2, _MAP_PX / 2 / _HALF_CM
    flat = np.stack(
        [
            middle + vertices @ right * scale,
            middle - (vertices @ up + 2.0 * up[1]) * scale,
            100.0 + vertices @ forward,
        ],
        1,
    ).astype(np.float32)
    depth = np.zeros((_MAP_PX, _MAP_PX), np.float32)
    ids = np.zeros((_MAP_PX, _MAP_PX), np.int32)
    rasterise(
        flat,
        surface.triangles,
        surface.materials,
        surface.uv,
        surface.cover,
        np.full((2, 2), 0.5, np.float32),
        1,
        (0, 0, _MAP_PX, _MAP_PX),
        depth,
        ids,
    )
    x = np.clip(flat[:, 0].astype(int), 1, _MAP_PX - 2)
    y = np.clip(flat[:, 1].astype(int), 1, _MAP_PX - 2)
    lit = np.zeros(len(flat))
    for dx in (-1, 0, 1):
        for dy in (-1, 0, 1):
            lit += flat[:, 2] > depth[y + dy, x + dx] - 0.55
    return lit / 9


def _sphere_directions(count: int) -> np.ndarray:
    """(count, 3) evenly spread unit vectors (Fibonacci lattice)."""
    n = np.arange(count) + 0.5
    polar = np.arccos(1 - 2 * n / count)
    around = np.pi * (1 + 5**0.5) * n
    return np.stack(
        [np.cos(around) * np.sin(polar), np.cos(polar), np.sin(around) * np.sin(polar)], 1
    )
