"""The one fixed mask: what the network may not see of the filmed frame, and where its drawing may appear.

The mask is the same for every frame of every person. A mask that follows the landmarks tells the network
how far the mouth of the template frame is open, and the network then copies it instead of listening.

All arrays cover the inner square, (320, 320) float32 in [0, 1].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import INNER_PX, MASK_CORNER_PX, MASK_RING_PX, MASK_SIDE_PX, MASK_TOP_PX, PATCH_TOP_PX

EYE_ROWS_PX = 40  # rows of the inner square that end below the lower lids


def _rounded_inset_distance() -> NDArray[np.float32]:
    """Distance in px inwards from the edge of the hidden region (negative outside), open at the bottom."""
    y, x = np.mgrid[0:INNER_PX, 0:INNER_PX].astype(np.float32)
    left, right, top = float(MASK_SIDE_PX), float(INNER_PX - 1 - MASK_SIDE_PX), float(MASK_TOP_PX)
    inset = np.minimum(np.minimum(x - left, right - x), y - top)
    corner_x = np.clip(x, left + MASK_CORNER_PX, right - MASK_CORNER_PX)
    corner_y = top + MASK_CORNER_PX
    in_corner = (y < corner_y) & (x != corner_x)
    radial = MASK_CORNER_PX - np.hypot(x - corner_x, y - corner_y)
    return np.where(in_corner, radial, inset).astype(np.float32)


def hidden_mask() -> NDArray[np.float32]:
    """1 where the target is drawn anew: nose base to the lower edge, cheeks, jaw and neck."""
    return (_rounded_inset_distance() >= 0).astype(np.float32)


def unseen_mask() -> NDArray[np.float32]:
    """1 where the network may not see the target: what is drawn anew, and all rows between that and the eyes.

    Nose and cheeks move with the jaw, so that they tell how far the filmed mouth is open: a network that sees them
    copies it instead of listening. The eyes do not, and tell how the head is turned. Source:
    docs/decisions/0007-unseen-rows.md
    """
    mask = hidden_mask()
    mask[EYE_ROWS_PX:PATCH_TOP_PX] = 1
    return mask


def alpha_bounds() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smallest and largest share of the drawn picture, per pixel.

    In the core both are 1: the network must draw the mouth and cannot let the filmed one shine through. In
    the ring around it the network chooses between them. Both are 0 at the edge of the hidden region and at
    the lower edge of the square, so that no seam can show there.

    Returns:
        (alpha_min, alpha_max), each (320, 320), 0 <= alpha_min <= alpha_max <= hidden_mask().
    """
    inset = _rounded_inset_distance()
    from_bottom = np.arange(INNER_PX - 1, -1, -1, dtype=np.float32)[:, None]
    inset = np.minimum(inset, np.maximum(from_bottom, 0))
    alpha_max = _smoothstep(inset / (0.6 * MASK_RING_PX))
    alpha_min = _smoothstep((inset - 0.5 * MASK_RING_PX) / (0.6 * MASK_RING_PX))
    return alpha_min, np.maximum(alpha_min, alpha_max)


def _smoothstep(t: NDArray[np.float32]) -> NDArray[np.float32]:
    t = np.clip(t, 0.0, 1.0)
    return (t * t * (3 - 2 * t)).astype(np.float32)
