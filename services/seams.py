"""Where speech begins and ends the mouth comes from rest, or from what it did when it was interrupted, and goes back.

What is blended is what the drawing is told, not two pictures: lips move between both places, and nothing is drawn
twice. For a trained avatar it is what its voice gate does: between speech and silence it blends in the same way.

Axes: B batch, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

SEAM_FRAMES: Final = 4
_KEPT_FRAMES: Final = 256  # of which it is remembered what they were told: more than ever wait to be shown


@dataclass(slots=True)
class Seams:
    """Both ends of one utterance."""

    rest_D: NDArray[np.float32]  # what a closed mouth is told
    from_D: NDArray[np.float32]  # what the frame before the first one was told
    _told: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def blended(
        self, indices: Sequence[int], last: int | None, embedding_BD: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What the frames are told in the end; those away from both ends keep their bits.

        Args:
            indices: of the frames in their utterance, in order.
            last: index of the utterance's last frame, once it is known; SEAM_FRAMES before it, it has to be.
            embedding_BD: what was heard.
        """
        blended_BD = embedding_BD.copy()
        for row, index in enumerate(indices):
            if index < SEAM_FRAMES:
                blended_BD[row] = mixed(self.from_D, blended_BD[row], index + 1)
            if last is not None and last - index < SEAM_FRAMES:
                blended_BD[row] = mixed(self.rest_D, blended_BD[row], last - index + 1)
            self._told[index] = blended_BD[row]
            self._told.pop(index - _KEPT_FRAMES, None)
        return blended_BD

    def told(self, index: int) -> NDArray[np.float32]:
        """What a frame was told that was drawn lately."""
        return self._told[index]


def mixed(from_D: NDArray[np.float32], to_D: NDArray[np.float32], step: int) -> NDArray[np.float32]:
    """On the way from one to the other: step 1 is the first that has left, SEAM_FRAMES the last before it is there."""
    share = np.float32(step / (SEAM_FRAMES + 1))
    return from_D + (to_D - from_D) * share
