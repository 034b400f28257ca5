"""The parts beside the skin of the head: eyeballs, teeth, ears, neck, shoulders, glasses."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.simulator import shading
from mx_capture.simulator.curves import smoothstep
from mx_capture.simulator.identity import Identity, ShapeField

HEAD, JAW, RIGHT_EYE, LEFT_EYE, BODY = range(5)
EYE_RADIUS_CM = 1.32


@dataclass
class Part:
    """A piece of mesh that moves rigidly with `joint`.

    `vertices` (V, 3) float64 cm at rest; `triangles` (F, 3); `colours` (V, 4) RGB and gloss;
    `uv` (V, 2); `cover` (V,) share of strands for hair.
    """

    joint: int
    material: int
    vertices: np.ndarray
    triangles: np.ndarray
    colours: np.ndarray
    uv: np.ndarray
    cover: np.ndarray
    anchors: np.ndarray | None = None
    """(V,) vertices of the head mesh that these vertices move with; None for a rigid part."""


def make_part(
    joint: int,
    material: int,
    vertices: np.ndarray,
    triangles: np.ndarray,
    colour: np.ndarray | tuple[float, ...],
    gloss: float = 0.0,
    uv: np.ndarray | None = None,
    cover: np.ndarray | None = None,
) -> Part:
    """A part of one colour (3,) or one per vertex (V, 3)."""
    count = len(vertices)
    colours = np.empty((count, 4))
    colours[:, :3] = colour
    colours[:, 3] = gloss
    return Part(
        joint,
        material,
        vertices,
        triangles,
        colours,
        np.zeros((count, 2)) if uv is None else uv,
        np.ones(count) if cover is None else cover,
    )


def grid_triangles(rows: int, columns: int, wrap: bool) -> np.ndarray:
    """Triangles of a (rows, columns) grid of vertices in row-major order."""
    last = columns if wrap else columns - 1
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(last), indexing="ij")
    i, j = i.ravel(), j.ravel()
    k = (j + 1) % columns
    a, b = i * columns + j, i * columns + k
    c, d = (i + 1) * columns + j, (i + 1) * columns + k
    return np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])


def eyeball(centre: np.ndarray, joint: int) -> Part:
    """The front of an eyeball with its cornea; uv is the direction from the centre, x and y."""
    polar = np.linspace(0, 1.45, 11)[:, None]
    around = np.linspace(0, 2 * np.pi, 24, endpoint=False)[None]
    x = np.sin(polar) * np.cos(around)
    y = np.sin(polar) * np.sin(around)
    z = np.cos(polar) * np.ones_like(around)
    cornea = 1 + 0.045 * np.exp(-((polar / 0.38) ** 4)) * np.ones_like(around)
    unit = np.stack([x, y, z], -1)
    vertices = centre + EYE_RADIUS_CM * (unit * cornea[..., None]).reshape(-1, 3)
    uv = unit.reshape(-1, 3)[:, :2]
    triangles = grid_triangles(11, 24, wrap=True)
    return make_part(
        joint, shading.EYE, vertices, outward(vertices, triangles, centre), (1, 1, 1), 1.6, uv
    )


def eye_texture(identity: Identity, skin_size: int) -> np.ndarray:
    """(3, E, E) float32: sclera, iris and pupil over the front of the eyeball, x and y -1..1.

    As fine as a skin texture of `skin_size` texels.
    """
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0xE1]))
    size = 128
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(axis, -axis)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    iris_edge = rng.uniform(0.43, 0.48)
    pupil_edge = rng.uniform(0.14, 0.22)
    white = np.array([0.56, 0.53, 0.5]) * (1 - 0.25 * np.clip(radius - 0.4, 0, 1)[..., None])
    veins = np.clip(np.sin(angle * 13 + 5 * radius + rng.uniform(0, 6)) - 0.6, 0, 1)
    white = white * (1 - 0.25 * (veins * np.clip(radius - 0.5, 0, 1))[..., None] * [0, 1, 1])
    fibres = np.zeros_like(radius)
    for frequency in (17, 29, 43, 61):
        fibres += np.sin(frequency * angle + rng.uniform(0, 6.3) + 3 * radius) / 4
    base = np.array(identity.eye_colour)
    inner = base * np.array([1.5, 1.2, 0.9])
    share = smoothstep(pupil_edge, iris_edge, radius)[..., None]
    iris = (inner * (1 - share) + base * share) * (1 + 0.35 * fibres)[..., None]
    iris = iris * (1 - 0.75 * smoothstep(0.8 * iris_edge, iris_edge, radius))[..., None]
    out = white * smoothstep(iris_edge - 0.02, iris_edge + 0.03, radius)[..., None]
    out += iris * (1 - smoothstep(iris_edge - 0.02, iris_edge + 0.03, radius))[..., None]
    out = out * (0.03 + 0.97 * smoothstep(pupil_edge - 0.03, pupil_edge + 0.03, radius))[..., None]
    texels = skin_size / (2 * shading.TEXTURE_EXTENT) / 10 * 2 * EYE_RADIUS_CM
    side = int(np.clip(np.ceil(1.3 * texels), 8, size))
    out = cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(out.transpose(2, 0, 1), np.float32)


def teeth(shape: ShapeField) -> list[Part]:
    """Upper teeth fixed to the head, lower teeth and tongue to the jaw, behind closed lips."""
    parts = []
    for joint, top, bottom in ((HEAD, -3.6, -4.75), (JAW, -4.75, -5.6)):
        x = np.linspace(-2.1, 2.1, 43)
        z = 4.98 - 0.34 * x**2 - (0.12 if joint == JAW else 0.0)
        rows = np.linspace(top, bottom, 5)
        grid = np.stack(
            [np.broadcast_to(x, (5, 43)), np.repeat(rows[:, None], 43, 1), np.tile(z, (5, 1))], -1
        )
        vertices = shape(grid.reshape(-1, 3))
        shade = 0.62 * (1 - 0.18 * (x / 2.1) ** 2)
        gap = np.where(np.arange(43) % 5 == 0, 0.62, 1.0)
        gum = np.array([0.55, 0.85, 1.0, 1.0, 0.95])[:: 1 if joint == HEAD else -1]
        tone = gum[:, None] * (shade * gap)[None]
        colour = tone[..., None] * np.array([1.0, 0.94, 0.82])
        triangles = grid_triangles(5, 43, wrap=False)
        parts.append(
            make_part(joint, shading.MOUTH, vertices, triangles, colour.reshape(-1, 3), 0.5)
        )
    throat = np.array([[-2.3, -2.2, 1.5], [2.3, -2.2, 1.5], [-2.3, -8.0, 1.5], [2.3, -8.0, 1.5]])
    flat = grid_triangles(2, 2, wrap=False)
    wall = facing_viewer(throat, flat)
    parts.append(make_part(HEAD, shading.MOUTH, shape(throat), wall, (0.02, 0.006, 0.006)))
    tongue = np.linspace(-1.6, 1.6, 9)
    depth = np.linspace(3.9, 1.0, 6)
    grid = np.stack(np.meshgrid(tongue, depth, indexing="xy"), -1)
    height = -5.15 - 0.25 * (grid[..., 0] / 1.6) ** 2 + 0.1 * np.cos(grid[..., 1])
    vertices = shape(np.stack([grid[..., 0], height, grid[..., 1]], -1).reshape(-1, 3))
    triangles = upward(vertices, grid_triangles(6, 9, wrap=False))
    parts.append(make_part(JAW, shading.MOUTH, vertices, triangles, (0.38, 0.12, 0.11), 0.4))
    return parts


def ears(identity: Identity, shape: ShapeField) -> list[Part]:
    """Both ears as a dish with a rim (helix) and a hollow (concha)."""
    parts = []
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0xEA]))
    flare, size = rng.uniform(0.25, 0.75), rng.uniform(0.9, 1.12)
    skin = np.array(identity.skin_colour)
    for side in (-1.0, 1.0):
        radius = np.array([0.0, 0.3, 0.55, 0.75, 0.88, 1.0, 0.96])[:, None]
        angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)[None]
        lobe = 1 - 0.28 * np.exp(-(((angle - 4.4) / 0.7) ** 2))
        y = radius * np.sin(angle) * 3.1 * size
        forward = radius * np.cos(angle) * 1.75 * size * lobe * (1 + 0.18 * np.sin(angle))
        profile = np.array([-0.55, -0.5, -0.1, 0.12, 0.2, 0.1, -0.25])[:, None]
        lift = profile * (0.55 + 0.45 * np.clip(np.sin(angle) + 0.6, 0, 1))
        out = lift - flare * forward * 0.8
        points = np.stack([(7.55 + out) * side, y + 0.9, forward - 3.4 + 0.12 * y], -1)
        points = points.reshape(-1, 3)
        triangles = grid_triangles(7, 28, wrap=True)
        if side < 0:
            triangles = triangles[:, ::-1]
        centre = points.mean(0) - np.array([side * 3.0, 0, 0])
        vertices = shape(points)
        triangles = outward(points, triangles, centre)
        hollow = np.clip(0.62 + 0.5 * radius, 0, 1) * np.ones_like(angle)
        colour = skin * np.array([1.0, 0.86, 0.84]) * hollow.reshape(-1, 1)
        parts.append(make_part(HEAD, shading.PLAIN, vertices, triangles, colour, 0.25))
    return parts


def body(identity: Identity, shape: ShapeField) -> list[Part]:
    """Neck, and shoulders in a garment."""
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0xB0]))
    width = 5.5 - 0.9 * identity.feminine + rng.normal(0, 0.25)
    rows, columns = 14, 40
    down = np.linspace(0, 1, rows)[:, None]
    around = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None]
    flare = np.where(down > 0.5, (down - 0.5) ** 2 * 34, 0.0)
    y = -4.5 - 14.5 * down * np.ones_like(around)
    x = (width + flare) * np.sin(around)
    z = -3.2 + (width * 0.92 + 0.55 * flare) * np.cos(around) - 1.0 * down + 1.2 * (1 - down)
    throat = np.exp(-(((around - 0.0) / 0.35) ** 2)) * np.exp(-(((down - 0.45) / 0.15) ** 2))
    z = z + 0.25 * throat * (1 - identity.feminine)
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    triangles = grid_triangles(rows, columns, wrap=True)
    skin = np.array(identity.skin_colour) * np.array([0.93, 0.9, 0.9])
    neck = make_part(
        BODY, shading.PLAIN, vertices, outward_from_axis(vertices, triangles), skin, 0.15
    )

    down = np.linspace(0, 1, 18)[:, None]
    half = 6.4 + 13.5 * np.sqrt(np.clip(down * 1.15, 0, 1))
    drop = -15.2 + rng.normal(0, 0.5) - 5.0 * down**1.6 - 14 * np.clip(down - 0.75, 0, 1)
    columns = 48
    around = np.linspace(-np.pi, np.pi, columns, endpoint=False)[None]
    x = half * np.sin(around)
    vee = rng.uniform(0.0, 3.0) * np.exp(-((around / 0.45) ** 2)) * (1 - down) ** 2
    y = drop * np.ones_like(around) - vee
    z = -3.6 + (6.6 + 4.5 * down) * np.cos(around)
    vertices = np.stack([x, y, z], -1).reshape(-1, 3)
    triangles = outward_from_axis(vertices, grid_triangles(18, columns, wrap=True))
    cloth = np.tile(np.array(identity.cloth_colour), (len(vertices), 1))
    fold = 0.8 + 0.2 * np.sin(vertices[:, 0] * rng.uniform(0.5, 1.2) + vertices[:, 1] * 0.7)
    stripes = rng.random() < 0.3
    if stripes:
        fold = fold * np.where(np.sin(vertices[:, 1] * 3.0) > 0, 1.0, 0.6)
    garment = make_part(BODY, shading.PLAIN, vertices, triangles, cloth * fold[:, None], 0.0)
    return [neck, garment]


def glasses(identity: Identity, eyes: np.ndarray) -> list[Part]:
    """Frames in front of both eyes; `eyes` (2, 3) the centres of the eyeballs in cm."""
    if identity.glasses == "none":
        return []
    rng = np.random.default_rng(np.random.SeedSequence([identity.seed, 0x61]))
    thick = {"thin": 0.09, "thick": 0.26, "round": 0.13}[identity.glasses]
    power = 2.0 if identity.glasses == "round" else rng.uniform(2.6, 4.0)
    wide = 2.2 if identity.glasses == "round" else rng.uniform(2.35, 2.7)
    high = 2.1 if identity.glasses == "round" else rng.uniform(1.5, 2.0)
    colour = rng.uniform(0.01, 0.12, 3) if rng.random() < 0.8 else rng.uniform(0.1, 0.5, 3)
    front = eyes[:, 2].mean() + 3.2
    parts = []
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    reach = (np.abs(np.cos(angle)) ** power + np.abs(np.sin(angle)) ** power) ** (-1 / power)
    for eye in eyes:
        side = np.sign(eye[0])
        rings = []
        for grow, forward in ((-thick / 2, 0.0), (0.0, thick / 2), (thick / 2, 0.0)):
            x = eye[0] + side * 0.12 + reach * np.cos(angle) * (wide + grow)
            y = eye[1] - 0.25 + reach * np.sin(angle) * (high + grow)
            rings.append(np.stack([x, y, front + forward - 0.05 * (np.abs(x) - 3) ** 2], -1))
        vertices = np.concatenate(rings)
        triangles = facing_viewer(vertices, grid_triangles(3, 40, wrap=True))
        parts.append(make_part(HEAD, shading.PLAIN, vertices, triangles, colour, 0.8))
        start = np.array([eye[0] + side * (wide + 0.1), eye[1] + 0.5, front - 0.4])
        end = np.array([side * 7.9 * identity.scale[0], eye[1] + 0.5, -3.0])
        parts.append(_bar(start, end, 0.22 if thick < 0.2 else 0.4, colour, wide_axis=1))
    inner = [eye[0] + np.sign(eye[0]) * (0.12 - wide) for eye in eyes]
    level = eyes[:, 1].mean() + 0.25
    left = np.array([inner[0], level, front])
    right = np.array([inner[1], level, front])
    parts.append(_bar(left, right, thick + 0.08, colour, wide_axis=1))
    return parts


def _bar(
    start: np.ndarray, end: np.ndarray, size: float, colour: np.ndarray, wide_axis: int
) -> Part:
    half = np.zeros(3)
    half[wide_axis] = size / 2
    steps = np.linspace(0, 1, 6)[:, None]
    line = start + steps * (end - start)
    vertices = np.concatenate([line - half, line + half])
    grid = grid_triangles(2, 6, wrap=False)
    # Visible from either side.
    triangles = np.concatenate([grid, grid[:, ::-1]])
    return make_part(HEAD, shading.PLAIN, vertices, triangles, colour, 0.5)


def outward(vertices: np.ndarray, triangles: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Wind every triangle so that it faces away from `centre`."""
    return _wind(vertices, triangles, vertices[triangles].mean(1) - centre)


def outward_from_axis(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Wind every triangle away from the vertical axis through x = 0, z = -3.4."""
    away = vertices[triangles].mean(1) - np.array([0.0, 0.0, -3.4])
    away[:, 1] = 0.02
    return _wind(vertices, triangles, away)


def facing_viewer(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Wind every triangle towards +z."""
    return _wind(vertices, triangles, np.array([[0.0, 0.0, 1.0]]))


def upward(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Wind every triangle towards +y."""
    return _wind(vertices, triangles, np.array([[0.0, 1.0, 0.0]]))


def _wind(vertices: np.ndarray, triangles: np.ndarray, direction: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    facing = (np.cross(b - a, c - a) * direction).sum(1)
    return np.where((facing < 0)[:, None], triangles[:, ::-1], triangles)
