"""A recording's sound, cut by the recording's own clock.

Axes: S audio samples (16 kHz).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import SAMPLE_RATE_HZ
from recipe.sound import mono_blocks


def recorded_sound(path: Path, start_s: float, samples: int) -> NDArray[np.float32]:
    """Cut a recording's sound by its own clock.

    Args:
        path: the recording.
        start_s: time of the first sample, in seconds of the container's clock.
        samples: how many; where the recording has no sound the samples are 0.
    """
    sound_S = np.zeros(samples, np.float32)
    at: int | None = None
    for block_start_s, block in mono_blocks(path, keep_time=True):
        if at is None:
            at = round((block_start_s - start_s) * SAMPLE_RATE_HZ)
        first, stop = max(at, 0), min(at + len(block), samples)
        if stop > first:
            sound_S[first:stop] = block[first - at : stop - at]
        at += len(block)
        if at >= samples:
            break
    return sound_S
