"""Glasses: two rounded rims, a bridge and two temples as tubes, without lenses."""

from __future__ import annotations

import numpy as np

from presenter.geometry import Float, Int, normalised
from presenter.head import Person

RADIUS, AROUND = 0.0155, 8  # of the tubes, decimetres
HALF_WIDTH, HALF_HEIGHT = 0.235, 0.175
BEFORE_EYE = 0.315  # from the eye's centre to the rim's plane, decimetres


def _tube(line_N3: Float, radius: float, closed: bool) -> tuple[Float, Int]:
    ahead = np.roll(line_N3, -1, 0) - np.roll(line_N3, 1, 0)
    if not closed:
        ahead[0], ahead[-1] = line_N3[1] - line_N3[0], line_N3[-1] - line_N3[-2]
    ahead = normalised(ahead)
    reference = np.where(np.abs(ahead[:, 2:]) > 0.8, [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
    across = normalised(np.cross(ahead, reference))
    other = np.cross(ahead, across)
    turn = np.linspace(0, 2 * np.pi, AROUND, endpoint=False)[None, :, None]
    tube = line_N3[:, None] + radius * (np.cos(turn) * across[:, None] + np.sin(turn) * other[:, None])
    n = len(line_N3)
    i, j = np.meshgrid(np.arange(n if closed else n - 1), np.arange(AROUND), indexing="ij")
    i2, j2 = (i + 1) % n, (j + 1) % AROUND
    quads = np.stack([i * AROUND + j, i2 * AROUND + j, i2 * AROUND + j2, i * AROUND + j2], -1).reshape(-1, 4)
    return tube.reshape(-1, 3), quads


def build_glasses(person: Person) -> tuple[Float, Int]:
    """Vertices (n, 3) and quads (m, 4) of a frame that sits before the eyes of the head at rest."""
    eye, _ = person.eye("left")
    parts: list[tuple[Float, Int]] = []

    def bent(points: Float) -> Float:
        """The frame bends around the face: further back the further out."""
        points[:, 2] = eye[2] + BEFORE_EYE - 0.22 * points[:, 0] ** 2
        return points

    turn = np.linspace(0, 2 * np.pi, 56, endpoint=False)
    power = 2 / 3.2  # between an ellipse and a rectangle
    outline_x = np.sign(np.cos(turn)) * np.abs(np.cos(turn)) ** power * HALF_WIDTH
    outline_y = np.sign(np.sin(turn)) * np.abs(np.sin(turn)) ** power * HALF_HEIGHT
    centre = np.array([max(eye[0] + 0.005, HALF_WIDTH + 0.055), eye[1] - 0.02])
    for side in (-1.0, 1.0):
        rim = np.stack([side * (centre[0] + outline_x), centre[1] + outline_y, 0 * turn], 1)
        parts.append(_tube(bent(rim), RADIUS, closed=True))
        hinge = np.array([side * (centre[0] + HALF_WIDTH), centre[1] + 0.075])
        front = bent(np.array([[hinge[0], hinge[1], 0.0]]))[0]
        line = np.array([front, [side * 0.665, front[1], 0.95], [side * 0.725, front[1] - 0.005, 0.35]])
        at = np.linspace(0, 2, 20)
        temple = np.stack([np.interp(at, [0, 1, 2], line[:, k]) for k in range(3)], 1)
        parts.append(_tube(temple, RADIUS * 0.9, closed=False))
    across = np.linspace(-1, 1, 12)
    gap = centre[0] - HALF_WIDTH
    bridge = bent(np.stack([across * gap, centre[1] + 0.06 + 0.03 * (1 - across**2), 0 * across], 1))
    parts.append(_tube(bridge, RADIUS, closed=False))
    vertices, quads, count = [], [], 0
    for points, faces in parts:
        vertices.append(points)
        quads.append(faces + count)
        count += len(points)
    return np.concatenate(vertices), np.concatenate(quads)
