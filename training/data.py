"""A dataset on the training device: crops, boxes, poses, and which frames may be used for what.

Every random choice comes from a generator that is seeded by the run's seed and the step (`step_generator`), so a
resumed run draws the same batches as an uninterrupted one without any data position to remember.

Axes: B batch of clips, T consecutive frames (or all frames of the recording), C H W image, R references.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_prep.dataset_328 import Dataset328
from recipe.material import no_window, usable_frames, window_starts
from recipe.mouth import mouth_boxes
from recipe.recipe_328 import CROP_PX, INNER_OFFSET_PX, INNER_PX, PATCH_TOP_PX
from training.references import ReferencePools, build_pools

log = logging.getLogger(__name__)

_GPU_SHARE = 0.5  # of the free GPU memory that crops may take
_CLOSED_SHARE = 0.22  # of the draws that go to closed mouths


def step_generator(seed: int, step: int, rank: int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random numbers of one step of one process."""
    generator = torch.Generator(device=device)
    generator.manual_seed((seed * 1_000_003 + step) * 97 + rank)
    return generator


@dataclass
class FaceData:
    """All that training needs of the picture, resident on the device where it fits."""

    dataset: Dataset328
    device: torch.device
    crops: Tensor | NDArray[np.uint8]  # (T, 328, 328, 3), a tensor when it is on the device
    opening_T: Tensor
    mouth_box_T4: Tensor  # inner coordinates
    usable_T: NDArray[np.bool_]
    pools: ReferencePools

    @classmethod
    def load(cls, dataset: Dataset328, device: torch.device) -> FaceData:
        """Put a dataset on the device.

        Raises:
            ValueError: no training frames are left.
        """
        usable = usable_frames(dataset.valid_T, dataset.clips)
        pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, usable, dataset.splits["train"])
        return cls(
            dataset=dataset,
            device=device,
            crops=_place_crops(dataset.crops, device),
            opening_T=torch.from_numpy(dataset.opening_T.astype(np.float32)),
            mouth_box_T4=torch.from_numpy(inner_mouth_boxes(dataset.landmarks_TK2, dataset.affine_T23)).to(device),
            usable_T=usable,
            pools=pools,
        )

    def windows(self, split: str, length: int) -> Tensor:
        """First frames of all windows of `length` usable frames inside one block of a split and one clip.

        Raises:
            TooLittleMaterialError: there is none.
        """
        starts = window_starts(self.usable_T, self.dataset.clips, self.dataset.splits[split], length)
        if len(starts) == 0:
            raise no_window(split, self.dataset.name, length)
        return torch.from_numpy(starts)

    def inner(self, frames_N: Tensor, shift_N2: Tensor | None = None) -> Tensor:
        """Inner squares of frames as float RGB in [0, 1], (N, 3, 320, 320) in channels_last.

        Args:
            frames_N: frame numbers, on the CPU.
            shift_N2: whole pixels (dx, dy) in +-4 by which the square is moved inside the crop.
        """
        if shift_N2 is None:
            shift_N2 = torch.zeros(len(frames_N), 2, dtype=torch.long)
        corners = (shift_N2 + INNER_OFFSET_PX).tolist()
        cuts = [
            as_tensor(self.crops[frame, y : y + INNER_PX, x : x + INNER_PX])
            for frame, (x, y) in zip(frames_N.tolist(), corners, strict=True)
        ]
        return torch.stack(cuts).to(self.device, non_blocking=True).permute(0, 3, 1, 2).float() / 255

    def references(self, frames_BR: Tensor, shift_B2: Tensor | None = None) -> Tensor:
        """Reference pictures side by side in the channels, (B, 3R, 320, 320)."""
        count, references = frames_BR.shape
        shift = None if shift_B2 is None else shift_B2.repeat_interleave(references, 0)
        pictures = self.inner(frames_BR.flatten(), shift)
        return pictures.reshape(count, 3 * references, INNER_PX, INNER_PX).contiguous(memory_format=torch.channels_last)

    def patch_boxes(self, frames_N: Tensor, shift_N2: Tensor | None = None) -> Tensor:
        """Mouth boxes (N, 4) in pixels of the rows that the network draws."""
        boxes = self.mouth_box_T4[frames_N.to(self.device)].clone()
        if shift_N2 is not None:
            boxes -= shift_N2.to(self.device).repeat(1, 2)
        boxes[:, 1::2] -= PATCH_TOP_PX
        return boxes.clamp_min(0)


def inner_mouth_boxes(landmarks_TK2: NDArray[np.float32], affine_T23: NDArray[np.float32]) -> NDArray[np.float32]:
    """The recipe's mouth boxes in inner coordinates, (T, 4) as x0, y0, x1, y1; frames without a face have an empty one.

    Args:
        landmarks_TK2: frame px.
        affine_T23: frame px -> crop px.
    """
    inner = np.einsum("tij,tkj->tki", affine_T23[:, :, :2], landmarks_TK2) + affine_T23[:, None, :, 2] - INNER_OFFSET_PX
    return np.clip(np.nan_to_num(mouth_boxes(inner)), 0, INNER_PX - 1).astype(np.float32)


def balanced_weights(opening_N: Tensor, closed_share: float = _CLOSED_SHARE) -> Tensor:
    """Sampling weights that give closed mouths a fixed share and wide ones more than they have.

    Args:
        opening_N: mouth opening at each window's centre.
        closed_share: share of draws that go to the closed mouths (lowest tenth of the opening's range).
    Returns:
        (N,), sum 1.
    """
    low, high = torch.quantile(opening_N, torch.tensor([0.02, 0.98])).tolist()
    level = ((opening_N - low) / max(high - low, 1e-6)).clamp(0, 1)
    bins = torch.where(level < 0.1, 0, 1 + (level * 3.999).long())
    weights = torch.zeros_like(opening_N)
    open_bins = [b for b in range(1, 5) if (bins == b).any()]
    for b in [0, *open_bins]:
        members = bins == b
        if members.any():
            share = closed_share if b == 0 else (1 - closed_share) / max(len(open_bins), 1)
            # No more than four times a window's fair share, or a handful of frames would be learned by heart.
            weights[members] = min(share / int(members.sum()), 4 / len(opening_N))
    return weights / weights.sum()


def draw(weights_N: Tensor, starts_N: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Draw window starts by weight, with replacement."""
    return starts_N[torch.multinomial(weights_N, count, replacement=True, generator=generator)]


def draw_shifts(count: int, generator: torch.Generator) -> Tensor:
    """Whole-pixel shifts that the 328-px crop leaves room for, (count, 2)."""
    reach = (CROP_PX - INNER_PX) // 2
    return torch.randint(-reach, reach + 1, (count, 2), generator=generator)


def spans(starts_B: Tensor, length: int) -> Tensor:
    """Frame numbers of windows, (B, length)."""
    return starts_B[:, None] + torch.arange(length)[None]


def in_ranges(count: int, ranges: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Mask of the frames that lie in half-open ranges."""
    mask = np.zeros(count, np.bool_)
    for start, stop in ranges:
        mask[start:stop] = True
    return mask


def as_tensor(picture: Tensor | NDArray[np.uint8]) -> Tensor:
    """A tensor as it is; a piece of the read-only memory map as a tensor of its own."""
    return picture if isinstance(picture, Tensor) else torch.from_numpy(np.array(picture))


def _place_crops(crops: NDArray[np.uint8], device: torch.device) -> Tensor | NDArray[np.uint8]:
    if device.type != "cuda":
        return crops
    free, _ = torch.cuda.mem_get_info(device)
    if crops.nbytes > free * _GPU_SHARE:
        log.warning(
            "the crops need %.1f GB and %.1f GB of GPU memory are free: they stay on disk",
            crops.nbytes / 1e9,
            free / 1e9,
        )
        return crops
    on_device = torch.empty(crops.shape, dtype=torch.uint8, device=device)
    for first in range(0, len(crops), 256):
        on_device[first : first + 256] = torch.from_numpy(np.ascontiguousarray(crops[first : first + 256]))
    return on_device
