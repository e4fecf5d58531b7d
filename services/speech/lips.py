"""Lips from what is said: an engine's phones become mouth units frame by frame, while they are told.

    lips = SpokenLips()
    lips.tell(chunk.phones, chunk.alphabet, heard_s)     # of every chunk, in order
    if lips.are_known(frame):                            # all that has a say in this frame has been told
        units_U = lips.take(frame)                       # or None: nothing is told about it, and the ears listen

A frame is made from the phones around it alone, so that it is the same however the chunks came.

Axes: U mouth units.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.coarticulation import NEEDS_S, Segment, segments_of
from recipe.articulation.mouth_units import units_of_frame
from recipe.articulation.visemes import Phone, UnknownPhoneError
from recipe.recipe_328 import FPS

logger = logging.getLogger(__name__)

_FRAME_S: Final = 1 / FPS


@dataclass(frozen=True, slots=True)
class _Untold:
    """A stretch of which it is not known what the mouth does."""

    start_s: float
    stop_s: float


class SpokenLips:
    """What the mouth does in one utterance; frames are taken in order, by the thread that tells the phones."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._told: deque[Segment | _Untold] = deque()
        self._known_s = 0.0
        self._complained: set[str] = set()

    def tell(self, phones: tuple[Phone, ...] | None, alphabet: str, heard_s: float) -> None:
        """Take over what came with a chunk.

        A phone without a mouth shape is logged once an utterance, and so is sound that comes without its phones.

        Args:
            phones: in seconds from the begin of the utterance; None or empty if there are no new ones.
            alphabet: theirs.
            heard_s: end of the chunk's sound.
        """
        for phone in phones or ():
            try:
                self._told.extend(segments_of([phone], alphabet))
            except UnknownPhoneError as error:
                self._leave(phone.start_s, phone.stop_s, str(error))
            self._known_s = max(self._known_s, phone.stop_s)
        if heard_s - self._known_s > _FRAME_S:
            self._leave(self._known_s, heard_s, "sound came without its phones")
            self._known_s = heard_s

    def _leave(self, start_s: float, stop_s: float, why: str) -> None:
        self._told.append(_Untold(start_s, stop_s))
        if why not in self._complained:
            self._complained.add(why)
            logger.warning("from %.2f s on the lips are heard, not told: %s", start_s, why)

    def are_known(self, frame: int) -> bool:
        """Whether everything was told that has a say in a frame; what comes later changes nothing about it."""
        return self._known_s >= _middle_s(frame) + NEEDS_S

    def take(self, frame: int) -> NDArray[np.float32] | None:
        """The mouth units of a frame, (U,), or None near what was not told; earlier frames are forgotten.

        At the end of an utterance also of frames that are not `are_known`: after its last phone the mouth rests.
        """
        first_s, last_s = _middle_s(frame) - NEEDS_S, _middle_s(frame) + NEEDS_S
        while self._told and self._told[0].stop_s < first_s:
            self._told.popleft()
        near = [told for told in self._told if told.start_s <= last_s]
        segments = [told for told in near if isinstance(told, Segment)]
        return units_of_frame(segments, frame) if len(segments) == len(near) else None


def _middle_s(frame: int) -> float:
    return (frame + 0.5) / FPS
