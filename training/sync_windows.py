"""What SyncNet looks at in one step: windows of five mouths, small, shifted, mirrored and lit.

Windows come in fours that lie close together (up to 25 frames apart): telling those apart is the task at hand.

Axes: B batch of windows, T frames of a window (or all frames of the recording), C H W image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from models.syncnet_328 import SyncNetConfig
from recipe.recipe_328 import CROP_PX, INNER_OFFSET_PX
from training.data import FaceData, as_tensor, draw

_NEIGHBOURS = 4  # windows of a batch that lie close together
_NEAR_FRAMES = 25


def mouth_thumbnails(data: FaceData, config: SyncNetConfig) -> Tensor:
    """Every frame's mouth square at SyncNet's size plus a margin for shifts, (T, 3, px, px) uint8 on the device."""
    top, left, height, width = config.mouth_box
    top, left = top + INNER_OFFSET_PX, left + INNER_OFFSET_PX
    reach = min(INNER_OFFSET_PX, CROP_PX - top - height)
    size = round(config.mouth_px * (height + 2 * reach) / height)
    pieces = []
    for first in range(0, len(data.crops), 256):
        piece = data.crops[first : first + 256, top - reach : top + height + reach, left - reach : left + width + reach]
        piece = as_tensor(piece).to(data.device).permute(0, 3, 1, 2).float()
        pieces.append(F.interpolate(piece, (size, size), mode="area").round().byte())
    return torch.cat(pieces)


def draw_windows(starts: Tensor, weights: Tensor, batch: int, generator: torch.Generator) -> Tensor:
    """Anchors by weight, each with neighbours that are the hard negatives."""
    anchors = draw(weights, torch.arange(len(starts)), batch // _NEIGHBOURS, generator)
    steps = torch.randint(-_NEAR_FRAMES, _NEAR_FRAMES + 1, (len(anchors), _NEIGHBOURS), generator=generator)
    steps[:, 0] = 0
    return starts[(anchors[:, None] + steps).clamp(0, len(starts) - 1).flatten()]


def augmented_mouths(thumbnails: Tensor, frames_BT: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Mouth squares with a common shift, mirroring and light of each window, (B, T, 3, px, px) in [0, 1]."""
    count, device = len(frames_BT), thumbnails.device
    reach = thumbnails.shape[-1] - size
    shift = torch.randint(0, reach + 1, (count, 2), generator=generator)
    span = torch.arange(size)
    columns = shift[:, :1] + span[None]
    mirror = torch.rand(count, generator=generator) < 0.5
    columns = torch.where(mirror[:, None], columns.flip(1), columns)[:, None, None, :]
    rows = (shift[:, 1:] + span[None])[:, None, :, None]
    picked = thumbnails[frames_BT[..., None, None].to(device), :, rows.to(device), columns.to(device)]
    light = 1 + 0.2 * (torch.rand(count, 1, 1, 1, 3, generator=generator) - 0.5)
    light = light * (1 + 0.4 * (torch.rand(count, 1, 1, 1, 1, generator=generator) - 0.5))
    lit = (picked.float() / 255 * light.to(device)).clamp(0, 1)
    return lit.permute(0, 1, 4, 2, 3).contiguous()
