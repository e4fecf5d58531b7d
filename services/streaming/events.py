"""What happens in an utterance, in order; encoders turn it into bytes for one transport or another.

    Header, (Caption* Frame)*, End

Axes: S audio samples at the header's rate, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS


@dataclass(frozen=True, slots=True)
class Header:
    """The facts that hold for the whole utterance."""

    utterance: str
    avatar: str
    width: int
    height: int
    sample_rate_hz: int  # of the listeners' sound
    start_frame: int
    direction: int
    voice: str | None = None
    engine: str | None = None

    @property
    def samples_per_frame(self) -> int:
        return self.sample_rate_hz // FPS


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence that begins with the next frame."""

    index: int
    text: str


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """A picture and the sound that belongs to it, at the header's rate."""

    index: int
    template_index: int
    frame_rgb_HWC: NDArray[np.uint8]
    pcm_S: NDArray[np.float32]

    @property
    def pts_s(self) -> float:
        return self.index / FPS


@dataclass(frozen=True, slots=True)
class End:
    """The utterance is over; the template goes on with `template_index`, walked in `direction`."""

    frames: int
    template_index: int
    direction: int

    @property
    def duration_s(self) -> float:
        return self.frames / FPS


Event = Header | Caption | Frame | End
