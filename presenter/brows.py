"""Eyebrows: fine hairs rooted on the moving skin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import (
    Float,
    Int,
    normalised,
    on_triangles,
    scatter_on_triangles,
    triangles_of,
    vertex_normals,
)
from presenter.head import Person

HAIRS_PER_BROW = 620
# The brow's centre line and half height, relative to the eye's centre (x outwards, y up), decimetres.
BROW_X = np.array([-0.150, -0.06, 0.06, 0.16, 0.23, 0.295])
BROW_Y = np.array([0.222, 0.244, 0.266, 0.274, 0.250, 0.212])
BROW_HALF_HEIGHT = np.array([0.027, 0.033, 0.030, 0.023, 0.015, 0.006])


def brow_cover(points: Float, eye_centre: Float) -> Float:
    """How much of a place belongs to a brow, 0 to 1 with soft edges."""
    x, y = np.abs(points[..., 0]) - eye_centre[0], points[..., 1] - eye_centre[1]
    across = (y - np.interp(x, BROW_X, BROW_Y)) / np.interp(x, BROW_X, BROW_HALF_HEIGHT)
    inside = np.interp(x, BROW_X[[0, 0, 1, 3, 5]] + [-0.02, 0.0, 0, 0, 0.01], [0, 0.45, 1, 1, 0.15])
    inside = inside * ((x > BROW_X[0] - 0.02) & (x < BROW_X[-1] + 0.01))
    front = points[..., 2] > 0.8
    return np.asarray(np.exp(-1.6 * np.abs(across) ** 2.4) * inside * front)


@dataclass(frozen=True)
class Brows:
    """Hairs by the triangle they stand on, and how they leave it."""

    triangle_F3: Int
    chosen_N: Int
    barycentric_N3: Float
    direction_N3: Float
    normal_N3: Float
    length_N: Float
    width_N: Float  # half width, decimetres

    def points(self, vertices_V3: Float, count: int = 5) -> Float:
        """Points (N, count, 3) of the hairs on a deformed face, before the head turns."""
        roots = on_triangles(vertices_V3, self.triangle_F3, self.chosen_N, self.barycentric_N3)[:, None]
        along = np.linspace(0, 1, count)[None, :, None]
        lift = 0.003 + 0.010 * np.sin(2.4 * along)
        reach = (self.direction_N3 * self.length_N[:, None])[:, None]
        return np.asarray(roots + reach * along + self.normal_N3[:, None] * lift)


def build_brows(person: Person, seed: int = 5) -> Brows:
    """Scatter the hairs of both brows."""
    rng = np.random.default_rng(seed)
    rest, triangles = person.rest_V3, triangles_of(person.body_quads_Q4)
    normals = vertex_normals(rest, triangles)
    eye_centre, _ = person.eye("left")
    centre = rest[triangles].mean(1)
    above_eye = centre[:, 1] - eye_centre[1]
    near = ((centre[:, 2] > 0.8) & (above_eye > 0.1) & (above_eye < 0.45)).astype(float)
    chosen, barycentric = scatter_on_triangles(rest, triangles, near, HAIRS_PER_BROW * 60, rng)
    roots = on_triangles(rest, triangles, chosen, barycentric)
    kept = np.flatnonzero(rng.random(len(roots)) < brow_cover(roots, eye_centre))[: 2 * HAIRS_PER_BROW]
    chosen, barycentric, roots = chosen[kept], barycentric[kept], roots[kept]
    side, x = np.sign(roots[:, 0]), np.abs(roots[:, 0]) - eye_centre[0]
    across = (roots[:, 1] - eye_centre[1] - np.interp(x, BROW_X, BROW_Y)) / np.interp(x, BROW_X, BROW_HALF_HEIGHT)
    slope = np.interp(x, BROW_X[:-1], np.diff(BROW_Y) / np.diff(BROW_X))
    upwards = np.interp(x, [-0.15, -0.05, 0.1, 0.3], [1.2, 0.6, 0.18, -0.05]) - 0.22 * across
    normal = normalised(on_triangles(normals, triangles, chosen, barycentric))
    direction = np.stack([side, slope + upwards, 0 * x], 1)
    direction = normalised(direction - (direction * normal).sum(1, keepdims=True) * normal)
    direction = normalised(direction + rng.normal(0, 0.13, direction.shape))
    length = np.interp(x, [-0.15, -0.08, 0.1, 0.3], [0.040, 0.062, 0.066, 0.045]) * rng.uniform(0.6, 1.2, len(x))
    width = 0.00075 * rng.uniform(0.7, 1.3, len(x))
    return Brows(triangles, chosen, barycentric, direction, normal, length, width)
