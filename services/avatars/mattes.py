"""The person of a film that was copied before one colour, cut out again: to be drawn on whatever a page has behind it.

Where a pixel shows the person and the colour, the person's part of it is known, because the colour is.

Axes: H W C picture (RGB, uint8).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.avatar_format import AvatarManifest
from recipe.errors import BrokenAvatarError
from recipe.material import GROUP_FRAMES
from services.avatars.template import TemplateVideo

_KEPT_BYTES_PER_PX: Final = 1.5 * GROUP_FRAMES + 2 * 3  # asked for once, in order: a group as decoded, two as RGB
_NONE, _ALL = 4, 251  # what coding makes of 0 and 255
_LEAST: Final = 0.1  # of the person in a pixel, for its colour to be told


class Mattes:
    """How much of the person every pixel of every template frame shows."""

    def __init__(self, path: Path, manifest: AvatarManifest) -> None:
        """Index the file.

        Raises:
            BrokenAvatarError: it is no such video, or avatar.json does not say before which colour.
        """
        self.memory_bytes = int(_KEPT_BYTES_PER_PX * manifest.width * manifest.height)
        self._video = TemplateVideo(path, manifest.frames, manifest.width, manifest.height, self.memory_bytes)
        colour = str(manifest.template.get("background"))
        if not re.fullmatch("#[0-9a-f]{6}", colour):
            raise BrokenAvatarError(f"{path} is there, but avatar.json names no colour behind; copy the avatar again")
        self._behind_3 = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.float32)

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A picture of template frame `index` with its opacity, (H, W, 4); raises what `TemplateVideo.frame` does."""
        grey_HW = self._video.shown(index)[..., 1].astype(np.float32)
        alpha_HW1 = np.clip((grey_HW - _NONE) / (_ALL - _NONE), 0, 1)[..., None]
        own = self._behind_3 + (picture_HWC - self._behind_3) / np.maximum(alpha_HW1, _LEAST)
        return np.concatenate([np.clip(own, 0, 255), 255 * alpha_HW1], axis=2).round().astype(np.uint8)
