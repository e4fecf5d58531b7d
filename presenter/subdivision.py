"""Catmull-Clark subdivision as a sparse matrix, so that each frame's fine mesh is one product.

Source: E. Catmull, J. Clark, "Recursively generated B-spline surfaces on arbitrary topological meshes", 1978.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from presenter.geometry import Int

Matrix = sparse.csr_array


def _edges(quads_Q4: Int) -> tuple[Int, Int]:
    """Unique edges (E, 2), and for each quad the number of its four edges (corner a to corner a + 1)."""
    ends = np.stack([quads_Q4, np.roll(quads_Q4, -1, axis=1)], -1)
    edges, number = np.unique(np.sort(ends.reshape(-1, 2), axis=1), axis=0, return_inverse=True)
    return edges, number.reshape(quads_Q4.shape)


def _average(rows: Int, columns: Int, shape: tuple[int, int]) -> Matrix:
    """Each row the mean of its listed columns."""
    matrix = sparse.coo_array((np.ones(rows.size), (rows.ravel(), columns.ravel())), shape=shape).tocsr()
    count = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1)
    return Matrix(sparse.diags_array(1 / count) @ matrix)


def _step(vertex_count: int, quads_Q4: Int, smooth: bool) -> tuple[Matrix, Int]:
    """One level: matrix (new vertices, old vertices) and the new quads."""
    edges, quad_edges = _edges(quads_Q4)
    n_quads, n_edges = len(quads_Q4), len(edges)
    quad_rows = np.repeat(np.arange(n_quads), 4)
    to_centres = _average(quad_rows, quads_Q4, (n_quads, vertex_count))
    to_middles = _average(np.repeat(np.arange(n_edges), 2), edges, (n_edges, vertex_count))
    edge_points, vertex_points = to_middles, sparse.eye_array(vertex_count, format="csr")
    if smooth:
        on_rim = np.bincount(quad_edges.ravel(), minlength=n_edges) == 1
        neighbours = _average(quad_edges, quad_rows, (n_edges, n_quads)) @ to_centres
        inner = sparse.diags_array((~on_rim).astype(float))
        edge_points = (
            inner @ (0.5 * to_middles + 0.5 * neighbours) + sparse.diags_array(on_rim.astype(float)) @ to_middles
        )
        vertex_points = _vertex_rule(vertex_count, quads_Q4, edges, on_rim, to_centres, to_middles)
    matrix = Matrix(sparse.vstack([vertex_points, edge_points, to_centres]))
    edge_ids = vertex_count + quad_edges
    centre_ids = np.repeat(vertex_count + n_edges + np.arange(n_quads)[:, None], 4, axis=1)
    fine = np.stack([quads_Q4, edge_ids, centre_ids, np.roll(edge_ids, 1, axis=1)], -1).reshape(-1, 4)
    return matrix, fine


def _vertex_rule(
    vertex_count: int, quads_Q4: Int, edges: Int, on_rim: np.ndarray, to_centres: Matrix, to_middles: Matrix
) -> Matrix:
    """Where the old vertices move: inside (F + 2 R + (n - 3) P) / n, on the rim (1, 6, 1) / 8 along it."""
    quad_rows, edge_rows = np.repeat(np.arange(len(quads_Q4)), 4), np.repeat(np.arange(len(edges)), 2)
    centres = _average(quads_Q4.ravel(), quad_rows, (vertex_count, len(quads_Q4))) @ to_centres
    middles = _average(edges.ravel(), edge_rows, (vertex_count, len(edges))) @ to_middles
    valence = np.maximum(np.bincount(edges.ravel(), minlength=vertex_count), 1)
    rim_edges = edges[on_rim]
    rim_count = np.bincount(rim_edges.ravel(), minlength=vertex_count)
    rim_rows = np.repeat(np.arange(len(rim_edges)), 2)
    rim_middles = (
        _average(rim_edges.ravel(), rim_rows, (vertex_count, len(rim_edges)))
        @ _average(rim_rows, rim_edges, (len(rim_edges), vertex_count))
        if len(rim_edges)
        else Matrix((vertex_count, vertex_count))
    )
    inner, smooth_rim = rim_count == 0, rim_count == 2
    keep = np.where(inner, (valence - 3) / valence, np.where(smooth_rim, 0.5, 1.0))
    return Matrix(
        sparse.diags_array(np.where(inner, 1 / valence, 0)) @ (centres + 2 * middles)
        + sparse.diags_array(np.where(smooth_rim, 0.5, 0)) @ rim_middles
        + sparse.diags_array(keep)
    )


def subdivide(vertex_count: int, quads_Q4: Int, levels: int, smooth: bool = True) -> tuple[Matrix, Int]:
    """Refine a quad mesh.

    Args:
        levels: how often each quad becomes four; 0 gives the identity.
        smooth: False only splits (for texture coordinates, which must stay where they are).
    Returns:
        sparse matrix (fine vertices, vertex_count), and the fine quads.
    """
    matrix: Matrix = sparse.eye_array(vertex_count, format="csr")
    for _ in range(levels):
        step, quads_Q4 = _step(matrix.shape[0], quads_Q4, smooth)
        matrix = Matrix(step @ matrix)
    return matrix, quads_Q4
