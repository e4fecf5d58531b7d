"""Eyeballs with a cornea, and lashes laid along MakeHuman's lash helpers."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, Int, smoothstep
from presenter.head import Person

LASHES_UPPER, LASHES_LOWER = 110, 60  # per eye


def eyeball(around: int = 48, along: int = 40) -> tuple[Float, Float, Int]:
    """A unit eyeball that looks along +z.

    Returns:
        vertices with the cornea's bulge, the same on the plain sphere, and triangles.
    """
    polar = np.r_[np.linspace(0, 0.75, 22)[1:], np.linspace(0.80, np.pi, along - 22)[:-1]]
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    rings = np.stack(
        [
            np.sin(polar)[:, None] * np.cos(turn),
            np.sin(polar)[:, None] * np.sin(turn),
            np.cos(polar)[:, None] + 0 * turn,
        ],
        -1,
    ).reshape(-1, 3)
    sphere = np.concatenate([[[0, 0, 1]], rings, [[0, 0, -1]]])
    ring, step = np.meshgrid(np.arange(len(polar) - 1), np.arange(around), indexing="ij")
    a, b = 1 + ring * around + step, 1 + ring * around + (step + 1) % around
    wall = np.concatenate([np.stack([a, a + around, b + around], -1), np.stack([a, b + around, b], -1)]).reshape(-1, 3)
    k, last = np.arange(around), 1 + (len(polar) - 1) * around
    front = np.stack([np.zeros_like(k), 1 + k, 1 + (k + 1) % around], -1)
    back = np.stack([last + k, np.full_like(k, len(sphere) - 1), last + (k + 1) % around], -1)
    bulge = 1 + 0.085 * smoothstep(0.55, 0.0, np.arccos(np.clip(sphere[:, 2], -1, 1)))
    return sphere * bulge[:, None], sphere, np.concatenate([front, wall, back])


def _strip_grid(quads_Q4: Int) -> Int:
    """Lay a rectangular quad patch out as a (rows, columns) array of its vertices, the short side first."""
    by_edge: dict[frozenset[int], list[int]] = {}
    quads = quads_Q4.tolist()
    for number, quad in enumerate(quads):
        for corner in range(4):
            by_edge.setdefault(frozenset((quad[corner], quad[(corner + 1) % 4])), []).append(number)
    place = dict(zip(quads[0], np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), strict=True))
    seen, queue = {0}, deque([0])
    while queue:
        quad = quads[queue.popleft()]
        for corner in range(4):
            u, v, opposite = quad[corner], quad[(corner + 1) % 4], quad[(corner + 2) % 4]
            for number in by_edge[frozenset((u, v))]:
                if number in seen:
                    continue
                seen.add(number)
                queue.append(number)
                other, step = quads[number], place[v] - place[opposite]
                for inner, outer_from in ((u, v), (v, u)):
                    at = other.index(inner)
                    outer = next(x for x in (other[(at + 1) % 4], other[at - 1]) if x != outer_from)
                    place.setdefault(outer, place[inner] + step)
    ij = np.array(list(place.values()))
    ij -= ij.min(0)
    grid = np.zeros(ij.max(0) + 1, int)
    grid[tuple(ij.T)] = list(place)
    return grid.T if grid.shape[0] > grid.shape[1] else grid


@dataclass(frozen=True)
class Lashes:
    """Each lash runs over the rows of its strip, between two of its columns; row 0 is at the lid."""

    left_NR: Int
    right_NR: Int
    mix_N: Float
    length_N: Float  # share of the strip's height
    width_N: Float  # half width at the root, decimetres

    def points(self, vertices_V3: Float, count: int = 5) -> Float:
        """Points (N, count, 3) of the lashes on a deformed face."""
        mix = self.mix_N[:, None, None]
        rows = vertices_V3[self.left_NR] * (1 - mix) + vertices_V3[self.right_NR] * mix
        last = rows.shape[1] - 1
        along = np.linspace(0, 1, count)[None] * last * self.length_N[:, None]
        row = np.minimum(along.astype(int), last - 1)
        share, lash = (along - row)[..., None], np.arange(len(rows))[:, None]
        return np.asarray(rows[lash, row] * (1 - share) + rows[lash, row + 1] * share)


def build_lashes(person: Person, seed: int = 9) -> Lashes:
    """Scatter lashes on the four lash strips."""
    rng = np.random.default_rng(seed)
    left, right, mix, length, width = [], [], [], [], []
    for side in ("left", "right"):
        centre, _ = person.eye(side)
        for lid, count, reach, half_width in (
            ("lower", LASHES_LOWER, 0.5, 0.0006),
            ("upper", LASHES_UPPER, 0.85, 0.0011),
        ):
            grid = _strip_grid(person.part_quads[f"{side}_{lid}_lashes"])
            distance = np.linalg.norm(person.rest_V3[grid[[0, -1]]] - centre, axis=2).mean(1)
            grid = grid if distance[0] < distance[1] else grid[::-1]
            at = np.sort(rng.uniform(0, grid.shape[1] - 1.001, count))
            column = at.astype(int)
            left.append(grid[:, column].T)
            right.append(grid[:, column + 1].T)
            mix.append(at - column)
            length.append(np.minimum((0.75 + 0.35 * rng.random(count)) * reach, 1))
            width.append(np.full(count, half_width))
    return Lashes(*(np.concatenate(list(parts)) for parts in (left, right, mix, length, width)))
