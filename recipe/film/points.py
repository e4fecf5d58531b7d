"""The landmarks of mediapipe's face mesh by which a filmed face is moved, by their part in it.

Coordinates are px of the recipe's inner square.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.mouth import LIPS
from recipe.recipe_328 import INNER_PX, PATCH_TOP_PX

# fmt: off
# They do not move when the mouth does: size, turn and place of the face come from them...
STEADY: Final = (1, 2, 4, 5, 6, 8, 9, 19, 33, 46, 70, 94, 98, 133, 168, 195, 197, 263, 276, 300, 327, 362)
# ...and how the head is turned towards the camera from these.
POSED: Final = (
    1, 4, 5, 6, 8, 9, 10, 19, 21, 33, 54, 93, 94, 127, 133, 151, 168, 195, 197, 234, 251, 263, 284, 323, 356, 362, 454,
)
# What moves with the lips, spread over the lower face.
_LOWER_FACE: Final = (
    36, 44, 50, 58, 115, 123, 132, 135, 136, 147, 148, 149, 150, 152, 164, 169, 170, 171, 172, 176, 187,
    192, 194, 199, 201, 204, 205, 206, 207, 210, 211, 213, 214, 216, 262, 266, 274, 279, 280, 288, 305, 352, 361, 364,
    365, 367, 376, 377, 378, 379, 391, 394, 395, 396, 397, 416, 418, 421, 424, 425, 426, 427, 430, 432, 434, 436,
)
MOVING: Final = (*LIPS, *_LOWER_FACE)
# What stays where it was filmed, between the eyes and the mouth.
FIXED: Final = tuple(k for k in (*STEADY, 117, 346, 234, 454) if k not in MOVING)
KEPT: Final = tuple(sorted({*STEADY, *POSED, *MOVING, *FIXED}))  # the landmarks that an avatar carries
# fmt: on
UPPER_GAP: Final = (82, 13, 312)  # pairs of inner lips, above and below
LOWER_GAP: Final = (87, 14, 317)
# Places outside the face that stay, along the edges of what is drawn.
EDGE_E2: Final[NDArray[np.float64]] = np.array(
    [
        *((x, y) for x in (0, INNER_PX) for y in range(PATCH_TOP_PX - 40, INNER_PX + 1, 40)),
        *((x, INNER_PX + 10) for x in range(32, INNER_PX, 64)),
    ],
    np.float64,
)


def places_of(landmarks: tuple[int, ...], among: tuple[int, ...] = KEPT) -> list[int]:
    """Where landmarks stand in a list of landmarks."""
    return [among.index(k) for k in landmarks]
