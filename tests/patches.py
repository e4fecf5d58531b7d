"""What a client does with a patch."""

from __future__ import annotations

import numpy as np

from services.types import AvatarModel, Patch


def over(picture_HWC: np.ndarray, patch: Patch) -> np.ndarray:
    """A picture with a patch drawn into it."""
    shown = picture_HWC.copy()
    (left, top), (height, width) = patch.place, patch.picture_HWC.shape[:2]
    shown[top : top + height, left : left + width] = patch.picture_HWC
    return shown


def assert_patches_over_idle_pictures_are_the_whole(
    model: AvatarModel, indices: list[int], told_BD: np.ndarray, rest_D: np.ndarray
) -> None:
    """Of an avatar of any kind, bit for bit; and that the mouth does something in them."""
    resting = list(model.draw(indices, np.repeat(rest_D[None], len(indices), 0)))
    whole, patches = list(model.draw(indices, told_BD)), list(model.draw_patches(indices, told_BD))
    for idle, picture, patch in zip(resting, whole, patches, strict=True):
        assert not np.array_equal(idle, picture)
        np.testing.assert_array_equal(over(idle, patch), picture)
