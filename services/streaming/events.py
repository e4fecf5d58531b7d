"""What happens in an utterance, in order; encoders turn it into bytes for one transport or another.

    Header, (Caption* Frame)*, End

Axes: S audio samples at the header's rate, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.aspect import Box
from recipe.consent import ConsentState
from recipe.recipe_328 import FPS

GENERATED: Final = "AI-generated"


def mark_of(consent: ConsentState) -> str:
    """What a file says of itself, in the field `comment` of its metadata."""
    return f"{GENERATED}; no consent recorded" if consent == "none" else GENERATED


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
    consent: ConsentState = "none"
    face: Box | None = None  # in any picture, where it is known

    @property
    def mark(self) -> str:
        """What a file says of itself to whoever finds it elsewhere."""
        return mark_of(self.consent)

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
    held: bool = False  # shows the mouth of the frame before it: this machine is too slow for every mouth

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
