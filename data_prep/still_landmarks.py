"""Landmarks of a still picture, with depth, steadied by looking several times.

A film steadies its landmarks over time; a still is looked at through slightly different squares instead, and the median
is taken: that halves the trembling of the lips. How far the looks differ says how sure the mesh is of what it sees.

Axes: V views, K landmarks, H W C picture. px of the picture, pixel centres at whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.face_mesh import MESH_POINTS, FaceMesh

_VIEW_PX: Final = 512
_FACES: Final = (1.7, 1.9, 2.1)  # side of a view in sizes of the face
_OFFSETS: Final = ((0.0, 0.0), (0.04, 0.02), (-0.03, -0.04))  # of its middle, in sizes of the face


@dataclass(frozen=True)
class StillLandmarks:
    """The median of all looks, and how they differ."""

    points_K3: NDArray[np.float32]  # depth grows away from the camera
    spread_K: NDArray[np.float32]  # px, root mean square over the looks

    @property
    def skin_box(self) -> NDArray[np.float32]:
        """x0, y0, x1, y1 of the face."""
        skin = self.points_K3[:MESH_POINTS, :2]
        return np.concatenate([skin.min(0), skin.max(0)])

    def scaled(self, x: float, y: float) -> StillLandmarks:
        """The same in a picture that was made wider and higher by these factors, which are nearly the same."""
        points = self.points_K3 * np.array([x, y, (x + y) / 2], np.float32)
        points[:, :2] += 0.5 * np.array([x, y], np.float32) - 0.5  # pixel centres lie at whole numbers
        return StillLandmarks(points, self.spread_K * np.float32((x + y) / 2))


def still_landmarks(rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.floating], mesh: FaceMesh) -> StillLandmarks | None:
    """Look at the face that a detector found; None where the mesh sees no face.

    Args:
        rgb_HWC: the picture.
        box_4: x0, y0, x1, y1 from brow to chin.
        mesh: it forgets what it followed before.
    """
    first = one_look(rgb_HWC, box_4, mesh)
    if first is None:
        return None
    skin = first[:MESH_POINTS, :2]
    centre, size = skin.mean(0), float(np.ptp(skin, axis=0).max())
    looks = []
    for faces in _FACES:
        for offset in _OFFSETS:
            mesh.restart()
            looks.append(_look(rgb_HWC, centre + size * np.array(offset), faces * size, mesh))
    views_VK3 = np.stack([look for look in looks if look is not None] or [first])
    median = np.median(views_VK3, axis=0)
    spread = np.sqrt(((views_VK3 - median)[..., :2] ** 2).sum(-1).mean(0))
    return StillLandmarks(median.astype(np.float32), spread.astype(np.float32))


def one_look(rgb_HWC: NDArray[np.uint8], box_4: NDArray[np.floating], mesh: FaceMesh) -> NDArray[np.float32] | None:
    """Landmarks of a single look, (K, 3), or None: enough to choose among many pictures."""
    centre, size = (box_4[:2] + box_4[2:]) / 2, float(np.max(box_4[2:] - box_4[:2]))
    mesh.restart()
    points = None
    for _ in range(2):  # the second look starts from the mesh's own first result
        points = _look(rgb_HWC, centre, 2.4 * size, mesh)
    return points


def _look(
    rgb_HWC: NDArray[np.uint8], centre_2: NDArray[np.floating], side: float, mesh: FaceMesh
) -> NDArray[np.float32] | None:
    scale = _VIEW_PX / side
    to_view = np.array([[scale, 0, _VIEW_PX / 2 - scale * centre_2[0]], [0, scale, _VIEW_PX / 2 - scale * centre_2[1]]])
    smaller = scale < 0.5  # a large face: averaged rather than sampled
    if smaller:
        small = cv2.resize(rgb_HWC, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        rgb_HWC = np.asarray(small, np.uint8)
        to_view[:, :2] /= 2 * scale
    view = cv2.warpAffine(rgb_HWC, to_view, (_VIEW_PX, _VIEW_PX), borderMode=cv2.BORDER_REPLICATE)
    points = mesh.process_3d(np.asarray(view, np.uint8))
    if points is None:
        return None
    in_picture = points / scale
    in_picture[:, :2] += centre_2 - _VIEW_PX / 2 / scale
    return in_picture.astype(np.float32)
