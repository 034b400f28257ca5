"""Hair: strands on nested shells over the scalp, a beard, and hair that hangs beside the face."""

from __future__ import annotations

import cv2
import numpy as np

from mx_capture.simulator import mesh as head
from mx_capture.simulator import shading
from mx_capture.simulator.anatomy import HEAD, Part, grid_triangles, make_part, outward_from_axis
from mx_capture.simulator.brush import texel_positions
from mx_capture.simulator.curves import smoothstep
from mx_capture.simulator.identity import Identity, ShapeField
from mx_capture.simulator.skin import beard_region

# Degrees from straight up around the face, and the polar angle (radians) of the hairline there.
_FROM_TOP = np.array([0.0, 22.0, 42.0, 58.0, 72.0, 84.0, 92.0, 100.0, 180.0])
_HAIRLINES = {
    "usual": np.array([0.93, 0.95, 1.04, 1.05, 1.08, 1.22, 1.35, 1.7, 2.4]),
    "fringe": np.array([0.62, 0.63, 0.74, 0.95, 1.06, 1.2, 1.35, 1.7, 2.4]),
    "receding": np.array([1.12, 1.22, 1.26, 1.15, 1.1, 1.24, 1.38, 1.7, 2.4]),
    "bald": np.array([1.9, 1.9, 1.8, 1.5, 1.28, 1.3, 1.4, 1.7, 2.4]),
}
# Thickness in cm above the forehead, at the crown and at the sides, for the shortest and longest.
_THICKNESS = {
    "bald": ((0.05, 0.05, 0.15), (0.1, 0.1, 0.3)),
    "buzz": ((0.12, 0.15, 0.1), (0.3, 0.35, 0.2)),
    "short": ((0.5, 0.8, 0.2), (1.3, 1.5, 0.5)),
    "side": ((0.9, 1.2, 0.4), (2.0, 2.1, 0.9)),
    "fringe": ((0.35, 1.0, 0.8), (0.7, 1.8, 1.5)),
    "curly": ((1.2, 1.8, 1.0), (3.0, 4.5, 3.2)),
    "long": ((0.6, 1.2, 0.9), (1.2, 2.0, 1.5)),
    "tied": ((0.25, 0.4, 0.25), (0.5, 0.7, 0.4)),
    "receding": ((0.2, 0.4, 0.3), (0.5, 0.9, 0.7)),
}
_SHELLS = {"bald": 2, "buzz": 2, "tied": 2}


def hair_cover(identity: Identity, uv: np.ndarray, softness: float) -> np.ndarray:
    """(...) 0..1 share of the scalp that hair covers at texture coordinates (..., 2)."""
    polar = np.hypot(uv[..., 0], uv[..., 1])
    return smoothstep(-softness, softness, polar - _hairline(identity, uv))


def _hairline(identity: Identity, uv: np.ndarray) -> np.ndarray:
    kind = identity.hair_style if identity.hair_style in _HAIRLINES else "usual"
    from_top = np.degrees(np.arctan2(uv[..., 0], uv[..., 1]))
    line = np.interp(np.abs(from_top), _FROM_TOP, _HAIRLINES[kind])
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x4A]))
    line = line + 0.035 * identity.hairline * np.exp(-((from_top / 50) ** 2))
    # A person's own hairline: a slow wave, a peak in the middle, and uneven temples.
    for frequency in (1, 2, 3, 5, 8):
        size = 0.022 / frequency**0.6
        line = line + size * rng.normal() * np.sin(
            frequency * np.radians(from_top) * 1.5 + rng.uniform(0, 6.3)
        )
    if identity.hair_style == "side":
        part = rng.uniform(15, 40) * rng.choice([-1, 1])
        line = line - 0.07 * smoothstep(0, 35, np.sign(part) * (part - from_top)) + 0.02
    return line


def scalp_shadow(identity: Identity) -> np.ndarray:
    """(PAINT_SIZE, PAINT_SIZE) 0..1: hair roots painted on the skin below the shells."""
    uv = head.texture_coordinates(texel_positions())
    if identity.hair_style == "fringe":
        # The fringe hangs in front of a bare forehead.
        usual = np.interp(
            np.abs(np.degrees(np.arctan2(uv[..., 0], uv[..., 1]))), _FROM_TOP, _HAIRLINES["usual"]
        )
        return smoothstep(-0.06, 0.08, np.hypot(uv[..., 0], uv[..., 1]) - usual)
    return hair_cover(identity, uv, 0.07) * (0.75 if identity.hair_style == "buzz" else 0.95)


def strand_texture(identity: Identity, size: int) -> np.ndarray:
    """(size, size) float32, uniform in 0..1: strands that run away from the face (or curls)."""
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x57]))
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    u = axis[None] * shading.TEXTURE_EXTENT
    v = -axis[:, None] * shading.TEXTURE_EXTENT
    polar, angle = np.hypot(u, v), np.arctan2(u, v)
    if identity.hair_style == "curly":
        grain = size / 3.4 / 10
        fine = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), max(0.12 * grain, 0.7))
        broad = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), 0.4 * grain)
        value = fine / fine.std() + 0.8 * broad / broad.std()
    else:
        sweep = rng.normal(0, 0.5)
        angle = angle + sweep * (polar - 0.8) + 0.05 * np.sin(polar * 7 + rng.uniform(0, 6))
        value = np.zeros((size, size))
        for columns, rows, share in ((1500, 14, 1.0), (500, 9, 0.8), (160, 6, 0.5)):
            pattern = rng.standard_normal((rows, columns)).astype(np.float32)
            x = ((angle / (2 * np.pi)) % 1.0 * columns).astype(np.float32)
            y = (polar / 2.4 * (rows - 1)).astype(np.float32)
            value += share * cv2.remap(pattern, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        # On the face, below any fringe, hair is a beard: short, and in all directions.
        fine = cv2.GaussianBlur(rng.standard_normal((size, size)), (0, 0), max(size / 900, 0.5))
        beard = smoothstep(0.62, 0.5, polar)
        beard = np.maximum(beard, smoothstep(0.5, 0.62, polar) * smoothstep(-0.05, -0.2, v))
        if identity.hair_style in ("buzz", "bald"):
            beard = np.maximum(beard, 0.85)
        value = value / value.std() * (1 - beard) + fine / fine.std() * beard
    # Strands thinner than a texel would only flicker.
    value = cv2.GaussianBlur(value, (0, 0), 0.8)
    order = np.sort(value.ravel())
    ranks = np.searchsorted(order[:: max(1, size // 64)], value) / len(order[:: max(1, size // 64)])
    return np.clip(ranks, 0, 1).astype(np.float32)


def hair_parts(identity: Identity, shape: ShapeField, level: int) -> list[Part]:
    """Shells, beard and hanging hair of this person."""
    parts = _scalp_shells(identity, shape, level)
    if identity.beard != "none":
        parts += _beard_shells(identity, shape, level)
    if identity.hair_style == "long":
        parts.append(_curtain(identity, shape))
    return parts


def _scalp_shells(identity: Identity, shape: ShapeField, level: int) -> list[Part]:
    mesh = head.head_mesh(level)
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x51]))
    short, long = _THICKNESS[identity.hair_style]
    front, crown, side = np.array(short) + identity.hair_length * (np.array(long) - np.array(short))
    polar = np.hypot(mesh.uv[:, 0], mesh.uv[:, 1])
    from_top = np.abs(np.degrees(np.arctan2(mesh.uv[:, 0], mesh.uv[:, 1])))
    above = front + (crown - front) * smoothstep(0.8, 1.5, polar)
    thick = above + (side - above) * smoothstep(30, 75, from_top)
    lumps = _lumps(identity, mesh.open_vertices, rng)
    line = _hairline(identity, mesh.uv)
    inside = polar - line
    # The roots lift the hair gradually behind the hairline.
    rise = 0.06 + 0.94 * smoothstep(-0.02, 0.36, inside)
    if identity.hair_style == "fringe":
        rise = np.maximum(rise, 0.9)
    thick = thick * rise * (1 + 0.3 * lumps)
    cranial = mesh.open_vertices - np.array([0.0, 1.0, -4.0])
    out = cranial / np.linalg.norm(cranial, axis=1, keepdims=True)
    skull = shape(mesh.vertices)
    skin = mesh.triangles[mesh.materials == head.SKIN]
    count = _SHELLS.get(identity.hair_style, 4)
    behind_ear = (mesh.open_vertices[:, 1] < -1.0) & (mesh.open_vertices[:, 2] < -1.0)
    parts = []
    for shell in range(count):
        share = (shell + 1) / count
        density = 1.0 if shell == 0 else 1.05 - 0.3 * share
        if identity.hair_style == "curly":
            # Far from the head, holes would show the background, as through a net.
            density = 1.15 - 0.2 * share**2
        if identity.hair_style in ("buzz", "bald"):
            density = 0.75 - 0.25 * share
        shift = 0.07 * shell / max(1, count - 1)
        cover = density * smoothstep(-0.05 + shift, 0.13 + shift, inside)
        cover = np.where(behind_ear & (identity.hair_style != "long"), 0.0, cover)
        vertices = skull + out * (thick * share)[:, None]
        used = (cover[skin].max(1) > 0.02) & (mesh.vertices[skin, 2].max(1) > -8.5)
        tone = 0.72 + 0.28 * share
        colour = np.array(identity.hair_colour) * tone
        parts.append(
            _pick(make_part(HEAD, shading.HAIR, vertices, skin[used], colour, 0.55, mesh.uv, cover))
        )
    return parts


def _lumps(identity: Identity, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(V,) smooth unevenness, -1..1: locks, or the outline of curls."""
    size = 1.1 if identity.hair_style == "curly" else 2.2
    strength = 1.0 if identity.hair_style == "curly" else 0.55
    total = np.zeros(len(points))
    for _ in range(10):
        wave = rng.normal(0, 1.0 / size, 3)
        total += np.sin(points @ wave + rng.uniform(0, 2 * np.pi))
    return strength * np.clip(total / 3, -1, 1)


def _beard_shells(identity: Identity, shape: ShapeField, level: int) -> list[Part]:
    mesh = head.head_mesh(level)
    where = mesh.open_vertices
    region = beard_region(where, identity.beard)
    length = 0.15 + 0.5 * identity.hair_length
    parts = []
    skin = mesh.triangles[mesh.materials == head.SKIN]
    skull = shape(mesh.vertices)
    out = where - np.array([0.0, -3.0, -2.0])
    out = out / np.linalg.norm(out, axis=1, keepdims=True)
    for shell in range(3):
        share = (shell + 1) / 3
        cover = (1.1 - 0.4 * share) * region
        vertices = skull + out * (length * share * region)[:, None]
        used = cover[skin].max(1) > 0.03
        parts.append(
            _pick(
                make_part(
                    HEAD,
                    shading.HAIR,
                    vertices,
                    skin[used],
                    np.array(identity.hair_colour) * 0.9,
                    0.15,
                    mesh.uv,
                    cover,
                )
            )
        )
    return parts


def _curtain(identity: Identity, shape: ShapeField) -> Part:
    """Long hair from the temples around the back of the neck."""
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0xC0]))
    rows, columns = 16, 56
    down = np.linspace(0, 1, rows)[:, None]
    opening = rng.uniform(0.95, 1.2)
    around = np.linspace(opening, 2 * np.pi - opening, columns)[None]
    end = -6.0 - 13.0 * identity.hair_length
    wave = rng.uniform(0.05, 0.5) * np.sin(down * rng.uniform(5, 14) + around * rng.uniform(3, 9))
    width = 8.3 + 0.9 * np.sin(np.pi * down**0.7) + wave - 0.6 * down
    x = width * np.sin(around)
    z = -3.0 + (width * 0.85) * np.cos(around)
    y = 7.0 + (end - 7.0) * down + 0.8 * np.cos(2 * around)
    vertices = shape(np.stack([x, y, z], -1).reshape(-1, 3))
    grid = outward_from_axis(vertices, grid_triangles(rows, columns, wrap=False))
    triangles = np.concatenate([grid, grid[:, ::-1]])
    polar = 1.0 + 0.68 * down * np.ones_like(around)
    angle = (around - np.pi) * 0.9 * np.ones_like(down)
    uv = np.stack([polar * np.sin(angle), polar * np.cos(angle)], -1).reshape(-1, 2)
    edge = np.minimum(around - opening, 2 * np.pi - opening - around)
    cover = (
        smoothstep(-0.03, 0.22, edge) * smoothstep(1.02, 0.8, down) * np.ones_like(around + down)
    )
    tone = 0.9 * np.array(identity.hair_colour)
    return make_part(
        HEAD, shading.HAIR, vertices, triangles, tone, 0.55, uv, 1.04 * cover.reshape(-1)
    )


def _pick(part: Part) -> Part:
    """Only the vertices that the part's triangles use, anchored to the skin below."""
    used, index = np.unique(part.triangles, return_inverse=True)
    return Part(
        part.joint,
        part.material,
        part.vertices[used],
        index.reshape(-1, 3),
        part.colours[used],
        part.uv[used],
        part.cover[used],
        used,
    )
