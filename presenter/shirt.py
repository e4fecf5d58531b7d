"""A plain round-necked shirt: the torso's own surface, pushed out and cut along a neckline, with a collar tube."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, Int, bump, compact, normalised, smoothstep, triangles_of, vertex_normals
from presenter.head import Person


def _neckline_y(points: Float, raised: float) -> Float:
    """Height of the neckline above a place of the torso: higher at the back, dipping in front."""
    x, _, z = points.T
    return np.asarray(
        raised + 5.06 + 0.16 * smoothstep(0.35, -0.35, z) - 0.12 * bump(x, 0, 0.45) * smoothstep(0.2, 0.6, z)
    )


@dataclass(frozen=True)
class Shirt:
    """Cloth that follows the torso's vertices at a fixed offset."""

    vertices: Int  # of the person
    quads_Q4: Int
    rest_V3: Float
    rim: Int  # the neckline as a closed loop of the shirt's vertices

    def posed(self, person: Person, motions_544: Float) -> Float:
        """The cloth of one frame."""
        return person.posed(self.rest_V3, motions_544, self.vertices)


def build_shirt(person: Person) -> Shirt:
    """Cut the shirt out of the body at rest."""
    rest, quads = person.rest_V3, person.body_quads_Q4
    normals = vertex_normals(rest, triangles_of(quads))
    neck_y = _neckline_y(rest, person.look.neckline_dm)
    vertices, shirt_quads = compact(quads[(rest[quads, 1] < neck_y[quads]).any(1)])
    base = _cut_at_neckline(rest, neck_y, quads, vertices)
    thickness = 0.06 + 0.04 * smoothstep(4.7, 3.8, rest[vertices, 1])
    cloth = base + normals[vertices] * thickness[:, None]
    return Shirt(vertices, shirt_quads, cloth, _rim(cloth, shirt_quads))


def _cut_at_neckline(rest: Float, neck_y: Float, quads: Int, vertices: Int) -> Float:
    """Slide the vertices above the neckline down onto it, along the edge to their lowest neighbour."""
    base = rest[vertices].copy()
    edges = np.concatenate([np.stack([quads, np.roll(quads, s, axis=1)], -1).reshape(-1, 2) for s in (-1, 1)])
    for row, vertex in enumerate(vertices):
        above = rest[vertex, 1] - neck_y[vertex]
        if above < 0:
            continue
        near = edges[edges[:, 0] == vertex, 1]
        low = near[rest[near, 1] < neck_y[near]]
        if len(low):
            lowest = low[np.argmin(rest[low, 1])]
            below = neck_y[lowest] - rest[lowest, 1]
            base[row] += (rest[lowest] - rest[vertex]) * above / (above + below)
        else:
            base[row, 1] = neck_y[vertex]
    return base


def _rim(cloth: Float, quads: Int) -> Int:
    """The open edge around the neck, in order."""
    edges = np.sort(np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    open_edges = unique[count == 1]
    near_neck = ((cloth[open_edges, 1] > 4.75) & (np.abs(cloth[open_edges, 0]) < 1.0)).all(1)
    neighbours: dict[int, list[int]] = {}
    for a, b in open_edges[near_neck].tolist():
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    start = int(open_edges[near_neck][0, 0])
    loop, previous = [start], -1
    while True:
        onward = [v for v in neighbours[loop[-1]] if v != previous]
        if not onward or onward[0] == start:
            return np.array(loop)
        previous = loop[-1]
        loop.append(onward[0])


def collar(cloth_V3: Float, rim: Int, around: int = 10) -> tuple[Float, Int]:
    """The collar: a flattened tube along the smoothed rim. Returns its vertices and quads."""
    line = cloth_V3[rim]
    for _ in range(3):
        line = 0.5 * line + 0.25 * (np.roll(line, 1, 0) + np.roll(line, -1, 0))
    outwards = normalised((line - line.mean(0)) * [1, 0, 1])
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)
    sideways, upwards = 0.028 * np.cos(turn) + 0.004 - 0.03 * np.sin(turn), 0.062 * np.sin(turn) + 0.018
    tube = line[:, None] + outwards[:, None] * sideways[:, None] + np.array([0, 1, 0]) * upwards[:, None]
    n = len(rim)
    i, j = np.meshgrid(np.arange(n), np.arange(around), indexing="ij")
    corners = [i * around + j, (i + 1) % n * around + j, (i + 1) % n * around + (j + 1) % around]
    corners.append(i * around + (j + 1) % around)
    return tube.reshape(-1, 3), np.stack(corners, -1).reshape(-1, 4)
