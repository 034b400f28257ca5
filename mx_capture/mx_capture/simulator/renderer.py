"""A software renderer for one head: z-buffer, deferred shading, anti-aliasing and optical blur.

Light is linear throughout. 1.0 is a white matte surface that faces a key light of strength 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from mx_capture.simulator.shading import HAIR, bilinear, blur, shade


@dataclass
class Surface:
    """What does not change from frame to frame of all the meshes in view, concatenated.

    `triangles` (F, 3) int32; `materials` (F,) uint8; `uv` (V, 2) float32; `colours` (V, 4) float32
    linear RGB and gloss (the tint of textured materials); `cover` (V,) float32 share of hair
    strands; `light` (V, 2) float32 ambient and key light that reach the vertex, 0 to 1.
    """

    triangles: np.ndarray
    materials: np.ndarray
    uv: np.ndarray
    colours: np.ndarray
    cover: np.ndarray
    light: np.ndarray


@dataclass
class Textures:
    """`skin` (T, T, 4) float32 linear RGB and gloss; `bump` (T, T, 2) float32 slopes along u and v;
    `eye` (3, E, E) float32; `strands` (T, T) float32 0..1."""

    skin: np.ndarray
    bump: np.ndarray
    eye: np.ndarray
    strands: np.ndarray


@dataclass(frozen=True)
class Lighting:
    """Directions point towards the light; colours are linear RGB."""

    key_direction: tuple[float, float, float]
    key_colour: tuple[float, float, float]
    fill_direction: tuple[float, float, float]
    fill_colour: tuple[float, float, float]
    sky_colour: tuple[float, float, float]
    ground_colour: tuple[float, float, float]

    def rows(self) -> np.ndarray:
        """(6, 3) float32 for the kernel, with unit directions."""
        rows = np.array(
            [
                self.key_direction,
                self.key_colour,
                self.fill_direction,
                self.fill_colour,
                self.sky_colour,
                self.ground_colour,
            ],
            np.float32,
        )
        rows[0] /= np.linalg.norm(rows[0])
        rows[2] /= np.linalg.norm(rows[2])
        return rows


@dataclass(frozen=True)
class Camera:
    """A pinhole `distance_cm` in front of the origin, looking along -z. Sizes in pixels."""

    height: int
    width: int
    focal_px: float
    distance_cm: float
    centre_x_px: float
    centre_y_px: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """(V, 3) cm to (V, 3) float32: x and y in pixels, inverse depth in 1/cm."""
        return _project(
            points,
            np.float32(self.focal_px),
            np.float32(self.distance_cm),
            np.float32(self.centre_x_px),
            np.float32(self.centre_y_px),
        )


class Renderer:
    """Draws a surface over a background. Keeps its buffers between frames."""

    def __init__(self, camera: Camera, samples: int = 2, blur_px: float = 0.6) -> None:
        self.camera = camera
        self.samples = samples
        height, width = camera.height, camera.width
        self._depth = np.zeros((height * samples, width * samples), np.float32)
        self._ids = np.full((height * samples, width * samples), -1, np.int32)
        self._taps = _gaussian_taps(blur_px)
        self._scratch = np.zeros((height, width, 3), np.float32)

    def draw(
        self,
        vertices: np.ndarray,
        normals: np.ndarray,
        head_axes: np.ndarray,
        surface: Surface,
        textures: Textures,
        lighting: np.ndarray,
        background: np.ndarray,
        image: np.ndarray,
    ) -> None:
        """Fill `image` (H, W, 3) float32 linear RGB.

        `vertices`, `normals` (V, 3) float32 in the world; `head_axes` (2, 3) float32 the head's x
        and y axes there; `lighting` from `Lighting.rows`; `background` (H, W, 3) float32, already
        blurred.
        """
        camera = self.camera
        screen = camera.project(vertices)
        margin = len(self._taps) // 2 + 1
        x0 = int(np.clip(np.floor(screen[:, 0].min()) - margin, 0, camera.width))
        x1 = int(np.clip(np.ceil(screen[:, 0].max()) + margin + 1, 0, camera.width))
        y0 = int(np.clip(np.floor(screen[:, 1].min()) - margin, 0, camera.height))
        y1 = int(np.clip(np.ceil(screen[:, 1].max()) + margin + 1, 0, camera.height))
        image[:] = background
        if x0 >= x1 or y0 >= y1:
            return
        box = (x0, y0, x1, y1)
        screen[:, :2] *= self.samples
        rasterise(
            screen,
            surface.triangles,
            surface.materials,
            surface.uv,
            surface.cover,
            textures.strands,
            self.samples,
            box,
            self._depth,
            self._ids,
        )
        shade(
            screen,
            normals,
            head_axes,
            surface.triangles,
            surface.materials,
            surface.uv,
            surface.colours,
            surface.light,
            textures.skin,
            textures.bump,
            textures.eye,
            textures.strands,
            lighting,
            self.samples,
            box,
            self._depth,
            self._ids,
            background,
            image,
        )
        blur(image, self._scratch, self._taps, box)


def _gaussian_taps(sigma: float) -> np.ndarray:
    if sigma < 0.2:
        return np.ones(1, np.float32)
    radius = max(1, int(np.ceil(2.5 * sigma)))
    at = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (at / sigma) ** 2)
    return (taps / taps.sum()).astype(np.float32)


@njit(cache=True)
def _project(points, focal, distance, centre_x, centre_y):
    screen = np.empty((len(points), 3), np.float32)
    for i in range(len(points)):
        inverse = np.float32(1.0) / (distance - points[i, 2])
        screen[i, 0] = centre_x + focal * points[i, 0] * inverse
        screen[i, 1] = centre_y - focal * points[i, 1] * inverse
        screen[i, 2] = inverse
    return screen


@njit(cache=True)
def vertex_normals(points, triangles, normals):
    """Fill `normals` (V, 3) float32 with unit normals, triangles weighted by their area."""
    normals[:] = 0
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ux = points[b, 0] - points[a, 0]
        uy = points[b, 1] - points[a, 1]
        uz = points[b, 2] - points[a, 2]
        vx = points[c, 0] - points[a, 0]
        vy = points[c, 1] - points[a, 1]
        vz = points[c, 2] - points[a, 2]
        nx = uy * vz - uz * vy
        ny = uz * vx - ux * vz
        nz = ux * vy - uy * vx
        for k in (a, b, c):
            normals[k, 0] += nx
            normals[k, 1] += ny
            normals[k, 2] += nz
    for i in range(len(points)):
        length = np.sqrt(normals[i, 0] ** 2 + normals[i, 1] ** 2 + normals[i, 2] ** 2)
        if length > 0:
            normals[i, 0] /= length
            normals[i, 1] /= length
            normals[i, 2] /= length


@njit(cache=True, fastmath=True, error_model="numpy")
def rasterise(screen, triangles, materials, uv, cover, strands, samples, box, depth, ids):
    x_low, y_low = box[0] * samples, box[1] * samples
    x_high, y_high = box[2] * samples, box[3] * samples
    zero, one, half = np.float32(0.0), np.float32(1.0), np.float32(0.5)
    part = one / np.float32(samples)
    shifts = np.empty(x_high - x_low, np.float32)
    for x in range(x_low, x_high):
        shifts[x - x_low] = (np.float32(x % samples) + half) * part
    for y in range(y_low, y_high):
        for x in range(x_low, x_high):
            depth[y, x] = zero
            ids[y, x] = -1
    size = np.float32(strands.shape[0])
    for f in range(len(triangles)):
        a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
        ax, ay = screen[a, 0], screen[a, 1]
        bx, by = screen[b, 0], screen[b, 1]
        cx, cy = screen[c, 0], screen[c, 1]
        # y points down on the screen, so a face that looks at the camera has a negative area.
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area >= zero:
            continue
        left = max(x_low, int(np.floor(min(ax, bx, cx))))
        right = min(x_high - 1, int(np.floor(max(ax, bx, cx))))
        top = max(y_low, int(np.floor(min(ay, by, cy))))
        bottom = min(y_high - 1, int(np.floor(max(ay, by, cy))))
        if left > right or top > bottom:
            continue
        hair = materials[f] == HAIR
        if hair and max(cover[a], cover[b], cover[c]) <= zero:
            continue
        inverse = one / area
        # Barycentric weights of b and c are linear in x and y.
        wb_x, wb_y = (cy - ay) * inverse, -(cx - ax) * inverse
        wc_x, wc_y = -(by - ay) * inverse, (bx - ax) * inverse
        za = screen[a, 2]
        zb, zc = screen[b, 2] - za, screen[c, 2] - za
        for y in range(top, bottom + 1):
            # Every sample of a pixel has its own column and row: upright and level edges, which
            # faces are full of, pass over the samples one at a time.
            offset_x = (np.float32(y % samples) + half) * part - ax
            offset_y = np.float32(y) - ay
            for x in range(left, right + 1):
                across = np.float32(x) + offset_x
                down = offset_y + shifts[x - x_low]
                wb = wb_x * across + wb_y * down
                wc = wc_x * across + wc_y * down
                if wb >= zero and wc >= zero and wb + wc <= one:
                    z = za + wb * zb + wc * zc
                    if z > depth[y, x]:
                        keep = True
                        if hair:
                            wa = one - wb - wc
                            share = wa * cover[a] + wb * cover[b] + wc * cover[c]
                            u = wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0]
                            v = wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1]
                            keep = bilinear(strands, size, u, v) < share
                        if keep:
                            depth[y, x] = z
                            ids[y, x] = f
