"""A person's head as it is drawn: all meshes together, posed by Action Units, gaze and rotation."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numba import njit

from mx_capture.simulator import anatomy, hair, renderer, skin
from mx_capture.simulator import mesh as head_mesh
from mx_capture.simulator.action_units import UNITS, displacement_fields, jaw_weights
from mx_capture.simulator.anatomy import BODY, JAW
from mx_capture.simulator.identity import Identity, ShapeField, shape_field

UNIT_ORDER = tuple(sorted(UNITS))
"""Rows of `Pose.units`."""

_NECK = np.array([0.0, -6.0, -3.0])
_JAW_HINGE = np.array([0.0, 0.3, -2.2], np.float32)
# The condyles slide forwards and down as the jaw opens (Travers et al. 2000).
_JAW_SLIDE_CM = np.array([0.0, -0.35, 1.15], np.float32)
_CANONICAL_APERTURE_CM = 0.67
_LID_LIFT_CM = 0.065


@dataclass
class Pose:
    """`units` (U, 2) activation 0..1 of each of UNIT_ORDER on the right and the left side;
    `gaze` (2,) and `rotation` (3,) radians: yaw to the subject's left, pitch up, roll; `shift` (3,)
    cm."""

    units: np.ndarray = field(default_factory=lambda: np.zeros((len(UNIT_ORDER), 2)))
    gaze: np.ndarray = field(default_factory=lambda: np.zeros(2))
    rotation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(3))


@dataclass(frozen=True)
class _Lids:
    """How the skin around one eye turns about the eyeball.

    `index` (N,) vertices; `upper`, `lower` (N,) share of each lid's travel; `reach` (N,) radius
    that the skin must keep (cm); `resting` (N,) 1 where it lies on the eyeball; `centre` (3,);
    `eye` the eyeball's vertices.
    """

    index: np.ndarray
    upper: np.ndarray
    lower: np.ndarray
    reach: np.ndarray
    resting: np.ndarray
    centre: np.ndarray
    eye: slice


class Head:
    """One person, ready to be posed and drawn.

    `level` is the subdivision of the mesh, `texture_size` the texels across the skin texture,
    `key_direction` where the main light comes from (for the shadows).
    """

    def __init__(
        self,
        identity: Identity,
        level: int,
        texture_size: int,
        key_direction: tuple[float, float, float] = (0.3, 0.6, 0.8),
    ) -> None:
        self.identity = identity
        shape = shape_field(identity)
        mesh = head_mesh.head_mesh(level)
        self._rest_skin = shape(mesh.vertices)
        self._centres = shape(np.array([[-3.15, 2.62, 2.46], [3.15, 2.62, 2.46]]))
        self._fields = self._unit_fields(mesh, shape)
        self._jaw = jaw_weights(mesh.open_vertices).astype(np.float32)
        parts = self._parts(mesh, shape, level)
        self.surface = self._assemble(mesh, parts)
        self._lids = [self._lid_weights(mesh, shape, side) for side in (0, 1)]
        self._settle_eyes()
        self._rest_normals()
        painted = skin.paint_skin(identity, hair.scalp_shadow(identity), texture_size)
        self._relief = painted.relief
        self._wrinkles = painted.wrinkles
        self._wrinkled: list[skin.WrinkleMap] = []
        self.textures = renderer.Textures(
            painted.colour,
            painted.relief.copy(),
            _eye_texture(identity, texture_size),
            hair.strand_texture(identity, texture_size),
        )
        self._bake_light(key_direction)

    # --- building -----------------------------------------------------------------------------

    def _unit_fields(self, mesh: head_mesh.HeadMesh, shape: ShapeField) -> np.ndarray:
        """(U, 2, V, 3) float32 displacement of the skin, scaled to this person's face and habits."""
        fields = np.zeros((len(UNIT_ORDER), 2, len(mesh.vertices), 3), np.float32)
        rng = np.random.default_rng(np.random.SeedSequence([self.identity.seed, 0xAC]))
        for row, unit in enumerate(UNIT_ORDER):
            for side, moved in enumerate(displacement_fields(mesh, unit)):
                gain = self.identity.unit_gains[row, side]
                # No two faces pull in quite the same direction.
                wave = rng.normal(0, 0.25, 3)
                uneven = 1 + 0.2 * np.sin(mesh.open_vertices @ wave + rng.uniform(0, 6.3))
                turned = moved + 0.12 * rng.normal() * moved[:, [1, 0, 2]] * [1, -1, 0]
                fields[row, side] = turned * (gain * uneven)[:, None]
        return fields

    def _parts(self, mesh: head_mesh.HeadMesh, shape: ShapeField, level: int) -> list[anatomy.Part]:
        identity = self.identity
        return [
            *hair.hair_parts(identity, shape, level),
            *anatomy.ears(identity, shape),
            *anatomy.teeth(shape),
            anatomy.eyeball(self._centres[0], anatomy.RIGHT_EYE),
            anatomy.eyeball(self._centres[1], anatomy.LEFT_EYE),
            *anatomy.glasses(identity, self._centres),
            *anatomy.body(identity, shape),
        ]

    def _assemble(self, mesh: head_mesh.HeadMesh, parts: list[anatomy.Part]) -> renderer.Surface:
        seen = (mesh.vertices[mesh.triangles, 2] > -9.0).any(1)
        self._skin_triangles = mesh.triangles[seen]
        count = len(mesh.vertices)
        colours = np.ones((count, 4))
        inside = np.unique(mesh.triangles[mesh.materials == head_mesh.MOUTH])
        colours[inside] = (0.16, 0.045, 0.04, 0.1)
        vertices, triangles = [self._rest_skin], [self._skin_triangles]
        materials = [
            np.where(mesh.materials[seen] == head_mesh.MOUTH, renderer.MOUTH, renderer.SKIN)
        ]
        all_colours, all_uv, all_cover = [colours], [mesh.uv], [np.ones(count)]
        self._slices: list[tuple[anatomy.Part, slice]] = []
        for part in parts:
            vertices.append(part.vertices)
            triangles.append(part.triangles + count)
            materials.append(np.full(len(part.triangles), part.material))
            all_colours.append(part.colours)
            all_uv.append(part.uv)
            all_cover.append(part.cover)
            self._slices.append((part, slice(count, count + len(part.vertices))))
            count += len(part.vertices)
        self._rest = np.concatenate(vertices).astype(np.float32)
        self._vertices = np.zeros_like(self._rest)
        self._normals = np.zeros_like(self._rest)
        joints = np.zeros(count, np.uint8)
        anchors = np.full(count, -1, np.int32)
        for part, where in self._slices:
            joints[where] = part.joint
            if part.anchors is not None:
                anchors[where] = part.anchors
        self._joints, self._anchors = joints, anchors
        return renderer.Surface(
            np.ascontiguousarray(np.concatenate(triangles), np.int32),
            np.concatenate(materials).astype(np.uint8),
            np.concatenate(all_uv).astype(np.float32),
            np.concatenate(all_colours).astype(np.float32),
            np.concatenate(all_cover).astype(np.float32),
            np.ones((count, 2), np.float32),
        )

    def _lid_weights(self, mesh: head_mesh.HeadMesh, shape: ShapeField, side: int) -> _Lids:
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
        upper = (1 - _step(0.04, 1.05, above)) * opening * is_upper
        lower = (1 - _step(0.04, 0.95, below)) * opening * ~is_upper
        near = np.abs(points[:, 2] - rims[0][:, 1]) < 2.0
        gap = np.where(is_upper, above, below)
        close = (1 - _step(0.25, 0.6, gap)) * (
            (points[:, 0] > corners[0] - 0.05) & (points[:, 0] < corners[1] + 0.05)
        )
        index = np.flatnonzero(near & ((upper + lower > 0.001) | (close > 0)))
        # The folded rim behind the margin stays nearer to the eyeball than the lid itself.
        depth = points[index, 2] - rims[0][index, 1]
        lift = np.where(is_upper[index], _LID_LIFT_CM + 0.03, _LID_LIFT_CM)
        reach = np.where(depth < -0.12, 0.0, anatomy.EYE_RADIUS_CM + lift)
        joint = anatomy.RIGHT_EYE if side == 0 else anatomy.LEFT_EYE
        eye = next(where for part, where in self._slices if part.joint == joint)
        return _Lids(
            index,
            upper[index].astype(np.float32),
            lower[index].astype(np.float32),
            reach.astype(np.float32),
            close[index] * (reach > 0),
            self._centres[side].astype(np.float32),
            eye,
        )

    def _settle_eyes(self) -> None:
        """Lay the lids on the eyeballs and open them to this person's neutral aperture."""
        opening = self.identity.eye_opening - _CANONICAL_APERTURE_CM
        for lids in self._lids:
            part = self._rest[lids.index]
            # Lid skin near the margin rests on the eyeball.
            across = part - lids.centre
            radius = np.linalg.norm(across, axis=1)
            outside = np.maximum(radius, lids.reach)
            wanted = outside + (lids.reach - outside) * lids.resting
            part = lids.centre + across * (wanted / radius)[:, None]
            self._rest[lids.index] = part
            _turn_lids(
                self._rest,
                lids.index,
                lids.upper,
                lids.lower,
                lids.reach,
                lids.centre,
                np.float32(-0.85 * opening),
                np.float32(-0.15 * opening),
            )

    def _rest_normals(self) -> None:
        normals = np.zeros_like(self._rest)
        renderer.vertex_normals(self._rest, self.surface.triangles, normals)
        for part, where in self._slices:
            if part.material == renderer.HAIR:
                # Sheets of hair that are seen from both sides cancel out; use the way outwards.
                away = self._rest[where] - np.array([0, 1.0, -4.0], np.float32)
                away /= np.linalg.norm(away, axis=1, keepdims=True)
                mixed = normals[where] * 0.6 + away * 0.6
                normals[where] = mixed / np.maximum(
                    np.linalg.norm(mixed, axis=1, keepdims=True), 1e-6
                )
        self._rest_normal = normals

    # --- posing -------------------------------------------------------------------------------

    def pose(self, pose: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices and normals (V, 3) float32 in the world, and the head's x and y axes (2, 3).

        The arrays are reused by the next call.
        """
        units = np.clip(pose.units, 0, 1.3).astype(np.float32)
        count = len(self._rest_skin)
        out = self._vertices
        out[:] = self._rest
        self._close_lids(out, units, pose.gaze)
        _add_fields(out, self._fields, units)
        for lids in self._lids:
            _keep_outside(out, lids.index, lids.reach, lids.centre)
        opening = float(units[UNIT_ORDER.index(26)].mean())
        angle = np.float32(np.radians(UNITS[26].jaw_degrees) * opening)
        slide = _JAW_SLIDE_CM * np.float32(opening)
        _turn_jaw(out, self._jaw, self._joints, angle, slide, _JAW_HINGE)
        _follow_anchors(out, self._anchors, self._rest)
        normals = self._normals
        normals[:] = self._rest_normal
        renderer.vertex_normals(out[:count], self._skin_triangles, normals[:count])
        for side, lids in enumerate(self._lids):
            turn = _rotation(pose.gaze[0], pose.gaze[1], 0.0).astype(np.float32)
            eye = lids.eye
            out[eye] = (self._rest[eye] - lids.centre) @ turn.T + lids.centre
            normals[eye] = self._rest_normal[eye] @ turn.T
            self._shade_eye(side, out)
        self._wrinkle(units)
        rotation = _rotation(*pose.rotation).astype(np.float32)
        body = _rotation(*(0.15 * np.asarray(pose.rotation))).astype(np.float32)
        shift = np.asarray(pose.shift, np.float32)
        pivot = _NECK.astype(np.float32)
        _place(out, normals, self._joints, rotation, body, shift, pivot)
        return out, normals, np.ascontiguousarray(rotation.T[:2])

    def _close_lids(self, out: np.ndarray, units: np.ndarray, gaze: np.ndarray) -> None:
        aperture = self.identity.eye_opening
        self._upper_closed = np.zeros(2)
        for side, lids in enumerate(self._lids):
            upper = sum(UNITS[u].upper_lid * units[i, side] for i, u in enumerate(UNIT_ORDER))
            lower = sum(UNITS[u].lower_lid * units[i, side] for i, u in enumerate(UNIT_ORDER))
            # The upper lid follows the gaze up and down.
            upper = upper - 0.75 * np.clip(gaze[1], -0.5, 0.3) * (1 - units[-1, side])
            lower = min(lower, 0.35)
            upper = min(upper, 1.0 - lower)
            self._upper_closed[side] = upper
            _turn_lids(
                out, lids.index, lids.upper, lids.lower, lids.reach, lids.centre,
                np.float32(upper * aperture), np.float32(lower * aperture),
            )  # fmt: skip

    def _shade_eye(self, side: int, out: np.ndarray) -> None:
        """The upper lid shades the top of the eyeball."""
        lids = self._lids[side]
        aperture = self.identity.eye_opening
        margin = 0.62 * aperture * (1 - 1.6 * self._upper_closed[side])
        offset = out[lids.eye] - lids.centre
        edge = margin * np.cos(np.clip(offset[:, 0] / 1.35, -1, 1) * np.pi / 2) ** 0.7
        shade = 0.25 + 0.75 * _step(-0.02, 0.5, edge - offset[:, 1])
        shade = shade * (0.55 + 0.45 * _step(1.35, 0.8, np.abs(offset[:, 0])))
        self.surface.light[lids.eye, 0] = shade
        self.surface.light[lids.eye, 1] = shade * self._eye_shadow[side]

    def _wrinkle(self, units: np.ndarray) -> None:
        bump = self.textures.bump
        for patch in self._wrinkled:
            rows = slice(patch.row, patch.row + patch.slopes.shape[0])
            columns = slice(patch.column, patch.column + patch.slopes.shape[1])
            bump[rows, columns] = self._relief[rows, columns]
        self._wrinkled = []
        for row, unit in enumerate(UNIT_ORDER):
            for side in (0, 1):
                strength = float(units[row, side])
                patch_or_none = self._wrinkles.get((unit, side))
                if strength <= 0 or patch_or_none is None:
                    continue
                _add_patch(bump, patch_or_none.slopes, patch_or_none.row, patch_or_none.column,
                           np.float32(strength))  # fmt: skip
                self._wrinkled.append(patch_or_none)

    # --- light that does not reach everywhere -------------------------------------------------

    def _bake_light(self, key_direction: tuple[float, float, float]) -> None:
        """Ambient occlusion and the key light's shadow at every vertex, at rest."""
        directions = _sphere_directions(48)
        open_sky = np.zeros(len(self._rest))
        weight = np.full(len(self._rest), 1e-6)
        for direction in directions:
            facing = np.clip(self._rest_normal @ direction, 0, 1)
            open_sky += facing * self._visible_from(direction)
            weight += facing
        ambient = np.clip(open_sky / weight, 0, 1)
        key = np.array(key_direction) / np.linalg.norm(key_direction)
        rng = np.random.default_rng(7)
        shadow = np.zeros(len(self._rest))
        for _ in range(10):
            shadow += self._visible_from(key + rng.normal(0, 0.09, 3)) / 10
        self._eye_shadow = np.zeros(2)
        for side, lids in enumerate(self._lids):
            self._eye_shadow[side] = float(np.percentile(shadow[lids.eye], 80))
        self.surface.light[:, 0] = 0.12 + 0.88 * ambient
        self.surface.light[:, 1] = shadow
        self._smooth_light()

    def _smooth_light(self) -> None:
        """Average over neighbours, so that shadows have no saw teeth along the mesh."""
        count = len(self._rest_skin)
        triangles = self._skin_triangles
        for _ in range(2):
            total = np.zeros((count, 2))
            times = np.zeros(count)
            mean = self.surface.light[triangles].mean(1)
            for k in range(3):
                np.add.at(total, triangles[:, k], mean)
                np.add.at(times, triangles[:, k], 1)
            smooth = total / np.maximum(times, 1)[:, None]
            self.surface.light[:count] = 0.5 * self.surface.light[:count] + 0.5 * smooth

    def _visible_from(self, direction: np.ndarray) -> np.ndarray:
        """(V,) 0..1: what part of a parallel light from `direction` reaches each vertex."""
        forward = direction / np.linalg.norm(direction)
        right = np.cross([0.0, 1.0, 0.0], forward)
        right /= max(np.linalg.norm(right), 1e-6)
        up = np.cross(forward, right)
        size, half = 192, 20.0
        flat = np.stack(
            [
                size / 2 + self._rest @ right * (size / 2 / half),
                size / 2 - (self._rest + [0, 2.0, 0]) @ up * (size / 2 / half),
                100.0 + self._rest @ forward,
            ],
            1,
        ).astype(np.float32)
        depth = np.zeros((size, size), np.float32)
        ids = np.zeros((size, size), np.int32)
        renderer.rasterise(
            flat, self.surface.triangles, self.surface.materials, self.surface.uv,
            self.surface.cover, np.full((2, 2), 0.5, np.float32), 1, (0, 0, size, size), depth, ids,
        )  # fmt: skip
        x = np.clip(flat[:, 0].astype(int), 1, size - 2)
        y = np.clip(flat[:, 1].astype(int), 1, size - 2)
        lit = np.zeros(len(flat))
        for dx in (-1, 0, 1):
            for dy in (-1, 0, 1):
                lit += flat[:, 2] > depth[y + dy, x + dx] - 0.55
        return lit / 9


def _eye_texture(identity: Identity, skin_size: int) -> np.ndarray:
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
    share = _step(pupil_edge, iris_edge, radius)[..., None]
    iris = (inner * (1 - share) + base * share) * (1 + 0.35 * fibres)[..., None]
    iris = iris * (1 - 0.75 * _step(0.8 * iris_edge, iris_edge, radius))[..., None]
    out = white * _step(iris_edge - 0.02, iris_edge + 0.03, radius)[..., None]
    out += iris * (1 - _step(iris_edge - 0.02, iris_edge + 0.03, radius))[..., None]
    out = out * (0.03 + 0.97 * _step(pupil_edge - 0.03, pupil_edge + 0.03, radius))[..., None]
    texels = skin_size / (2 * renderer.TEXTURE_EXTENT) / 10 * 2 * anatomy.EYE_RADIUS_CM
    side = int(np.clip(np.ceil(1.3 * texels), 8, size))
    out = cv2.resize(out, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(out.transpose(2, 0, 1), np.float32)


def _sphere_directions(count: int) -> np.ndarray:
    """(count, 3) evenly spread unit vectors (Fibonacci lattice)."""
    n = np.arange(count) + 0.5
    polar = np.arccos(1 - 2 * n / count)
    around = np.pi * (1 + 5**0.5) * n
    return np.stack(
        [np.cos(around) * np.sin(polar), np.cos(polar), np.sin(around) * np.sin(polar)], 1
    )


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn towards +x by yaw, up by pitch, and tilt by roll (radians)."""
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll),
    )  # fmt: skip
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _step(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@njit(cache=True, fastmath=True)
def _add_fields(out, fields, units):
    count = fields.shape[2]
    for row in range(units.shape[0]):
        for side in range(2):
            strength = units[row, side]
            if strength == 0:
                continue
            for v in range(count):
                for k in range(3):
                    out[v, k] += strength * fields[row, side, v, k]


@njit(cache=True)
def _turn_lids(out, index, upper, lower, reach, centre, upper_cm, lower_cm):
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


@njit(cache=True)
def _turn_jaw(out, weights, joints, angle, slide, hinge):
    if angle == 0:
        return
    for v in range(len(out)):
        share = np.float32(0.0)
        if v < len(weights):
            share = weights[v]
        elif joints[v] == JAW:
            share = np.float32(1.0)
        if share == 0:
            continue
        c, s = np.cos(angle * share), np.sin(angle * share)
        y, z = out[v, 1] - hinge[1], out[v, 2] - hinge[2]
        out[v, 1] = hinge[1] + c * y - s * z + share * slide[1]
        out[v, 2] = hinge[2] + s * y + c * z + share * slide[2]


@njit(cache=True)
def _follow_anchors(out, anchors, rest):
    for v in range(len(out)):
        a = anchors[v]
        if a >= 0:
            for k in range(3):
                out[v, k] = rest[v, k] + out[a, k] - rest[a, k]


@njit(cache=True)
def _place(out, normals, joints, rotation, body, shift, pivot):
    for v in range(len(out)):
        turn = body if joints[v] == BODY else rotation
        follow = np.float32(0.35) if joints[v] == BODY else np.float32(1.0)
        x, y, z = out[v, 0] - pivot[0], out[v, 1] - pivot[1], out[v, 2] - pivot[2]
        i, j, k = normals[v, 0], normals[v, 1], normals[v, 2]
        for axis in range(3):
            a, b, c = turn[axis, 0], turn[axis, 1], turn[axis, 2]
            out[v, axis] = a * x + b * y + c * z + pivot[axis] + follow * shift[axis]
            normals[v, axis] = a * i + b * j + c * k


@njit(cache=True)
def _add_patch(bump, slopes, row, column, strength):
    for i in range(slopes.shape[0]):
        for j in range(slopes.shape[1]):
            bump[row + i, column + j, 0] += strength * slopes[i, j, 0]
            bump[row + i, column + j, 1] += strength * slopes[i, j, 1]
