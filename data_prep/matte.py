"""A person cut out of a film with soft edges: opacity, the person's own colour, and what lies behind.

The network sees 256 px and each frame by itself. Its answer is averaged over a few frames, so that the edge does not
flicker, and then drawn to the edges of the picture by a guided filter, so that hair is not cut with scissors. Where a
pixel shows both, hair and wall, the two colours are told apart, or the old wall would shine through as a rim.

Sources: He et al., Guided Image Filtering, 2010; Forte, Approximate Fast Foreground Colour Estimation, 2021 (both told
again). Axes: H W C picture; H W opacity, 0..1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.errors import FaceError
from data_prep.person import find_person

Opacity = NDArray[np.float32]

_WEIGHTS: Final = (0.05, 0.25, 0.4, 0.25, 0.05)  # of the masks before, at and after a frame
_SURE: Final = 0.5
_NEAR: Final = 1 / 40  # of the longer side: parts of the mask so near to the person are still of it
_EDGE: Final = 1 / 85  # of the longer side: so far the filter looks
_CALM: Final = 2e-4  # contrast, squared, below which the filter sees no edge
_FITTED_PX: Final = 512  # longer side at which it fits
_RIM: Final = 1 / 25  # of the longer side: so far colours are taken from
_PURE: Final = 4  # power: of a colour's neighbours those that are no mixture count
_GUESSED: Final = 1e-2  # weight of a guess against what is seen near it
_LEAST: Final = 0.05  # opacity from which on a pixel is the person


def cut_out(
    pictures: Iterable[NDArray[np.uint8]], centres_T2: NDArray[np.floating]
) -> Iterator[tuple[NDArray[np.uint8], Opacity]]:
    """Every picture with the opacity of the person in it.

    Args:
        pictures: RGB, in order.
        centres_T2: where in each the face is, px.
    Raises:
        FaceError: the network sees nobody there.
    """
    reach = len(_WEIGHTS) // 2
    seen: deque[tuple[NDArray[np.uint8], Opacity]] = deque(maxlen=len(_WEIGHTS))
    for number, (rgb_HWC, centre_2) in enumerate(zip(pictures, centres_T2, strict=True)):
        mask_HW = own_person(find_person(rgb_HWC), centre_2)
        if mask_HW is None:
            raise FaceError(f"frame {number}: the person is not told from the background; leave it as it was filmed")
        if not seen:
            seen.extend([(rgb_HWC, mask_HW)] * reach)  # before the beginning it is as at the beginning
        seen.append((rgb_HWC, mask_HW))
        if len(seen) == seen.maxlen:
            yield _middle(seen)
    for _ in range(reach if seen else 0):  # and after the end as at the end
        seen.append(seen[-1])
        if len(seen) == seen.maxlen:
            yield _middle(seen)


def _middle(seen: deque[tuple[NDArray[np.uint8], Opacity]]) -> tuple[NDArray[np.uint8], Opacity]:
    rgb_HWC = seen[len(seen) // 2][0]
    calm_HW = np.zeros(rgb_HWC.shape[:2], np.float32)
    for weight, (_, mask_HW) in zip(_WEIGHTS, seen, strict=True):
        calm_HW += np.float32(weight) * mask_HW
    return rgb_HWC, to_edges(calm_HW, rgb_HWC)


def own_person(mask_HW: Opacity, centre_2: NDArray[np.floating]) -> Opacity | None:
    """The mask of the person whose face it is, without others; None where there is nobody."""
    height, width = mask_HW.shape
    x, y = (int(np.clip(round(float(at)), 0, size - 1)) for at, size in zip(centre_2, (width, height), strict=True))
    sure = (mask_HW > _SURE).astype(np.uint8)
    if not sure[y, x]:
        return None
    _, labels = cv2.connectedComponents(sure)
    side = 2 * max(1, round(_NEAR * max(height, width))) + 1
    near = cv2.dilate((labels == labels[y, x]).astype(np.uint8), np.ones((side, side), np.uint8))
    return np.where(near > 0, mask_HW, 0).astype(np.float32)


def to_edges(mask_HW: Opacity, rgb_HWC: NDArray[np.uint8]) -> Opacity:
    """The mask, drawn to the edges of the picture: near every pixel it becomes a line in the picture's colours.

    The lines are fitted in a picture of at most 512 px, and drawn in the whole one.
    """
    height, width = mask_HW.shape
    scale = min(1.0, _FITTED_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    guide_HWC = np.asarray(rgb_HWC, np.float32) / np.float32(255)
    slope_HWC, offset_HW = _lines(_resized(mask_HW, size), _resized(guide_HWC, size))
    slope_HWC, offset_HW = _resized(slope_HWC, (width, height)), _resized(offset_HW, (width, height))
    drawn_HW = (slope_HWC * guide_HWC).sum(axis=2) + offset_HW
    return np.asarray(np.clip((drawn_HW - _LEAST) / (1 - 2 * _LEAST), 0, 1), np.float32)


def _lines(mask_HW: Opacity, guide_HWC: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    side = 2 * max(1, round(_EDGE * max(mask_HW.shape))) + 1

    def mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REPLICATE), np.float32)

    guide, mask = mean(guide_HWC), mean(mask_HW)
    shared_HWC = mean(guide_HWC * mask_HW[..., None]) - guide * mask[..., None]
    pairs_HW9 = (guide_HWC[..., :, None] * guide_HWC[..., None, :]).reshape(*mask_HW.shape, 9)
    products = np.concatenate([mean(np.ascontiguousarray(pairs_HW9[..., at : at + 3])) for at in (0, 3, 6)], axis=2)
    spread_HWCC = products.reshape(*mask_HW.shape, 3, 3) - guide[..., :, None] * guide[..., None, :]
    slope = np.linalg.solve(spread_HWCC + _CALM * np.eye(3, dtype=np.float32), shared_HWC[..., None])[..., 0]
    return mean(slope), mean(mask - (slope * guide).sum(axis=2))


def _resized(values: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    shrinks = size[0] < values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=method), np.float32)


def own_colour(rgb_HWC: NDArray[np.uint8], alpha_HW: Opacity) -> NDArray[np.float32]:
    """The person's colour at every pixel, without what shines through it: (H, W, 3), 0..255."""
    picture, alpha_HW1 = rgb_HWC.astype(np.float32), alpha_HW[..., None]
    sigma = _RIM * max(alpha_HW.shape) / 3
    person, behind = spread(picture, alpha_HW**_PURE, sigma), spread(picture, (1 - alpha_HW) ** _PURE, sigma)
    own = person + alpha_HW1 * (picture - alpha_HW1 * person - (1 - alpha_HW1) * behind)
    return np.asarray(np.clip(own, 0, 255), np.float32)


def behind_person(
    rgb_HWC: NDArray[np.uint8], alpha_HW: Opacity, blur_px: float, guess_HWC: NDArray[np.uint8] | None = None
) -> NDArray[np.float32]:
    """What is behind the person, blurred, and without a rim of the person.

    Args:
        rgb_HWC: the picture.
        alpha_HW: opacity of the person.
        blur_px: standard deviation.
        guess_HWC: what may be there where nothing of it is near; without it that place is not to be shown.
    """
    behind = spread(rgb_HWC.astype(np.float32), (1 - alpha_HW) ** _PURE, blur_px)
    if guess_HWC is None:
        return behind
    seen = np.asarray(cv2.GaussianBlur((1 - alpha_HW) ** _PURE, (0, 0), blur_px), np.float32)[..., None]
    guess = np.asarray(cv2.GaussianBlur(guess_HWC.astype(np.float32), (0, 0), blur_px), np.float32)
    return (seen * behind + np.float32(_GUESSED) * guess) / (seen + np.float32(_GUESSED))


def spread(picture_HWC: NDArray[np.float32], share_HW: Opacity, sigma: float) -> NDArray[np.float32]:
    """A blurred picture that only pixels with a share went into."""
    weight = np.asarray(cv2.GaussianBlur(share_HW, (0, 0), sigma), np.float32)
    total = np.asarray(cv2.GaussianBlur(picture_HWC * share_HW[..., None], (0, 0), sigma), np.float32)
    return np.asarray(total / np.maximum(weight, 1e-4)[..., None], np.float32)
