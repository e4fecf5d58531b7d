"""What a face can be told: mouth units, lids, brows, gaze and five movements of the head.

A vector of mouth units has the order of `recipe.articulation.mouth_units.MOUTH_UNITS`. A weight of 1 is the full stroke
of a unit, which no speech reaches: an "aa" has a jaw of 0.46. Weights add up.

Axes: U mouth units.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS

MOUTH_RANGE: Final = (-0.1, 1.0)  # what a vector is clipped to: below 0 a unit does the opposite, a little
BLINK_RANGE: Final = (0.0, 1.0)  # 0 as in the picture, 1 closed
BROWS_RANGE: Final = (-1.0, 1.0)  # 1 raised, 0 as in the picture, -1 lowered
GAZE_RANGE: Final = (-1.0, 1.0)  # to the picture's right, and down; 0 as in the picture
# Shifts are in distances of the outer eye corners, to the picture's right and down. Angles in radians: a positive roll
# leans the head clockwise in the picture, a positive yaw brings the nose to the picture's right, a positive pitch down.
HEAD_MOVES: Final = ("shift_x", "shift_y", "roll", "yaw", "pitch")
HEAD_LIMITS_5: Final = (0.07, 0.06, 0.07, 0.10, 0.08)  # beyond them seams may show; vectors are clipped to them


def mouth_units(weights: Mapping[str, float]) -> NDArray[np.float32]:
    """A vector of mouth units from named weights; what is not named is 0.

    Raises:
        ValueError: a name that is no mouth unit.
    """
    unknown = sorted(set(weights) - set(MOUTH_UNITS))
    if unknown:
        raise ValueError(f"no mouth unit {', '.join(unknown)}; there are {', '.join(MOUTH_UNITS)}")
    return np.array([weights.get(name, 0.0) for name in MOUTH_UNITS], np.float32)
