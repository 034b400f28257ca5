"""A person's head as it is drawn: all meshes together, posed by Action Units, gaze and rotation."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from mx_capture.simulator import anatomy, hair, renderer, shading, skin
from mx_capture.simulator import mesh as head_mesh
from mx_capture.simulator.action_units import UNITS, displacement_fields, jaw_weights
from mx_capture.simulator.anatomy import BODY, JAW
from mx_capture.simulator.brush import PAINT_SIZE
from mx_capture.simulator.identity import Identity, ShapeField, shape_field
from mx_capture.simulator.lids import find_lids
from mx_capture.simulator.occlusion import bake_light
from mx_capture.simulator.wrinkles import WrinkleMap

UNIT_ORDER = tuple(sorted(UNITS))
"""Rows of `Pose.units`."""

_NECK = np.array([0.0, -6.0, -3.0])
_JAW_HINGE = np.array([0.0, 0.3, -2.2], np.float32)
# The condyles slide forwards and down as the jaw opens (Travers et al. 2000).
_JAW_SLIDE_CM = np.array([0.0, -0.35, 1.15], np.float32)


@dataclass
class Pose:
    """`units` (U, 2) activation 0..1 of each of UNIT_ORDER on the right and the left side;
    `gaze` (2,) and `rotation` (3,) radians: yaw to the subject's left, pitch up, roll; `shift` (3,)
    cm."""

    units: np.ndarray = field(default_factory=lambda: np.zeros((len(UNIT_ORDER), 2)))
    gaze: np.ndarray = field(default_factory=lambda: np.zeros(2))
    rotation: np.ndarray = field(default_factory=lambda: np.zeros(3))
    shift: np.ndarray = field(default_factory=lambda: np.zeros(3))


class Head:
    """One person, ready to be posed and drawn.

    `level` is the subdivision of the mesh, `texture_size` about the texels across the skin,
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
        self._lids = [
            find_lids(mesh, side, self._centres[side], identity.eye_opening) for side in (0, 1)
        ]
        for lids in self._lids:
            lids.settle(self._rest)
        self._rest_normals()
        factor = max(1, PAINT_SIZE // texture_size)
        texture_size = PAINT_SIZE // factor
        painted = skin.paint_skin(identity, hair.scalp_shadow(identity), factor)
        self._relief = painted.relief
        self._wrinkles = painted.wrinkles
        self._wrinkled: list[WrinkleMap] = []
        self.textures = renderer.Textures(
            painted.colour,
            painted.relief.copy(),
            anatomy.eye_texture(identity, texture_size),
            hair.strand_texture(identity, texture_size),
        )
        self.surface.light = bake_light(
            self._rest, self._rest_normal, self.surface, key_direction, self._skin_triangles
        )
        self._eye_shadow = [
            float(np.percentile(self.surface.light[eye, 1], 80)) for eye in self._eyes
        ]

    # --- building -----------------------------------------------------------------------------

    def _unit_fields(self, mesh: head_mesh.HeadMesh, shape: ShapeField) -> np.ndarray:
        """(U, 2, V, 3) float32 displacement of the skin in cm, with this person's habits."""
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
        materials = [np.where(mesh.materials[seen] == head_mesh.MOUTH, shading.MOUTH, shading.SKIN)]
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
        self._eyes = [
            next(where for part, where in self._slices if part.joint == joint)
            for joint in (anatomy.RIGHT_EYE, anatomy.LEFT_EYE)
        ]
        return renderer.Surface(
            np.ascontiguousarray(np.concatenate(triangles), np.int32),
            np.concatenate(materials).astype(np.uint8),
            np.concatenate(all_uv).astype(np.float32),
            np.concatenate(all_colours).astype(np.float32),
            np.concatenate(all_cover).astype(np.float32),
            np.ones((count, 2), np.float32),
        )

    def _rest_normals(self) -> None:
        normals = np.zeros_like(self._rest)
        renderer.vertex_normals(self._rest, self.surface.triangles, normals)
        for part, where in self._slices:
            if part.material == shading.HAIR:
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
        closed = self._close_lids(out, units, pose.gaze)
        _add_fields(out, self._fields, units)
        for lids in self._lids:
            lids.keep_outside(out)
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
            eye = self._eyes[side]
            out[eye] = (self._rest[eye] - lids.centre) @ turn.T + lids.centre
            normals[eye] = self._rest_normal[eye] @ turn.T
            shade = lids.shade(out[eye], closed[side])
            self.surface.light[eye, 0] = shade
            self.surface.light[eye, 1] = shade * self._eye_shadow[side]
        self._wrinkle(units)
        rotation = _rotation(*pose.rotation).astype(np.float32)
        body = _rotation(*(0.15 * np.asarray(pose.rotation))).astype(np.float32)
        shift = np.asarray(pose.shift, np.float32)
        pivot = _NECK.astype(np.float32)
        _place(out, normals, self._joints, rotation, body, shift, pivot)
        return out, normals, np.ascontiguousarray(rotation.T[:2])

    def _close_lids(self, out: np.ndarray, units: np.ndarray, gaze: np.ndarray) -> list[float]:
        """Turn the lids; returns how far the upper ones are closed."""
        shares = []
        for side, lids in enumerate(self._lids):
            upper = sum(UNITS[u].upper_lid * units[i, side] for i, u in enumerate(UNIT_ORDER))
            lower = sum(UNITS[u].lower_lid * units[i, side] for i, u in enumerate(UNIT_ORDER))
            # The upper lid follows the gaze up and down.
            upper = upper - 0.75 * np.clip(gaze[1], -0.5, 0.3) * (1 - units[-1, side])
            lower = min(lower, 0.35)
            upper = float(min(upper, 1.0 - lower))
            lids.close(out, upper, lower)
            shares.append(upper)
        return shares

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


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Turn towards +x by yaw, up by pitch, and tilt by roll (radians)."""
    cy, sy, cp, sp, cr, sr = (
        np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll),
    )  # fmt: skip
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


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
