"""A photo made better before it becomes an avatar, where it is measured to be bad; a good one stays as it is.

Noise, JPEG blocks and blur are told from the face itself. Each has its own remedy out of OpenCV, and a limit below
which nothing is done: limits and strengths were chosen by SSIM against the undegraded portrait
(docs/decisions/0018-restoration.md; `python -m benchmarks.photo_restoration` prints the table again).

Axes: H W C picture (RGB).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.still_landmarks import StillLandmarks
from recipe.face_restorer import FaceRestorer

Restore = FaceRestorer | Literal["auto", "off"]  # a network, what helps of this module, or nothing
Float = NDArray[np.float32]
_NOISY: Final = 2.0  # clean: up to 0.8, also in film grain of good recordings; Gaussian noise of 5 levels: 3.5
_BLOCKY: Final = 1.45  # clean: up to 1.14; JPEG of quality 75: 1.2 to 1.6, 50: 1.5 to 1.9, 20: 2.3 to 2.7
_BLURRED_PX: Final = 0.6
_PER_NOISE, _PER_BLOCK = 1.15, 2.6  # strengths of the denoiser, in grey levels
# Share of the strongest gradients that is left after a blur of 1.2 px -> the blur that the picture has already.
_LEFT: Final = (0.80, 0.845, 0.88, 0.905, 0.935, 0.96)
_BLUR_PX: Final = (0.0, 1.0, 1.5, 2.0, 3.0, 4.0)
_PROBE_PX: Final = 1.2
# A face narrower than this is drawn larger than it came: by Lanczos it looks better than enlarged by a browser.
_SMALL_FACE_PX: Final = 180.0
_MOST_ENLARGED, _LEAST_ENLARGED = 2.0, 1.15


@dataclass(frozen=True)
class Degradation:
    """What is wrong with a picture, told from its pixels."""

    noise: float  # grey levels
    blocks: float  # steps across the lines of an 8-px grid over the steps beside them; 1: there is no grid
    blur_px: float  # sigma of a Gaussian; 0: sharp

    @property
    def remedies(self) -> tuple[str, ...]:
        """What `restored` would do; empty for a good picture."""
        found = {
            "denoised": self.noise > _NOISY,
            "deblocked": self.blocks > _BLOCKY,
            "sharpened": self.blur_px > _BLURRED_PX,
        }
        return tuple(name for name, needed in found.items() if needed)


def restored_photo(
    rgb_HWC: NDArray[np.uint8], found: StillLandmarks, size_px: int, restore: Restore
) -> tuple[NDArray[np.uint8], StillLandmarks, str]:
    """Make a bad photo better.

    Args:
        rgb_HWC: the photo, cropped, not larger than it will be shown.
        found: its landmarks.
        size_px: the longer side of the result, at most.
        restore: a network restores whatever comes, in the size that is wanted.
    Returns:
        The photo, its landmarks, and what was done, in words; the very same array and "" where nothing was.
    Raises:
        RestorerError: the network failed.
    """
    if restore == "off":
        return rgb_HWC, found, ""
    done: list[str] = []
    if restore == "auto":
        degradation = degradation_of(rgb_HWC, found.skin_box)
        rgb_HWC = restored(rgb_HWC, degradation)
        done += degradation.remedies
    x0, _, x1, _ = found.skin_box
    if restore != "auto" or x1 - x0 < _SMALL_FACE_PX:
        before = rgb_HWC.shape[1]
        rgb_HWC, found = _enlarged(rgb_HWC, found, size_px)
        done += [f"enlarged {rgb_HWC.shape[1] / before:.2f} times"] if rgb_HWC.shape[1] != before else []
    if restore != "auto":
        rgb_HWC = restore.restored(rgb_HWC, found.points_K3[:, :2])
        done.append(f"restored by {restore.path.name}")
    return rgb_HWC, found, ", ".join(done)


def _enlarged(
    rgb_HWC: NDArray[np.uint8], found: StillLandmarks, size_px: int
) -> tuple[NDArray[np.uint8], StillLandmarks]:
    """At the size that is wanted, as far as that makes sense, with even sides."""
    height, width = rgb_HWC.shape[:2]
    factor = min(_MOST_ENLARGED, size_px / max(height, width))
    if factor < _LEAST_ENLARGED:
        return rgb_HWC, found
    size = round(width * factor / 2) * 2, round(height * factor / 2) * 2
    large = np.asarray(cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)
    return large, found.scaled(size[0] / width, size[1] / height)


def degradation_of(rgb_HWC: NDArray[np.uint8], face_box_4: NDArray[np.floating]) -> Degradation:
    """Measure a picture.

    Args:
        rgb_HWC: the picture, at the size it will be shown in.
        face_box_4: x0, y0, x1, y1 of its face, px: noise and blur are those of the face, blocks of the whole.
    """
    light_HW = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32)
    x0, y0 = np.maximum(np.floor(face_box_4[:2]), 0).astype(int)
    x1, y1 = np.ceil(face_box_4[2:]).astype(int)
    face_HW = np.ascontiguousarray(light_HW[y0:y1, x0:x1])
    return Degradation(_noise(face_HW), _blocks(light_HW), _blur_px(face_HW))


def restored(rgb_HWC: NDArray[np.uint8], found: Degradation) -> NDArray[np.uint8]:
    """The picture with what was found taken away as far as it goes; the very same bytes where nothing was."""
    rgb, remedies = rgb_HWC, found.remedies
    strength = max(
        _PER_NOISE * found.noise if "denoised" in remedies else 0.0,
        _PER_BLOCK * (found.blocks - 1) if "deblocked" in remedies else 0.0,
    )
    if strength:
        rgb = np.asarray(cv2.fastNlMeansDenoisingColored(rgb, None, strength, strength, 5, 15), np.uint8)
    if "sharpened" in remedies:
        rgb = _sharpened(rgb, found.blur_px)
    return rgb


def _sharpened(rgb_HWC: NDArray[np.uint8], sigma_px: float) -> NDArray[np.uint8]:
    """Unsharp masking that stays within what is around every pixel: edges get steep, and no halo."""
    rgb = rgb_HWC.astype(np.float32)
    sharp = 2 * rgb - cv2.GaussianBlur(rgb, (0, 0), sigma_px)
    around = np.ones((3, 3), np.uint8)
    return np.round(np.clip(sharp, cv2.erode(rgb, around), cv2.dilate(rgb, around))).astype(np.uint8)


def _noise(light_HW: Float) -> float:
    """Of what no smooth picture has: second differences in both directions (Immerkaer 1996), by their median."""
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    return float(1.4826 / 6 * np.median(np.abs(cv2.filter2D(light_HW, cv2.CV_32F, kernel))))


def _blocks(light_HW: Float) -> float:
    """The lesser of both directions: a grid has lines both ways, a striped shirt has not. It may begin anywhere."""

    def stands_out(steps: Float) -> float:
        phases = np.array([steps[phase::8].mean() for phase in range(8)])
        return float(phases.max() / max(np.median(phases), 1e-3))

    across = np.abs(np.diff(light_HW, axis=1)).mean(0), np.abs(np.diff(light_HW, axis=0)).mean(1)
    return min(stands_out(steps) for steps in across)


def _blur_px(light_HW: Float) -> float:
    """How little a further blur takes from the strongest edges."""
    before, after = (_slope(one) for one in (light_HW, cv2.GaussianBlur(light_HW, (0, 0), _PROBE_PX)))
    edges = before >= np.percentile(before, 90)
    left = float(after[edges].sum() / max(before[edges].sum(), 1e-3))
    return float(np.interp(left, _LEFT, _BLUR_PX))


def _slope(light_HW: object) -> Float:
    light = np.asarray(light_HW, np.float32)
    return np.asarray(np.hypot(cv2.Sobel(light, cv2.CV_32F, 1, 0), cv2.Sobel(light, cv2.CV_32F, 0, 1)), np.float32)
