"""Loop subdivision of triangle meshes with creases."""

from __future__ import annotations

import numpy as np


def subdivide(
    shapes: list[np.ndarray],
    triangles: np.ndarray,
    materials: np.ndarray,
    creases: set[tuple[int, int]],
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray, set[tuple[int, int]]]:
    """One step of Loop's scheme with creases (Loop 1987; Hoppe et al. 1994).

    Returns shapes, triangles, materials and creases; the old vertices stay first.
    """
    count = len(shapes[0])
    sides = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    opposite = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    edges, which = np.unique(np.sort(sides, 1), axis=0, return_inverse=True)
    which = which.reshape(-1)
    uses = np.bincount(which, minlength=len(edges))
    marked = np.array([tuple(edge) in creases for edge in edges.tolist()])
    sharp = (uses != 2) | marked

    degree = np.bincount(edges.ravel(), minlength=count)
    sharp_degree = np.bincount(edges[sharp].ravel(), minlength=count)
    beta = (0.625 - (0.375 + 0.25 * np.cos(2 * np.pi / np.maximum(degree, 3))) ** 2) / np.maximum(
        degree, 1
    )
    result = []
    for shape in shapes:
        ends = shape[edges[:, 0]] + shape[edges[:, 1]]
        wings = np.zeros_like(ends)
        np.add.at(wings, which, shape[opposite])
        middle = np.where(sharp[:, None], ends / 2, 0.375 * ends + 0.125 * wings)
        around = np.zeros_like(shape)
        np.add.at(around, edges[:, 0], shape[edges[:, 1]])
        np.add.at(around, edges[:, 1], shape[edges[:, 0]])
        smooth = shape * (1 - degree * beta)[:, None] + around * beta[:, None]
        along = np.zeros_like(shape)
        np.add.at(along, edges[sharp, 0], shape[edges[sharp, 1]])
        np.add.at(along, edges[sharp, 1], shape[edges[sharp, 0]])
        crease = shape * 0.75 + along * 0.125
        kept = np.where((sharp_degree == 2)[:, None], crease, smooth)
        kept = np.where((sharp_degree > 2)[:, None], shape, kept)
        result.append(np.concatenate([kept, middle]))

    n = len(triangles)
    ab, bc, ca = count + which[:n], count + which[n : 2 * n], count + which[2 * n :]
    a, b, c = triangles.T
    finer = np.concatenate(
        [
            np.stack([a, ab, ca], 1),
            np.stack([ab, b, bc], 1),
            np.stack([ca, bc, c], 1),
            np.stack([ab, bc, ca], 1),
        ]
    )
    finer_creases = set()
    for index in np.flatnonzero(marked).tolist():
        first, second = edges[index].tolist()
        finer_creases |= {(first, count + index), (second, count + index)}
    return result, finer, np.tile(materials, 4), finer_creases
