"""What each pixel looks like: textures, skin that scatters light, highlights, a lens that blurs."""

from __future__ import annotations

import numpy as np
from numba import njit

SKIN, MOUTH, EYE, HAIR, PLAIN = range(5)
TEXTURE_EXTENT = 1.7
"""Texture coordinates from -1.7 to 1.7 radians span the skin and hair textures."""
_PER_EXTENT = np.float32(1 / (2 * TEXTURE_EXTENT))


@njit(inline="always")
def bilinear(texture, size, u, v):
    """A value of a square texture of `size` texels at texture coordinates."""
    half, one, zero = np.float32(0.5), np.float32(1.0), np.float32(0.0)
    column = min(max(size * (half + u * _PER_EXTENT) - half, zero), size - np.float32(1.001))
    row = min(max(size * (half - v * _PER_EXTENT) - half, zero), size - np.float32(1.001))
    j, i = np.uint32(column), np.uint32(row)
    s, t = column - np.float32(j), row - np.float32(i)
    above = (one - s) * texture[i, j] + s * texture[i, j + 1]
    below = (one - s) * texture[i + 1, j] + s * texture[i + 1, j + 1]
    return (one - t) * above + t * below


@njit(inline="always")
def _lobe(across, kind):
    """A highlight at this cosine: exponents 8 and 24 on skin, 32 on hair, 192 on eyes."""
    square = across * across
    p4 = square * square
    p8 = p4 * p4
    p16 = p8 * p8
    if kind == SKIN:
        return np.float32(0.35) * p16 * p8 + np.float32(0.12) * p8
    if kind == HAIR:
        return np.float32(0.4) * p16 * p16
    if kind == EYE:
        p64 = p16 * p16 * p16 * p16
        return p64 * p64 * p64
    return p16 * p8


@njit(cache=True, fastmath=True, error_model="numpy")
def _shade_point(
    x, y, f, screen, normals, axes, triangles, materials, uv, colours, light,
    skin, bump, eye, strands, lamps, out,
):  # fmt: skip
    """Radiance towards the camera at the sample position (x, y) of triangle f, into `out`."""
    # Integers would turn single precision into double, at half the speed.
    one, half = np.float32(1.0), np.float32(0.5)
    a, b, c = triangles[f, 0], triangles[f, 1], triangles[f, 2]
    ax, ay = screen[a, 0], screen[a, 1]
    ux, uy = screen[b, 0] - ax, screen[b, 1] - ay
    vx, vy = screen[c, 0] - ax, screen[c, 1] - ay
    inverse = one / (ux * vy - uy * vx)
    px, py = x - ax, y - ay
    wb = min(max((px * vy - py * vx) * inverse, np.float32(-0.5)), np.float32(1.5))
    wc = min(max((ux * py - uy * px) * inverse, np.float32(-0.5)), np.float32(1.5))
    wa = np.float32(1.0) - wb - wc

    nx = wa * normals[a, 0] + wb * normals[b, 0] + wc * normals[c, 0]
    ny = wa * normals[a, 1] + wb * normals[b, 1] + wc * normals[c, 1]
    nz = wa * normals[a, 2] + wb * normals[b, 2] + wc * normals[c, 2]
    red = wa * colours[a, 0] + wb * colours[b, 0] + wc * colours[c, 0]
    green = wa * colours[a, 1] + wb * colours[b, 1] + wc * colours[c, 1]
    blue = wa * colours[a, 2] + wb * colours[b, 2] + wc * colours[c, 2]
    gloss = wa * colours[a, 3] + wb * colours[b, 3] + wc * colours[c, 3]
    ambient = wa * light[a, 0] + wb * light[b, 0] + wc * light[c, 0]
    shadow = wa * light[a, 1] + wb * light[b, 1] + wc * light[c, 1]
    ambient = min(max(ambient, np.float32(0.0)), np.float32(1.0))
    shadow = min(max(shadow, np.float32(0.0)), np.float32(1.0))
    u = wa * uv[a, 0] + wb * uv[b, 0] + wc * uv[c, 0]
    v = wa * uv[a, 1] + wb * uv[b, 1] + wc * uv[c, 1]

    material = materials[f]
    wrap_r = wrap_g = wrap_b = np.float32(0.05)
    if material == SKIN:
        size = np.float32(skin.shape[0])
        column = size * (half + u * _PER_EXTENT) - half
        row = size * (half - v * _PER_EXTENT) - half
        column = min(max(column, np.float32(0.0)), size - np.float32(1.001))
        row = min(max(row, np.float32(0.0)), size - np.float32(1.001))
        j, i = np.uint32(column), np.uint32(row)
        s, t = column - np.float32(j), row - np.float32(i)
        w00, w01 = (one - s) * (one - t), s * (one - t)
        w10, w11 = (one - s) * t, s * t
        texel = w00 * skin[i, j, 0] + w01 * skin[i, j + 1, 0]
        texel += w10 * skin[i + 1, j, 0] + w11 * skin[i + 1, j + 1, 0]
        red *= texel
        texel = w00 * skin[i, j, 1] + w01 * skin[i, j + 1, 1]
        texel += w10 * skin[i + 1, j, 1] + w11 * skin[i + 1, j + 1, 1]
        green *= texel
        texel = w00 * skin[i, j, 2] + w01 * skin[i, j + 1, 2]
        texel += w10 * skin[i + 1, j, 2] + w11 * skin[i + 1, j + 1, 2]
        blue *= texel
        texel = w00 * skin[i, j, 3] + w01 * skin[i, j + 1, 3]
        texel += w10 * skin[i + 1, j, 3] + w11 * skin[i + 1, j + 1, 3]
        gloss *= texel
        along_u = w00 * bump[i, j, 0] + w01 * bump[i, j + 1, 0]
        along_u += w10 * bump[i + 1, j, 0] + w11 * bump[i + 1, j + 1, 0]
        along_v = w00 * bump[i, j, 1] + w01 * bump[i, j + 1, 1]
        along_v += w10 * bump[i + 1, j, 1] + w11 * bump[i + 1, j + 1, 1]
        nx -= along_u * axes[0, 0] + along_v * axes[1, 0]
        ny -= along_u * axes[0, 1] + along_v * axes[1, 1]
        nz -= along_u * axes[0, 2] + along_v * axes[1, 2]
        # Light scatters under the skin and bleeds past the terminator, red the furthest.
        wrap_r, wrap_g, wrap_b = np.float32(0.38), np.float32(0.2), np.float32(0.14)
    elif material == EYE:
        # The eye's texture spans directions from -1 to 1.
        scale = np.float32(TEXTURE_EXTENT)
        size = np.float32(eye.shape[1])
        red *= bilinear(eye[0], size, u * scale, v * scale)
        green *= bilinear(eye[1], size, u * scale, v * scale)
        blue *= bilinear(eye[2], size, u * scale, v * scale)
        wrap_r = wrap_g = wrap_b = np.float32(0.4)
    elif material == HAIR:
        strand = bilinear(strands, np.float32(strands.shape[0]), u, v)
        tone = np.float32(0.45) + strand
        red *= tone
        green *= tone
        blue *= tone
        gloss *= half + strand
        wrap_r = wrap_g = wrap_b = np.float32(0.3)
        if nz < 0:
            nx, ny, nz = -nx, -ny, -nz
    length = np.float32(1.0) / np.sqrt(nx * nx + ny * ny + nz * nz + np.float32(1e-12))
    nx *= length
    ny *= length
    nz *= length

    out[0] = out[1] = out[2] = np.float32(0.0)
    up = np.float32(0.5) + np.float32(0.5) * ny
    for k in range(3):
        out[k] = ambient * (lamps[4, k] * up + lamps[5, k] * (np.float32(1.0) - up))
    rim = np.float32(1.0) - max(nz, np.float32(0.0))
    rim = rim * rim * rim
    specular_r = specular_g = specular_b = np.float32(0.0)
    for lamp in range(2):
        lx, ly, lz = lamps[2 * lamp, 0], lamps[2 * lamp, 1], lamps[2 * lamp, 2]
        facing = nx * lx + ny * ly + nz * lz
        visible = shadow if lamp == 0 else ambient
        soft = np.sqrt(visible)
        lit_r = max((facing + wrap_r) / (one + wrap_r), np.float32(0.0)) * soft
        lit_g = max((facing + wrap_g) / (one + wrap_g), np.float32(0.0)) * visible
        lit_b = max((facing + wrap_b) / (one + wrap_b), np.float32(0.0)) * visible
        if material != SKIN:
            lit_r = lit_b
        out[0] += lamps[2 * lamp + 1, 0] * lit_r
        out[1] += lamps[2 * lamp + 1, 1] * lit_g
        out[2] += lamps[2 * lamp + 1, 2] * lit_b
        if facing > 0:
            hz = lz + np.float32(1.0)
            scale = np.float32(1.0) / np.sqrt(lx * lx + ly * ly + hz * hz + np.float32(1e-9))
            across = (nx * lx + ny * ly + nz * hz) * scale
            if material == HAIR:
                # Strands run down the head: a highlight across them (Kajiya and Kay 1989).
                steep = axes[1, 0] * nx + axes[1, 1] * ny + axes[1, 2] * nz
                along = (axes[1, 0] * lx + axes[1, 1] * ly + axes[1, 2] * hz) * scale
                along = (along - steep * across) / np.sqrt(
                    max(one - steep * steep, np.float32(0.05))
                )
                across = np.sqrt(max(one - along * along, np.float32(0.0))) * max(
                    across, half * half
                )
            shine = _lobe(max(across, np.float32(0.0)), material)
            shine *= visible * gloss * (np.float32(1.0) + np.float32(2.0) * rim)
            specular_r += shine * lamps[2 * lamp + 1, 0]
            specular_g += shine * lamps[2 * lamp + 1, 1]
            specular_b += shine * lamps[2 * lamp + 1, 2]
    sheen = gloss * rim * ambient * np.float32(0.25)
    out[0] = out[0] * red + specular_r + sheen * lamps[4, 0]
    out[1] = out[1] * green + specular_g + sheen * lamps[4, 1]
    out[2] = out[2] * blue + specular_b + sheen * lamps[4, 2]


@njit(cache=True, fastmath=True, error_model="numpy")
def shade(
    screen, normals, axes, triangles, materials, uv, colours, light, skin, bump, eye, strands,
    lamps, samples, box, depth, ids, background, image,
):  # fmt: skip
    out = np.zeros(3, np.float32)
    share = np.float32(1.0) / np.float32(samples * samples)
    point = np.float32(0.5)
    part = np.float32(1.0) / np.float32(samples)
    half = np.float32(samples) * point
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            first = ids[y * samples, x * samples]
            uniform = first >= 0 and materials[first] != HAIR and materials[first] != EYE
            covered = 0
            near, far = np.float32(0.0), np.float32(1e9)
            for j in range(y * samples, (y + 1) * samples):
                for i in range(x * samples, (x + 1) * samples):
                    f = ids[j, i]
                    if f < 0:
                        uniform = False
                        continue
                    covered += 1
                    near = max(near, depth[j, i])
                    far = min(far, depth[j, i])
                    if uniform and materials[f] != materials[first]:
                        uniform = False
            if covered == 0:
                continue
            if uniform and near - far < np.float32(0.008) * near:
                # One smooth surface fills the pixel: its textures are already filtered to pixels.
                _shade_point(
                    np.float32(x * samples) + half, np.float32(y * samples) + half, first,
                    screen, normals, axes, triangles, materials, uv, colours, light,
                    skin, bump, eye, strands, lamps, out,
                )  # fmt: skip
                image[y, x, 0] = out[0]
                image[y, x, 1] = out[1]
                image[y, x, 2] = out[2]
                continue
            empty = np.float32(samples * samples - covered) * share
            red = background[y, x, 0] * empty
            green = background[y, x, 1] * empty
            blue = background[y, x, 2] * empty
            for j in range(y * samples, (y + 1) * samples):
                for i in range(x * samples, (x + 1) * samples):
                    f = ids[j, i]
                    if f < 0:
                        continue
                    _shade_point(
                        np.float32(i) + (np.float32(j % samples) + point) * part,
                        np.float32(j) + (np.float32(i % samples) + point) * part,
                        f, screen, normals, axes, triangles, materials, uv, colours, light,
                        skin, bump, eye, strands, lamps, out,
                    )  # fmt: skip
                    red += out[0] * share
                    green += out[1] * share
                    blue += out[2] * share
            image[y, x, 0] = red
            image[y, x, 1] = green
            image[y, x, 2] = blue


@njit(cache=True, fastmath=True)
def blur(image, scratch, taps, box):
    radius = len(taps) // 2
    if radius == 0:
        return
    width = image.shape[1]
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            red = green = blue = np.float32(0.0)
            for k in range(-radius, radius + 1):
                column = min(max(x + k, 0), width - 1)
                red += taps[k + radius] * image[y, column, 0]
                green += taps[k + radius] * image[y, column, 1]
                blue += taps[k + radius] * image[y, column, 2]
            scratch[y, x, 0] = red
            scratch[y, x, 1] = green
            scratch[y, x, 2] = blue
    for y in range(box[1], box[3]):
        for x in range(box[0], box[2]):
            red = green = blue = np.float32(0.0)
            for k in range(-radius, radius + 1):
                row = min(max(y + k, box[1]), box[3] - 1)
                red += taps[k + radius] * scratch[row, x, 0]
                green += taps[k + radius] * scratch[row, x, 1]
                blue += taps[k + radius] * scratch[row, x, 2]
            image[y, x, 0] = red
            image[y, x, 1] = green
            image[y, x, 2] = blue
