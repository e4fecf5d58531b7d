"""Small pieces of geometry that every part of the scene needs."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def smoothstep(start: float, stop: float, x: ArrayLike) -> Float:
    """0 before `start`, 1 after `stop`, a smooth ramp between; `start` may be the larger one."""
    ramp = np.clip((np.asarray(x, float) - start) / (stop - start), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp))


def bump(x: ArrayLike, centre: float, width: float) -> Float:
    """A Gaussian of height 1."""
    return np.asarray(np.exp(-(((np.asarray(x, float) - centre) / width) ** 2)))


def rotation(pitch: float, yaw: float, roll: float) -> Float:
    """3x3 rotation from angles in radians; positive pitch looks down, positive yaw turns to her left."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([pitch, yaw, roll]), np.sin([pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return np.asarray(about_y @ about_x @ about_z)


def affine(rotation_33: Float, shift_3: Float) -> Float:
    """4x4 matrix of x -> rotation x + shift."""
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation_33, shift_3
    return matrix


def rigid_fit(source_V3: Float, target_V3: Float) -> Float:
    """4x4 rigid motion that best carries `source` onto `target` (least squares)."""
    source_mean, target_mean = source_V3.mean(0), target_V3.mean(0)
    u, _, vt = np.linalg.svd((source_V3 - source_mean).T @ (target_V3 - target_mean))
    handedness = np.diag([1, 1, np.sign(np.linalg.det(vt.T @ u.T))])
    turn = vt.T @ handedness @ u.T
    return affine(turn, target_mean - turn @ source_mean)


def transformed(points: Float, matrix_44: Float) -> Float:
    """Apply a 4x4 affine matrix to points of any leading shape."""
    return np.asarray(points @ matrix_44[:3, :3].T + matrix_44[:3, 3])


def look_at(eye: ArrayLike, target: ArrayLike, up: ArrayLike = (0, 1, 0)) -> Float:
    """4x4 view matrix of a camera at `eye` that looks at `target`."""
    eye_3 = np.asarray(eye, float)
    forward = normalised(np.asarray(target, float) - eye_3)
    side = normalised(np.cross(forward, np.asarray(up, float)))
    view = np.stack([side, np.cross(side, forward), -forward])
    return affine(view, -view @ eye_3)


def perspective(focal: float, near: float, far: float) -> Float:
    """4x4 OpenGL projection; `focal` is 1 / tan(half the field of view)."""
    matrix = np.zeros((4, 4))
    matrix[0, 0] = matrix[1, 1] = focal
    matrix[2, 2], matrix[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
    matrix[3, 2] = -1
    return matrix


def normalised(vectors: Float) -> Float:
    """Vectors along the last axis scaled to length 1."""
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12))


def triangles_of(quads_Q4: Int) -> Int:
    """Two triangles for each quad: first all first halves, then all second halves."""
    return np.concatenate([quads_Q4[:, [0, 1, 2]], quads_Q4[:, [0, 2, 3]]])


def vertex_normals(vertices_V3: Float, triangles_F3: Int) -> Float:
    """Area-weighted unit normals."""
    a, b, c = (vertices_V3[triangles_F3[:, i]] for i in range(3))
    face_normals = np.cross(b - a, c - a)
    corners = triangles_F3.ravel()
    per_axis = [np.bincount(corners, np.repeat(face_normals[:, i], 3), len(vertices_V3)) for i in range(3)]
    return normalised(np.stack(per_axis, 1))


def compact(faces: Int) -> tuple[Int, Int]:
    """The vertices that `faces` use (sorted), and the faces renumbered to them."""
    used, renumbered = np.unique(faces, return_inverse=True)
    return used, renumbered.reshape(faces.shape)


def scatter_on_triangles(
    vertices_V3: Float, triangles_F3: Int, density_F: Float, count: int, rng: np.random.Generator
) -> tuple[Int, Float]:
    """Random points on a surface.

    Args:
        density_F: relative number of points per area, one value a triangle.
    Returns:
        triangle of each point, and its barycentric coordinates (count, 3).
    """
    a, b, c = (vertices_V3[triangles_F3[:, i]] for i in range(3))
    cumulative = np.cumsum(np.linalg.norm(np.cross(b - a, c - a), axis=1) * density_F)
    chosen = np.searchsorted(cumulative, rng.random(count) * cumulative[-1])
    uv = rng.random((count, 2))
    uv = np.where(uv.sum(1, keepdims=True) > 1, 1 - uv, uv)
    return chosen, np.column_stack([1 - uv.sum(1), uv])


def on_triangles(values_V3: Float, triangles_F3: Int, chosen_N: Int, barycentric_N3: Float) -> Float:
    """Interpolate a per-vertex quantity at the points of `scatter_on_triangles`."""
    return np.asarray(np.einsum("nkc,nk->nc", values_V3[triangles_F3[chosen_N]], barycentric_N3))


def linear_rgb(red: int, green: int, blue: int) -> Float:
    """8-bit sRGB to linear light."""
    c = np.array([red, green, blue]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
