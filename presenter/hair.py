"""Hair drawn back from a side parting into a knot at the nape, grown strand by strand over the skull.

Tied hair leaves cheeks, jaw and collar free: nothing that moves with the mouth is hidden or crossed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from presenter.geometry import (
    Float,
    Int,
    bump,
    normalised,
    on_triangles,
    scatter_on_triangles,
    smoothstep,
    triangles_of,
    vertex_normals,
)
from presenter.head import Person

SKULL_CENTRE = np.array([0, 6.98, 0.36])
KNOT = np.array([0.0, 6.50, -0.66])  # behind the nape, out of the camera's sight
STRANDS, GUIDES, STEPS = 14000, 900, 18
PARTING_X = 0.20
# Lowest elevation (degrees, about SKULL_CENTRE) with hair, by azimuth from straight ahead.
HAIRLINE_AZIMUTH_DEG = (0, 15, 30, 42, 52, 58, 64, 70, 76, 82, 92, 104, 115, 135, 160, 180)
HAIRLINE_ELEVATION_DEG = (28, 28, 26.5, 23, 16, 10, 4, 0, -3, -3, 2, -4, -20, -34, -42, -44)


def azimuth_elevation_deg(points: Float) -> tuple[Float, Float]:
    """Direction of places on the head as seen from the skull's centre; azimuth has no sign."""
    x, y, z = np.moveaxis(points - SKULL_CENTRE, -1, 0)
    radius = np.linalg.norm(points - SKULL_CENTRE, axis=-1)
    return np.degrees(np.arctan2(np.abs(x), z)), np.degrees(np.arcsin(y / radius))


def hair_cover(points: Float, softness_deg: float, receding_deg: float = 0.0) -> Float:
    """How much of the scalp carries hair, 0 on the face to 1; soft along the hairline, never on the ears."""
    azimuth, elevation = azimuth_elevation_deg(points)
    line = np.interp(azimuth, HAIRLINE_AZIMUTH_DEG, HAIRLINE_ELEVATION_DEG)
    if receding_deg:  # most at the temples, not at all beside the ears
        line = line + receding_deg * np.interp(azimuth, (0, 25, 50, 75), (0.5, 1, 0.8, 0))
    x, y, _ = np.moveaxis(points, -1, 0)
    ear = (np.abs(x) > 0.68) & (y < 6.95) & (y > 6.2)
    return np.asarray(smoothstep(-softness_deg, softness_deg, elevation - line) * (y > 5.9) * ~ear)


@dataclass(frozen=True)
class _Skull:
    """The head's outer surface without the ears, to be followed at a distance."""

    tree: cKDTree
    points: Float
    normals: Float

    def height_and_normal(self, places: Float) -> tuple[Float, Float]:
        """Signed distance from the surface, and the surface's direction there."""
        distance, near = self.tree.query(places, k=4)
        weight: Float = 1 / (np.asarray(distance) + 0.02)
        weight /= weight.sum(1, keepdims=True)
        offsets = ((places[:, None] - self.points[near]) * self.normals[near]).sum(2)
        normal = normalised((self.normals[near] * weight[..., None]).sum(1))
        return (offsets * weight).sum(1), normal


def _skull(person: Person, normals: Float) -> _Skull:
    vertices = np.unique(person.body_quads_Q4)
    x, y, z = person.rest_V3[vertices].T
    ear = (np.abs(x) > 0.60) & (y > 6.0) & (y < 7.15) & (z < 1.0) & (z > -0.25)
    outer = ((person.rest_V3[vertices] - [0, 6.7, 0.45]) * normals[vertices]).sum(1) > 0
    kept = vertices[~ear & outer]
    return _Skull(cKDTree(person.rest_V3[kept]), person.rest_V3[kept], normals[kept])


def _parting_side(points: Float) -> Float:
    """+1 where hair falls to her left, -1 to her right."""
    line = PARTING_X - 0.16 * smoothstep(1.0, 0.0, points[:, 2])
    return np.where(points[:, 0] > line, 1.0, -1.0)


def _direction(places: Float, normal: Float, side: Float, begun: Float) -> Float:
    """Where hair runs at a place: off the parting sideways first, then back to the knot."""
    to_knot = normalised(KNOT - places)
    off_parting = np.abs(places[:, 0] - PARTING_X + 0.16 * smoothstep(1.0, 0.0, places[:, 2]))
    sideways = smoothstep(0.55, 0.0, off_parting) * smoothstep(7.0, 7.5, places[:, 1])
    away = normalised(np.stack([side, np.zeros_like(side), np.full_like(side, -0.55)], 1))
    wanted = to_knot + (2.0 * sideways * (1 - 0.6 * begun))[:, None] * away
    # In front of the ears hair first falls over the temple, then runs back across the top of the ear.
    temple = smoothstep(0.35, 0.8, places[:, 2]) * (1 - sideways) * smoothstep(6.75, 7.1, places[:, 1])
    wanted += temple[:, None] * np.array([0, -0.75, -0.22])
    return normalised(wanted - (wanted * normal).sum(1, keepdims=True) * normal)


def _over_ear(places: Float) -> Float:
    """Extra height above the skull (which has no ears here) that carries hair over the top of an ear."""
    x, y, z = places.T
    return np.asarray(0.035 * bump(y, 6.62, 0.28) * bump(z, 0.30, 0.34) * smoothstep(0.4, 0.6, np.abs(x)))


def _grow(roots: Float, normals: Float, random_N3: Float, skull: _Skull, cropped: float) -> Float:
    """Strands (N, STEPS, 3) from their roots, following the skull at their own height; cropped ones end early."""
    radius = np.linalg.norm(roots - SKULL_CENTRE, axis=1)
    cosine = (normalised(roots - SKULL_CENTRE) * normalised(KNOT - SKULL_CENTRE)).sum(1)
    length = np.clip(radius * np.arccos(np.clip(cosine, -1, 1)) * (1.08 + 0.1 * random_N3[:, 0]), 0.15, None)
    length = length * (1 - 0.8 * cropped)
    side, step = _parting_side(roots), length / (STEPS - 1)
    top = smoothstep(6.9, 7.7, roots[:, 1])
    height = (0.025 + 0.055 * random_N3[:, 1] + 0.02 * top * random_N3[:, 1]) * (1 - 0.5 * cropped)
    place, heading = roots - normals * 0.006, _direction(roots, normals, side, np.zeros(len(roots)))
    points = [place]
    for k in range(1, STEPS):
        begun = np.full(len(roots), k / (STEPS - 1))
        above, normal = skull.height_and_normal(place)
        heading = normalised(0.55 * heading + 0.45 * _direction(place, normal, side, begun))
        place = place + heading * step[:, None]
        wanted = height * smoothstep(0, 0.35, begun * length) + 0.004 + _over_ear(place)
        above, normal = skull.height_and_normal(place)
        place = place + normal * np.clip(wanted - above, -0.05, 0.08)[:, None]
        # Beside the ears the skull's surface is not known well: stay close to the head there.
        widest = 0.715 + height
        place[:, 0] = np.clip(place[:, 0], -widest, widest)
        points.append(place)
    return np.stack(points, 1)


def _clumped(strands: Float, roots: Float, guides: Float, guide_roots: Float, rng: np.random.Generator) -> Float:
    """Pull strands towards their nearest guide, so that they run in locks."""
    sides, guide_sides = 2 * _parting_side(roots), 2 * _parting_side(guide_roots)
    _, nearest = cKDTree(np.c_[guide_roots, guide_sides]).query(np.c_[roots, sides])
    along = np.linspace(0, 1, strands.shape[1])[None, :, None]
    pull = (0.15 + 0.45 * rng.random(len(roots)))[:, None, None] * smoothstep(0.05, 0.8, along)
    lock = guides[nearest] + (roots - guide_roots[nearest])[:, None] * (1 - 0.6 * along)
    phase = rng.random((len(roots), 1, 3)) * 2 * np.pi
    wave = 0.009 * rng.random(len(roots))[:, None, None] * along * np.sin(11 * along + phase)
    return strands * (1 - pull) + lock * pull + wave


def _flyaways(strands: Float, rng: np.random.Generator) -> None:
    """Let a few strands leave the lock; in place."""
    loose = np.flatnonzero(rng.random(len(strands)) < 0.015)
    along = np.linspace(0, 1, strands.shape[1])[None, :, None]
    arch = np.sin(np.pi * along) * smoothstep(0, 0.3, along)
    outwards = normalised(strands[loose, STEPS // 3] - SKULL_CENTRE)[:, None]
    strands[loose] += arch * (
        outwards * 0.03 * rng.random((len(loose), 1, 1)) + rng.normal(0, 0.012, (len(loose), 1, 3))
    )


def _fine_hairs(strands: Float, roots: Float, rng: np.random.Generator) -> None:
    """Shorten the hairs at the very edge of the hairline, as short hair grows there; in place."""
    cover = hair_cover(roots, 7.0)
    short = np.flatnonzero((cover < 0.62) & (rng.random(len(roots)) < 0.75))
    share = 0.12 + 0.5 * rng.random(len(short))[:, None] * cover[short, None] / 0.62
    at = np.linspace(0, 1, strands.shape[1])[None] * share * (strands.shape[1] - 1)
    row = np.minimum(at.astype(int), strands.shape[1] - 2)
    mix = (at - row)[..., None]
    strand = short[:, None]
    strands[short] = strands[strand, row] * (1 - mix) + strands[strand, row + 1] * mix


def seen_from_front(strands_NK3: Float) -> NDArray[np.bool_]:
    """Which strands reach around to where the camera may see them, whichever way the head turns in speech."""
    return np.asarray((strands_NK3[..., 2] > SKULL_CENTRE[2] - 0.25).any(1))


def grow_hair(person: Person, seed: int = 3, count: int = STRANDS) -> tuple[Float, Float]:
    """Grow the hair on the head at rest.

    Returns:
        points (count, STEPS, 3) and half widths (count, STEPS), decimetres.
    """
    rng = np.random.default_rng(seed)
    triangles: Int = triangles_of(person.body_quads_Q4)
    normals = vertex_normals(person.rest_V3, triangles)
    density = hair_cover(person.rest_V3[triangles].mean(1), 7.0)
    skull = _skull(person, normals)

    def roots(number: int) -> tuple[Float, Float]:
        where = scatter_on_triangles(person.rest_V3, triangles, density, number, rng)
        places = on_triangles(person.rest_V3, triangles, *where)
        return places, normalised(on_triangles(normals, triangles, *where))

    guide_roots, guide_normals = roots(GUIDES)
    cropped = person.look.cropped
    guides = _grow(guide_roots, guide_normals, rng.random((GUIDES, 3)), skull, cropped)
    strand_roots, strand_normals = roots(count)
    strands = _grow(strand_roots, strand_normals, rng.random((count, 3)), skull, cropped)
    strands = _clumped(strands, strand_roots, guides, guide_roots, rng)
    _flyaways(strands, rng)
    _fine_hairs(strands, strand_roots, rng)
    along = np.interp(np.linspace(0, 1, STEPS), [0, 0.12, 0.8, 1], [0.55, 1, 1, 0.35])
    widths = 0.0022 * rng.uniform(0.8, 1.25, (count, 1)) * along
    return strands, widths
