"""Dense displacement fields of a picture, once per source, and their inversion, once per frame.

A field says for places of the source how far they move. It is kept on a coarse grid of cells; its value belongs to a
cell's middle, so that `cv2.resize` by the cell's side gives every pixel its value.

Axes: N places, C channels (one field each), R S rows and columns of cells, K landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Picture = TypeVar("Picture", np.uint8, np.float32)
_NO_SECOND_MAP: Final = np.empty(0, np.float32)
_SMOOTHING: Final = 0.004  # of the kernel, in eye distances: how far the field may miss a landmark
_ROUNDS: Final = 3  # each divides the error of the inverse by three or more; a tenth of a px is left


@dataclass(frozen=True)
class Grid:
    """Square cells over a part of a picture."""

    x0: int
    y0: int
    columns: int
    rows: int
    cell_px: int

    @classmethod
    def over(cls, box_px: tuple[int, int, int, int], cell_px: int) -> Grid:
        """Cells that cover a box (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = box_px
        return cls(x0, y0, -(-(x1 - x0) // cell_px), -(-(y1 - y0) // cell_px), cell_px)

    @property
    def places_N2(self) -> Float:
        """The cells' middles in px of the picture, row by row."""
        x = self.x0 + np.arange(self.columns) * self.cell_px + (self.cell_px - 1) / 2
        y = self.y0 + np.arange(self.rows) * self.cell_px + (self.cell_px - 1) / 2
        return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)

    def cells(self, values_NC2: Float) -> NDArray[np.float16]:
        """(C, R, S, 2), as it is kept; a half float is exact to 1/32 px up to 64 px."""
        rows = values_NC2.transpose(1, 0, 2).reshape(-1, self.rows, self.columns, 2)
        return np.ascontiguousarray(rows, np.float16)


class Interpolator:
    """Smooth functions through values at points, 0 at anchors far around: radial functions -r and a constant.

    Source: M. J. D. Powell, "The theory of radial basis function approximation", 1992.
    """

    def __init__(self, points_N2: Float, values_NC: Float, anchors_M2: Float, eye_distance_px: float) -> None:
        self._at = np.concatenate([points_N2, anchors_M2])
        n = len(self._at)
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = -_distances(self._at, self._at) + _SMOOTHING * eye_distance_px * np.eye(n)
        system[n, n] = 0.0
        right = np.zeros((n + 1, values_NC.shape[1]))
        right[: len(points_N2)] = values_NC
        # OpenCV's elimination: NumPy's takes ten times as long on two cores that others use, its threads wait busily.
        self._weights = np.asarray(cv2.solve(system, right, flags=cv2.DECOMP_LU)[1], np.float64)

    def __call__(self, where_M2: Float) -> Float:
        """The functions at other places: (M, C)."""
        return -_distances(where_M2, self._at) @ self._weights[:-1] + self._weights[-1]


def sampled(picture: NDArray[Picture], places_HW2: NDArray[np.float32]) -> NDArray[Picture]:
    """A picture at places between its pixels, bilinear; beyond its edge the edge goes on.

    Args:
        picture: any number of channels.
        places_HW2: x, y in px.
    """
    found = cv2.remap(picture, places_HW2, _NO_SECOND_MAP, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, picture.dtype)


def source_map(
    field_RS2: NDArray[np.float32], cells_RS2: NDArray[np.float32], cell_px: int, origin_2: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Where in the source every pixel of the grid's area comes from: invert q -> q + field(q) by fixed-point rounds.

    Args:
        field_RS2: displacement, px.
        cells_RS2: column and row of every cell.
        cell_px: side of a cell.
        origin_2: px of the picture at the grid's corner.
    Returns:
        (R * cell_px, S * cell_px, 2) px of the picture.
    """
    step = field_RS2 * np.float32(1 / cell_px)
    at = cells_RS2 - step
    for _ in range(_ROUNDS):
        at = cells_RS2 - sampled(step, at)
    places = at * np.float32(cell_px) + (origin_2 + np.float32((cell_px - 1) / 2))
    rows, columns = field_RS2.shape[:2]
    # Beyond the middles of the outermost cells resize repeats their value: continue them by one cell, then cut.
    wide = cv2.copyMakeBorder(places, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    wide[0], wide[-1] = 2 * wide[1] - wide[2], 2 * wide[-2] - wide[-3]
    wide[:, 0], wide[:, -1] = 2 * wide[:, 1] - wide[:, 2], 2 * wide[:, -2] - wide[:, -3]
    full = cv2.resize(wide, ((columns + 2) * cell_px, (rows + 2) * cell_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[cell_px:-cell_px, cell_px:-cell_px], np.float32)


def _distances(a_N2: Float, b_M2: Float) -> Float:
    squares = (a_N2**2).sum(1)[:, None] + (b_M2**2).sum(1) - 2 * (a_N2 @ b_M2.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0)))
