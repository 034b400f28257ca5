"""The head mesh: the canonical face, closed to a whole head, subdivided, with texture coordinates.

The face is the canonical face geometry of MediaPipe (468 vertices in cm, Apache-2.0), read from the
shipped protocol buffer. Axes: x to the subject's left, y up, z towards the viewer; the origin lies
inside the head between the eyes and the mouth.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from mx_capture.errors import MxError
from mx_capture.simulator.curves import smoothstep
from mx_capture.simulator.subdivision import subdivide

CANONICAL_FACE = Path(__file__).parent.parent / "data/geometry_pipeline_metadata_landmarks.binarypb"

UPPER_LIP = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
LOWER_LIP = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
RIGHT_UPPER_LID = (33, 246, 161, 160, 159, 158, 157, 173, 133)
RIGHT_LOWER_LID = (33, 7, 163, 144, 145, 153, 154, 155, 133)
LEFT_UPPER_LID = (263, 466, 388, 387, 386, 385, 384, 398, 362)
LEFT_LOWER_LID = (263, 249, 390, 373, 374, 380, 381, 382, 362)

SKIN, MOUTH = 0, 1
_RINGS = 7


@dataclass(frozen=True)
class HeadMesh:
    """A subdivided head in the canonical shape.

    `vertices` (V, 3) float64 cm with the mouth closed; `open_vertices` (V, 3) the same with the
    lips a little apart, which tells upper from lower lip; `triangles` (F, 3) int32,
    counter-clockwise seen from outside; `materials` (F,) uint8 SKIN or MOUTH; `uv` (V, 2) float64
    radians (see `texture_coordinates`).
    """

    vertices: np.ndarray
    open_vertices: np.ndarray
    triangles: np.ndarray
    materials: np.ndarray
    uv: np.ndarray


@lru_cache(maxsize=4)
def head_mesh(level: int) -> HeadMesh:
    """The head after `level` (0 to 3) steps of Loop subdivision."""
    open_vertices, triangles = canonical_face()
    loops = [
        UPPER_LIP + LOWER_LIP[-2:0:-1],
        RIGHT_UPPER_LID + RIGHT_LOWER_LID[-2:0:-1],
        LEFT_UPPER_LID + LEFT_LOWER_LID[-2:0:-1],
    ]
    for loop in loops:
        inside = np.isin(triangles, loop).all(axis=1)
        triangles = triangles[~inside]
    closed = _close_mouth(open_vertices)
    shapes = [closed, open_vertices]
    materials = np.zeros(len(triangles), np.uint8)
    shapes, triangles, materials = _add_cranium(shapes, triangles, materials)
    for number, loop in enumerate(loops):
        shapes, triangles, materials = _add_pocket(shapes, triangles, materials, loop, number == 0)
    creases: set[tuple[int, int]] = set()
    for loop in loops:
        for start, end in zip(loop, loop[1:] + loop[:1], strict=True):
            creases.add((min(start, end), max(start, end)))
    for _ in range(level):
        shapes, triangles, materials, creases = subdivide(shapes, triangles, materials, creases)
    return HeadMesh(
        shapes[0],
        shapes[1],
        np.ascontiguousarray(triangles, np.int32),
        materials,
        texture_coordinates(shapes[1]),
    )


def texture_coordinates(points: np.ndarray) -> np.ndarray:
    """Azimuthal equidistant coordinates about the z axis through (0, 0, -4): (..., 2) radians.

    One radian is about 10 cm of skin everywhere on the face; only the back of the head is singular.
    """
    shifted = points - np.array([0.0, 0.0, -4.0])
    across = np.hypot(shifted[..., 0], shifted[..., 1])
    polar = np.arctan2(across, shifted[..., 2])
    scale = polar / np.maximum(across, 1e-9)
    return shifted[..., :2] * scale[..., None]


@lru_cache(maxsize=1)
def canonical_face() -> tuple[np.ndarray, np.ndarray]:
    """((468, 3) float64 cm, (898, 3) int64) of the canonical face.

    The file is a GeometryPipelineMetadata message: field 1 the mesh, in which field 3 repeats
    floats (x y z u v of each vertex) and field 4 repeats vertex indices.
    """
    try:
        data = CANONICAL_FACE.read_bytes()
    except OSError as error:
        raise MxError(f"{CANONICAL_FACE}: cannot read the canonical face ({error})") from error
    mesh = next(value for number, value in _fields(data) if number == 1)
    numbers: list[float] = []
    indices: list[int] = []
    for number, value in _fields(mesh):
        if number == 3:
            numbers.append(value)
        elif number == 4:
            indices.append(value)
    return np.array(numbers).reshape(-1, 5)[:, :3], np.array(indices).reshape(-1, 3)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of a protocol buffer message: varint, 32-bit float or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = varint()
        if key & 7 == 0:
            yield key >> 3, varint()
        elif key & 7 == 5:
            yield key >> 3, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif key & 7 == 2:
            size = varint()
            yield key >> 3, data[at : at + size]
            at += size
        else:
            raise MxError(f"{CANONICAL_FACE}: unexpected wire type {key & 7}; the file is damaged")


def _close_mouth(vertices: np.ndarray) -> np.ndarray:
    """Bring the inner rims of both lips together; the skin around follows."""
    upper, lower = list(UPPER_LIP), list(LOWER_LIP)
    middle = (vertices[upper] + vertices[lower]) / 2
    anchors = np.concatenate([vertices[upper], vertices[lower]])
    moves = np.concatenate([middle - vertices[upper], middle - vertices[lower]])
    below = vertices[:, 1] < np.interp(np.abs(vertices[:, 0]), [0.0, 2.15], [-4.26, -4.29])
    anchor_below = np.arange(len(anchors)) >= len(upper)
    squared = ((vertices[:, None] - anchors[None]) ** 2).sum(-1)
    squared[below[:, None] != anchor_below[None]] += 4.0
    nearness = np.exp(-squared / (2 * 0.25**2))
    blend = nearness / np.maximum(nearness.sum(1, keepdims=True), 1e-12)
    strength = np.exp(-squared.min(1) / (2 * 0.45**2))
    closed = vertices + (blend @ moves) * strength[:, None]
    closed[upper] = middle
    closed[lower] = middle
    return closed


def _face_outline(triangles: np.ndarray) -> list[int]:
    """The boundary loop of the face in the winding order of its triangles."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    present = {(int(a), int(b)) for a, b in edges}
    following = {a: b for a, b in present if (b, a) not in present}
    start = 10
    outline = [start]
    while following[outline[-1]] != start:
        outline.append(following[outline[-1]])
    return outline


def _add_cranium(
    shapes: list[np.ndarray], triangles: np.ndarray, materials: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Rings from the outline of the face over the skull, and under the jaw, to the back."""
    # The lips and lids are holes by now; the outline is the loop that holds vertex 10.
    outline = _face_outline(triangles)
    rim = shapes[0][outline]
    x, y, z = rim.T
    angle = np.arctan2((y - 1.5) / 11.6, x / 7.75)
    # Fuller than an ellipse, as a skull is.
    fuller = (np.abs(np.cos(angle)) ** 2.7 + np.abs(np.sin(angle)) ** 2.7) ** (-1 / 2.7)
    over = np.stack(
        [
            7.75 * fuller * np.cos(angle),
            1.5 + 11.6 * fuller * np.sin(angle),
            np.full_like(x, -3.4),
        ],
        1,
    )
    low = smoothstep(1.5, -9.4, y)
    under = np.stack([x * (0.99 - 0.3 * low), y + 1.2 * low, z - 3.0 - low], 1)
    high = smoothstep(-1.0, 4.0, y)[:, None]
    middle = over * high + under * (1 - high)
    # Leave the face along its own slope: the control point lies in front of the widest ring.
    control = middle.copy()
    control[:, 2] = z - 0.25 * (z - middle[:, 2])
    control[:, :2] = rim[:, :2] + 0.9 * (middle[:, :2] - rim[:, :2])
    back = np.array([0.0, 3.0, -12.0]) * high + np.array([0.0, -3.0, -9.0]) * (1 - high)
    behind = middle.copy()
    behind[:, 2] = back[:, 2] + 1.5
    rings = []
    for step in np.linspace(0, 1, 5)[1:]:
        rings.append(_bezier(rim, control, middle, step))
    for step in np.linspace(0, 1, _RINGS - 3)[1:-1]:
        rings.append(_bezier(middle, behind, back, step))
    count, first = len(outline), len(shapes[0])
    extra = np.concatenate(rings)
    loops = [np.array(outline)]
    loops += [first + number * count + np.arange(count) for number in range(len(rings))]
    new = [_strip(loops[i], loops[i + 1]) for i in range(len(rings))]
    added = np.concatenate(new)
    return (
        [np.concatenate([shape, extra]) for shape in shapes],
        np.concatenate([triangles, added]),
        np.concatenate([materials, np.full(len(added), SKIN, np.uint8)]),
    )


def _add_pocket(
    shapes: list[np.ndarray],
    triangles: np.ndarray,
    materials: np.ndarray,
    loop: tuple[int, ...],
    is_mouth: bool,
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Fold the skin inwards at the rim of the mouth or of an eye: thickness, and no gaps."""
    count, first = len(loop), len(shapes[0])
    position = np.arange(count)
    half = count // 2
    # +1 in the middle of the upper rim, -1 in the middle of the lower one, 0 at both corners.
    lift = np.where(position <= half, 1.0, -1.0) * np.sin(np.pi * (position % half) / half)
    if is_mouth:
        offsets = [
            np.stack([0 * lift, 0.12 * lift, np.full(count, -0.35)], 1),
            np.stack([0 * lift, 0.9 * lift, np.full(count, -1.1)], 1),
            np.stack([0 * lift, 1.1 * lift, np.full(count, -3.5)], 1),
        ]
        kinds = [SKIN, MOUTH, MOUTH]
    else:
        offsets = [np.stack([0 * lift, 0.02 * lift, np.full(count, -0.25)], 1)]
        kinds = [SKIN]
    loops = [np.array(loop)] + [first + n * count + position for n in range(len(offsets))]
    grown = []
    for shape in shapes:
        rim = shape[list(loop)]
        centre = rim.mean(0)
        shrink = np.array([0.85, 1.0, 1.0]) if is_mouth else np.array([1.0, 1.0, 1.0])
        rings = [(rim - centre) * shrink + centre + offset for offset in offsets]
        grown.append(np.concatenate([shape, *rings]))
    strips = [_strip(loops[n], loops[n + 1]) for n in range(len(offsets))]
    if not _agrees(triangles, loop, strips[0]):
        strips = [strip[:, ::-1] for strip in strips]
    kinds_grown = [np.full(len(s), k, np.uint8) for s, k in zip(strips, kinds, strict=True)]
    return (
        grown,
        np.concatenate([triangles, *strips]),
        np.concatenate([materials, *kinds_grown]),
    )


def _agrees(triangles: np.ndarray, loop: tuple[int, ...], strip: np.ndarray) -> bool:
    """Whether the strip uses the loop's edges in the direction opposite to the mesh's."""

    def directed(faces: np.ndarray) -> set[tuple[int, int]]:
        edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
        return {(int(a), int(b)) for a, b in edges}

    return ((loop[0], loop[1]) in directed(triangles)) != ((loop[0], loop[1]) in directed(strip))


def _strip(inner: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """Triangles between two closed rings, wound like a face whose boundary is `inner`."""
    a, b = inner, np.roll(inner, -1)
    c, d = outer, np.roll(outer, -1)
    return np.concatenate([np.stack([b, a, c], 1), np.stack([b, c, d], 1)])


def _bezier(start: np.ndarray, control: np.ndarray, end: np.ndarray, at: float) -> np.ndarray:
    return (1 - at) ** 2 * start + 2 * at * (1 - at) * control + at**2 * end
