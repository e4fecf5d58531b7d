"""The curve by which everything here comes and goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]


def smoothstep(start: float, stop: float, x: Float) -> Float:
    """0 before start, 1 after stop (either may be the greater), smooth between."""
    t = np.clip((x - start) / (stop - start), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))
