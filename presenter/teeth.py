"""Teeth and gums, modelled here: rounded boxes along a dental arch fitted to MakeHuman's teeth helpers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, Int, bump, normalised, rotation, smoothstep
from presenter.head import Person


@dataclass(frozen=True)
class _Row:
    """One row of teeth, from the middle to the side; lengths in decimetres."""

    widths: tuple[float, ...]
    heights: tuple[float, ...]
    edge_below_lip_line: float  # of the central incisor
    edge_offsets: tuple[float, ...]  # of each tooth's edge, along the growing direction
    set_back: float  # of the incisors behind the helper's front
    lean: float  # of the crowns, radians
    gum_height: float  # of the gum's middle above the edge of the central incisor
    grows: int  # +1: the root is above the edge


UPPER = _Row(
    widths=(0.088, 0.068, 0.078, 0.070, 0.068, 0.100, 0.095),
    heights=(0.102, 0.090, 0.100, 0.086, 0.080, 0.074, 0.070),
    edge_below_lip_line=0.016,
    edge_offsets=(0.0, 0.008, 0.0, 0.014, 0.020, 0.026, 0.032),
    set_back=0.045,
    lean=0.10,
    gum_height=0.158,
    grows=1,
)
LOWER = _Row(
    widths=(0.056, 0.060, 0.068, 0.070, 0.072, 0.110, 0.100),
    heights=(0.088, 0.088, 0.096, 0.084, 0.078, 0.070, 0.070),
    edge_below_lip_line=0.046,
    edge_offsets=(0.0, 0.004, 0.008, 0.012, 0.016, 0.020, 0.024),
    set_back=0.075,
    lean=-0.08,
    gum_height=0.150,
    grows=-1,
)
ROWS = {"upper": UPPER, "lower": LOWER}


@dataclass(frozen=True)
class _Arch:
    """The curve the teeth stand on, by arc length from the middle."""

    length: Float
    x: Float
    z: Float

    def at(self, arc: float) -> tuple[float, float]:
        """x and z on her left side."""
        return float(np.interp(arc, self.length, self.x)), float(np.interp(arc, self.length, self.z))

    def tangent(self, arc: float) -> Float:
        """Unit direction (x, z) of the curve."""
        (x1, z1), (x0, z0) = self.at(arc + 0.01), self.at(max(arc - 0.01, 0))
        return normalised(np.array([x1 - x0, z1 - z0]))


def _arch(helper_V3: Float, row: _Row) -> _Arch:
    front = helper_V3[:, 2].max() - row.set_back
    back = helper_V3[:, 2].min() + 0.05
    half_width = np.abs(helper_V3[:, 0]).max() - (0.075 if row.grows > 0 else 0.087)
    angle = np.linspace(0, np.pi / 2, 400)
    x, z = half_width * np.sin(angle) ** 0.92, back + (front - back) * np.cos(angle) ** 0.85
    return _Arch(np.r_[0, np.cumsum(np.hypot(np.diff(x), np.diff(z)))], x, z)


def _cube_sphere(cells: int) -> tuple[Float, Int]:
    """The surface of the cube [-1, 1]^3 as welded quads, facing outwards."""
    line = np.linspace(-1, 1, cells + 1)
    corners = []
    for axis in range(3):
        for sign in (-1, 1):
            u, v = np.meshgrid(line, line, indexing="ij")
            points = np.empty((*u.shape, 3))
            points[..., axis], points[..., (axis + 1) % 3], points[..., (axis + 2) % 3] = sign, u, v
            quads = np.stack([points[:-1, :-1], points[1:, :-1], points[1:, 1:], points[:-1, 1:]], 2).reshape(-1, 4, 3)
            corners.append(quads if sign > 0 else quads[:, ::-1])
    flat = np.round(np.concatenate(corners).reshape(-1, 3), 6)
    points, index = np.unique(flat, axis=0, return_inverse=True)
    return points, index.reshape(-1, 4)


def _tooth(row: _Row, number: int) -> tuple[Float, Int]:
    """One crown around the origin; y is the growing direction of the upper row."""
    canine, cutting = number == 2, number < 3
    cube, quads = _cube_sphere(8)
    power = 3.6 if canine else 5.5
    points = cube / ((np.abs(cube) ** power).sum(1) ** (1 / power))[:, None]
    from_edge = (points[:, 1] + 1) / 2
    taper = np.where(from_edge < 0.35, 1 - (0.35 - from_edge) * 0.06, 1 - (from_edge - 0.35) * 0.24)
    edge_depth = 0.42 if cutting else 0.8
    depth = edge_depth + (1 - edge_depth) * smoothstep(0, 0.7, from_edge)
    size = np.array([row.widths[number] * 1.045, row.heights[number], 0.075 + 0.012 * number]) / 2
    points = points * size * np.column_stack([taper, np.ones_like(taper), depth])
    if row.grows < 0:
        return points * [1, -1, 1], quads[:, ::-1]
    return points, quads


def _crowns(arch: _Arch, row: _Row, edge_y: float) -> tuple[Float, Int]:
    points_all, quads_all, arc, count = [], [], 0.0, 0
    for number, width in enumerate(row.widths):
        middle = arc + width / 2
        arc += width * 0.985
        (x, z), (dx, dz) = arch.at(middle), arch.tangent(middle)
        points, quads = _tooth(row, number)
        points = points @ rotation(row.lean, 0, 0).T @ rotation(0, np.arctan2(-dz, dx), 0).T
        middle_y = edge_y + row.grows * (row.edge_offsets[number] + row.heights[number] / 2)
        points = points + np.array([x, middle_y, z])
        for mirrored in (False, True):
            points_all.append(points * [-1, 1, 1] if mirrored else points)
            quads_all.append((quads[:, ::-1] if mirrored else quads) + count)
            count += len(points)
    return np.concatenate(points_all), np.concatenate(quads_all)


def _gum(arch: _Arch, row: _Row, edge_y: float, along: int = 96, around: int = 12) -> tuple[Float, Int]:
    """A tube along the arch whose rim rises between the teeth."""
    arcs = np.linspace(-arch.length[-1], arch.length[-1], along)
    gaps = np.cumsum(np.array(row.widths) * 0.985)
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    rings = []
    for arc in arcs:
        side = np.sign(arc) or 1.0
        (x, z), (dx, dz) = arch.at(abs(arc)), arch.tangent(abs(arc))
        outwards = np.array([-dz * side, 0, dx])
        papilla = 0.022 * (bump(gaps, abs(arc), 0.014).max() + bump(arc, 0, 0.014))
        centre = np.array([side * x, edge_y + row.grows * row.gum_height, z])
        rise = 0.078 * np.sin(turn) * row.grows
        rise -= row.grows * papilla * np.maximum(-np.sin(turn), 0)
        rings.append(centre + outwards * 0.055 * np.cos(turn)[:, None] + np.array([0, 1, 0]) * rise[:, None])
    i, j = np.meshgrid(np.arange(along - 1), np.arange(around), indexing="ij")
    corner = [i * around + j, (i + 1) * around + j, (i + 1) * around + (j + 1) % around, i * around + (j + 1) % around]
    return np.concatenate(rings), np.stack(corner, -1).reshape(-1, 4)


def build_teeth(person: Person) -> dict[str, tuple[Float, Int]]:
    """Vertices and quads of `upper_teeth`, `upper_gum`, `lower_teeth`, `lower_gum` in the head at rest."""
    rest = person.rest_V3
    lip_line_y = (rest[person.landmarks["lip_inner_upper"], 1] + rest[person.landmarks["lip_inner_lower"], 1]) / 2
    built: dict[str, tuple[Float, Int]] = {}
    for name, row in ROWS.items():
        arch = _arch(rest[person.part(f"{name}_teeth")], row)
        edge_y = lip_line_y - row.edge_below_lip_line
        built[f"{name}_teeth"] = _crowns(arch, row, edge_y)
        built[f"{name}_gum"] = _gum(arch, row, edge_y)
    return built
