"""A beard: short hairs rooted on the moving skin of chin, jaw and upper lip; never on the lips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from presenter.brows import Brows
from presenter.geometry import (
    Float,
    normalised,
    on_triangles,
    scatter_on_triangles,
    smoothstep,
    triangles_of,
    vertex_normals,
)
from presenter.head import Person
from presenter.mesh import read_mask, sample_mask

_OFF_LIPS_DM = 0.016  # hairs keep so far from the red
# The upper edge on cheek and temple, decimetres above the mouth's middle, by distance from the mid-line.
_EDGE_X = np.array([0.0, 0.10, 0.20, 0.30, 0.42, 0.55, 0.66, 0.74, 0.90])
_EDGE_Y = np.array([0.205, 0.195, 0.160, 0.120, 0.140, 0.260, 0.500, 0.700, 0.700])
_SOFT_DM = 0.035
_THROAT_DM = 0.36  # below the mouth the beard ends...
_BEHIND_Z = 0.42  # ...and in front of the ears


def lips_of(person: Person, data: Path) -> Float:
    """How red each vertex is, (V,), 0..1: MakeHuman's mask of the lips."""
    red = np.zeros(len(person.rest_V3))
    painted = sample_mask(read_mask(data, "lips"), person.uv_2).astype(float)
    painted /= max(float(painted.max()), 1e-9)
    np.maximum.at(red, person.body_quads_Q4.ravel(), painted[person.body_uv_quads_Q4.ravel()])
    return red


def beard_cover(points: Float, person: Person, lips_V: Float) -> Float:
    """How much of a place belongs to the beard, 0..1 with soft edges.

    Args:
        points: on the face at rest, (n, 3).
        lips_V: from `lips_of`.
    """
    mouth = person.rest_V3[person.landmarks["lip_inner_upper"]]
    x, y, z = np.abs(points[:, 0]), points[:, 1] - mouth[1], points[:, 2]
    below_edge = smoothstep(_SOFT_DM, -_SOFT_DM, y - np.interp(x, _EDGE_X, _EDGE_Y))
    above_throat = smoothstep(-_THROAT_DM - 0.06, -_THROAT_DM + 0.06, y + 0.25 * smoothstep(1.2, 0.7, z))
    in_front = smoothstep(_BEHIND_Z - 0.06, _BEHIND_Z + 0.06, z)
    lips = person.rest_V3[lips_V > 0.5]
    off = np.sqrt(((points[:, None] - lips[None]) ** 2).sum(2).min(1)) if len(lips) else np.full(len(points), 9.0)
    off_lips = smoothstep(_OFF_LIPS_DM * 0.4, _OFF_LIPS_DM * 1.6, off)
    inside = (y < 0.1) & (y > -0.15) & (x < 0.3) & (z < mouth[2] - 0.34)  # the mouth's own walls
    return np.asarray(below_edge * above_throat * in_front * off_lips * ~inside)


def build_beard(person: Person, data: Path, seed: int = 7) -> Brows:
    """Scatter the hairs; they hang down and a little outwards, shorter at the edges."""
    beard = person.look.beard
    assert beard is not None, person.look.name
    rng = np.random.default_rng(seed)
    rest, triangles = person.rest_V3, triangles_of(person.body_quads_Q4)
    normals, lips_V = vertex_normals(rest, triangles), lips_of(person, data)
    density = beard_cover(rest[triangles].mean(1), person, lips_V)
    chosen, barycentric = scatter_on_triangles(rest, triangles, density, 2 * beard.hairs, rng)
    roots = on_triangles(rest, triangles, chosen, barycentric)
    cover = beard_cover(roots, person, lips_V)
    kept = np.flatnonzero(rng.random(len(roots)) < cover)[: beard.hairs]
    chosen, barycentric, roots, cover = chosen[kept], barycentric[kept], roots[kept], cover[kept]
    normal = normalised(on_triangles(normals, triangles, chosen, barycentric))
    outwards = 0.35 * np.sign(roots[:, 0]) * smoothstep(0.0, 0.3, np.abs(roots[:, 0]))
    down = np.stack([outwards, -np.ones(len(roots)), np.zeros(len(roots))], 1)
    direction = normalised(down - (down * normal).sum(1, keepdims=True) * normal)
    direction = normalised(direction + rng.normal(0, 0.22, direction.shape) + 0.25 * normal)
    length = beard.length_dm * (0.35 + 0.65 * cover) * rng.uniform(0.6, 1.25, len(roots))
    width = 0.0010 * rng.uniform(0.7, 1.3, len(roots))
    return Brows(triangles, chosen, barycentric, direction, normal, length, width)
