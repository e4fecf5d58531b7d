"""What comes out of a live session, in order.

    (Began (Caption* LiveFrame)* [Failed])* and, when the last frame of an epoch was shown, Finished

An epoch is one utterance; what belongs to one that was cleared never comes out after `clear` returned.

Axes: S audio samples at the epoch's rate, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.avatars.template import TemplateStep
from services.types import Place, Voice


@dataclass(frozen=True, slots=True)
class Began:
    """An utterance begins with the next frame."""

    epoch: int
    sample_rate_hz: int  # of its sound
    start: TemplateStep  # the template frame under its first picture
    voice: Voice | None
    asked_at: float  # time.perf_counter() when its first text or sound came


@dataclass(frozen=True, slots=True)
class Caption:
    """A sentence begins with the next frame."""

    epoch: int
    index: int
    text: str


@dataclass(frozen=True, eq=False, slots=True)
class LiveFrame:
    """A picture and the sound that belongs to it.

    Attributes:
        epoch: the utterance's; of a frame in which nothing is said, the latest one's.
        sequence: number within the session, from 0, without gaps in what was not cleared.
        first_sample: of its sound within the utterance; frame i owns [i * rate // 25, (i + 1) * rate // 25).
        pcm_S: its sound, as it was given; empty where nothing is said.
        step: the template frame, and where the walk leaves it.
        picture_HWC: whole, or a patch if there is a `place`; None where it is the idle picture of that frame.
        last: nothing of this epoch follows.
        idle: nothing is said.
        held: it shows the mouth of the frame before it, because this machine is too slow for every mouth.
    """

    epoch: int
    sequence: int
    first_sample: int
    pcm_S: NDArray[np.float32]
    step: TemplateStep
    picture_HWC: NDArray[np.uint8] | None
    place: Place | None = None
    last: bool = False
    idle: bool = False
    held: bool = False


@dataclass(frozen=True, slots=True)
class Finished:
    """An utterance is over for whoever watches: its last frame was shown, or it was cleared."""

    epoch: int
    samples: int  # that were played, at the epoch's rate
    interrupted: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The rest of an utterance cannot be said; the session goes on."""

    epoch: int
    error: Exception


Event = Began | Caption | LiveFrame | Finished | Failed
