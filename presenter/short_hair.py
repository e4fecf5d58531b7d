"""Short hair: strands that rise from the scalp and bend back and to the side along it."""

from __future__ import annotations

import numpy as np

from presenter.geometry import (
    Float,
    normalised,
    on_triangles,
    scatter_on_triangles,
    smoothstep,
    triangles_of,
    vertex_normals,
)
from presenter.hair import SKULL_CENTRE, hair_cover
from presenter.head import Person

STRANDS, STEPS = 26000, 7
SKULL_RADIUS = 0.85  # decimetres, for how strands follow the curve
SOFTNESS_DEG = 6.0


def grow_short_hair(person: Person, seed: int = 3, count: int = STRANDS) -> tuple[Float, Float]:
    """Grow the hair on the head at rest, as long as the look says (shorter at the sides).

    Returns:
        points (count, STEPS, 3) and half widths (count, STEPS), decimetres.
    """
    rng = np.random.default_rng(seed)
    look, rest = person.look, person.rest_V3
    triangles = triangles_of(person.body_quads_Q4)
    normals = vertex_normals(rest, triangles)
    density = hair_cover(rest[triangles].mean(1), SOFTNESS_DEG, look.receding_deg)
    chosen, barycentric = scatter_on_triangles(rest, triangles, density, count, rng)
    roots = on_triangles(rest, triangles, chosen, barycentric)
    normal = normalised(on_triangles(normals, triangles, chosen, barycentric))
    cover = hair_cover(roots, SOFTNESS_DEG, look.receding_deg)
    top = smoothstep(6.95, 7.5, roots[:, 1])
    side = np.sign(roots[:, 0] - 0.2)  # parted a little to the left
    comb = np.stack([0.55 * top * side, -0.9 * (1 - top), -0.35 - 0.25 * top], 1)
    comb += rng.normal(0, 0.22, comb.shape)
    tangent = normalised(comb - (comb * normal).sum(1, keepdims=True) * normal)
    length = look.short_dm * (0.40 + 0.60 * top) * rng.uniform(0.65, 1.15, count) * (0.35 + 0.65 * cover)
    along = np.linspace(0, 1, STEPS)[None, :, None]
    reach = length[:, None, None]
    rise = (0.30 + 0.35 * top * rng.random(count))[:, None, None] * along * (1 - 0.45 * along)
    follow = (along * reach) ** 2 / (2 * SKULL_RADIUS)
    points = (roots - 0.004 * normal)[:, None] + tangent[:, None] * along * reach
    points = points + normal[:, None] * (rise * reach - follow + 0.004)
    widths = 0.0021 * rng.uniform(0.8, 1.25, (count, 1)) * np.interp(np.linspace(0, 1, STEPS), [0, 0.6, 1], [1, 1, 0.4])
    return np.asarray(points), np.asarray(widths)


def seen_from_front(strands_NK3: Float) -> np.ndarray:
    """Which strands the camera may see; short ones at the back of the head never."""
    return np.asarray((strands_NK3[..., 2] > SKULL_CENTRE[2] - 0.35).any(1))
