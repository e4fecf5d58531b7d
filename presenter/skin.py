"""Colour of the skin, painted procedurally; pores and blotches are the shader's."""

from __future__ import annotations

import numpy as np

from presenter.brows import brow_cover
from presenter.geometry import Float, smoothstep
from presenter.hair import hair_cover
from presenter.look import Look

# Tint, strength, centre and extent (|x|, y, z) of soft spots; the eye's centre is subtracted where marked.
SPOTS = (
    ("red", 0.36, (0.42, 6.33, 1.15), (0.22, 0.20, 0.30), False),  # cheeks
    ("red", 0.32, (0.0, 6.30, 1.50), (0.13, 0.12, 0.20), False),  # tip of the nose
    ("red", 0.20, (0.0, 5.74, 1.30), (0.20, 0.12, 0.25), False),  # chin
    ("light", 0.30, (0.0, 7.10, 1.25), (0.45, 0.20, 0.40), False),  # forehead
    ("shade", 0.30, (0.0, -0.12, 0.15), (0.20, 0.07, 0.30), True),  # under the eyes
    ("lid", 0.50, (0.0, 0.10, 0.15), (0.19, 0.075, 0.30), True),  # upper lids
)


def paint_skin(points: Float, eye_centre: Float, look: Look) -> Float:
    """Linear RGB (n, 3) of places on the body at rest; `eye_centre` is the left eye's."""
    skin = look.skin
    x, y, z = np.abs(points[:, 0]), points[:, 1], points[:, 2]
    colour = np.tile(skin.base, (len(points), 1))

    def blend(tint: Float, amount: Float) -> None:
        colour[:] = colour * (1 - amount[:, None]) + tint * amount[:, None]

    for tint, strength, centre, extent, at_eye in SPOTS:
        middle = np.array(centre) + (eye_centre if at_eye else 0)
        distance = (np.stack([x, y, z], 1) - middle) / np.array(extent)
        blend(getattr(skin, tint), strength * np.exp(-(distance**2).sum(1)))
    blend(skin.red, 0.45 * smoothstep(0.70, 0.80, x) * (y > 6.2) * (y < 7.2))  # ears
    if look.style != "bald":
        blend(skin.scalp, 0.85 * smoothstep(0.25, 0.95, hair_cover(points, 7.0, look.receding_deg)))
    blend(skin.brow, 0.50 * brow_cover(points, eye_centre))
    return colour
