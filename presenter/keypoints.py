"""Named places on the skin whose true position is recorded: lip contours, jaw, nose, eyes.

They lie on the subdivided surface, that is on what is drawn, not on the coarse control mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, Int
from presenter.head import HEAD, Person
from presenter.scene import BODY_LEVELS
from presenter.subdivision import Matrix, subdivide

INNER_LIP_POINTS, OUTER_LIP_POINTS = 12, 16
# Places of single points at rest, decimetres: the nearest vertex of the skin is taken.
_PLACES = {
    "forehead": (0, 7.35, 1.16),
    "nose_tip": (0, 6.36, 1.80),
    "subnasale": (0, 6.24, 1.52),
    "chin": (0, 5.67, 1.26),
    "jaw_left": (0.40, 5.80, 0.95),
    "jaw_right": (-0.40, 5.80, 0.95),
    "cheek_left": (0.42, 6.25, 1.20),
    "cheek_right": (-0.42, 6.25, 1.20),
}


@dataclass(frozen=True)
class KeyPoints:
    """Key points as weights over the person's vertices; the eyeballs' centres come last."""

    person: Person
    names: tuple[str, ...]
    vertices: Int  # the person's vertices that matter
    weights_PV: Float  # of the skin's key points over them

    def trace(self, weights_TU: Float, head_T3: Float, shift_T3: Float) -> Float:
        """Positions (T, P, 3) in decimetres over a performance."""
        person = self.person
        units = person.units_UV3[:, self.vertices]
        eyes = np.stack([person.eye("left")[0], person.eye("right")[0]])
        traced = np.empty((len(weights_TU), len(self.names), 3))
        for frame, (weights, head, shift) in enumerate(zip(weights_TU, head_T3, shift_T3, strict=True)):
            motions = person.motions(head, shift)
            face = person.rest_V3[self.vertices] + np.tensordot(weights, units, 1)
            traced[frame, :-2] = self.weights_PV @ person.posed(face, motions, self.vertices)
            traced[frame, -2:] = eyes @ motions[HEAD, :3, :3].T + motions[HEAD, :3, 3]
        return traced

    def at(self, traced_TP3: Float, name: str) -> Float:
        """One point's track."""
        return np.asarray(traced_TP3[:, self.names.index(name)])


def find_key_points(person: Person) -> KeyPoints:
    """Locate the key points on the person at rest."""
    body = np.unique(person.body_quads_Q4)
    named = {name: int(body[np.argmin(((person.rest_V3[body] - p) ** 2).sum(1))]) for name, p in _PLACES.items()}
    for contour, count in (("inner", INNER_LIP_POINTS), ("outer", OUTER_LIP_POINTS)):
        upper, lower = person.landmarks[f"lip_{contour}_upper"], person.landmarks[f"lip_{contour}_lower"]
        named |= _contour(person, upper, lower, contour, count)
    compact_of = np.full(len(person.rest_V3), -1)
    compact_of[body] = np.arange(len(body))
    matrix: Matrix = subdivide(len(body), compact_of[person.body_quads_Q4], BODY_LEVELS)[0]
    # Subdivision keeps the numbers of the old vertices.
    rows = matrix[compact_of[list(named.values())]].toarray()
    used = np.flatnonzero(rows.any(0))
    return KeyPoints(person, (*named, "eye_left", "eye_right"), body[used], rows[:, used])


def _contour(person: Person, upper: int, lower: int, name: str, count: int) -> dict[str, int]:
    """Points spread evenly along a lip contour, clockwise on the picture from the middle of the upper lip."""
    loop = edge_loop(person.body_quads_Q4, upper, person.rest_V3)
    if lower not in loop:
        raise ValueError(f"the {name} lip contour of the base mesh does not close: {len(loop)} vertices, no {lower}")
    points = person.rest_V3[loop]
    length = np.r_[0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))]
    wanted = np.linspace(0, length[-1] + np.linalg.norm(points[0] - points[-1]), count, endpoint=False)
    at = [int(np.argmin(np.abs(length - x))) for x in wanted]
    at[0], at[count // 2] = 0, loop.index(lower)
    x = points[:, 0]
    at[count // 4], at[3 * count // 4] = int(np.argmax(x)), int(np.argmin(x))
    return {f"lip_{name}_{i}": loop[k] for i, k in enumerate(at)}


def edge_loop(quads_Q4: Int, start: int, positions_V3: Float) -> list[int]:
    """Follow the mesh line through `start` that runs sideways, towards +x first, until it returns.

    At a vertex of four quads the line goes on along the edge that shares no quad with the one it came by.
    """
    around: dict[int, list[list[int]]] = {}
    for quad in quads_Q4.tolist():
        for vertex in quad:
            around.setdefault(vertex, []).append(quad)

    def neighbours(vertex: int) -> set[int]:
        return {q[(q.index(vertex) + step) % 4] for q in around[vertex] for step in (1, -1)}

    loop = [start, max(neighbours(start), key=lambda v: positions_V3[v, 0] - positions_V3[start, 0])]
    while loop[-1] != start and len(loop) < 200:
        previous, here = loop[-2], loop[-1]
        beside = {v for q in around[here] if previous in q for v in q}
        onward = neighbours(here) - beside
        if len(onward) != 1:
            return loop
        loop.append(onward.pop())
    return loop[:-1]
