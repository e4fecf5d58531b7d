"""SyncNet: does this mouth belong to this sound?

A contrastive two-branch net. The picture branch sees five consecutive mouth squares, the sound branch the audio
embeddings of the same five frames; both end in a unit vector, and their scaled cosine is trained by a symmetric
InfoNCE over the batch (`info_nce`), in which neighbours of the same clip are the hardest negatives. A constant
answer is the worst answer, which is what the positive-pairs-only SyncNets of earlier systems lack.

Axes: B batch, T consecutive frames, D embedding, C H W image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import ResidualBlock, conv3x3


@dataclass(frozen=True)
class SyncNetConfig:
    """Shape of SyncNet. `mouth_box` is (top, left, height, width) in inner pixels of the 320-px square."""

    inner_px: int
    embedding_dim: int
    mouth_box: tuple[int, int, int, int] = (128, 64, 192, 192)
    mouth_px: int = 96
    frames: int = 5
    widths: tuple[int, int, int, int] = (32, 64, 128, 192)  # at mouth_px / 2, 4, 8, 16
    output_dim: int = 256

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> SyncNetConfig:
        return cls(**{**values, "mouth_box": tuple(values["mouth_box"]), "widths": tuple(values["widths"])})


class SyncNet(nn.Module):
    """Two branches into one space of unit vectors, and a learned temperature."""

    def __init__(self, config: SyncNetConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        channels = 3 * config.frames
        for width in config.widths:
            layers += [conv3x3(channels, width, stride=2), nn.ReLU(), ResidualBlock(width)]
            channels = width
        self.picture = nn.Sequential(*layers)
        cells = (config.mouth_px // 2 ** len(config.widths)) ** 2
        self.picture_out = nn.Sequential(
            nn.Conv2d(channels, 64, 1), nn.Flatten(), nn.Linear(64 * cells, config.output_dim)
        )
        self.sound = nn.Sequential(
            nn.Flatten(),
            nn.Linear(config.frames * config.embedding_dim, 512),
            nn.ReLU(),
            nn.Linear(512, config.output_dim),
        )
        self.log_scale = nn.Parameter(torch.tensor(1 / 0.07).log())

    def mouths(self, inner_BTCHW: Tensor, first_row: int = 0) -> Tensor:
        """Cut the mouth squares out of inner squares (or of their rows from `first_row` on).

        Args:
            inner_BTCHW: RGB in [0, 1]; rows `first_row`.. of the inner square, full width.
            first_row: inner row of the first row given.
        Returns:
            (B, T, 3, mouth_px, mouth_px).
        """
        top, left, height, width = self.config.mouth_box
        cut = inner_BTCHW[..., top - first_row : top - first_row + height, left : left + width]
        small = F.interpolate(cut.flatten(0, 1), (self.config.mouth_px, self.config.mouth_px), mode="area")
        return small.unflatten(0, cut.shape[:2])

    def embed_picture(self, mouths_BTCHW: Tensor) -> Tensor:
        """(B, T, 3, mouth_px, mouth_px) RGB in [0, 1] -> (B, output_dim) of length one."""
        x = mouths_BTCHW.flatten(1, 2) * 2 - 1
        return F.normalize(self.picture_out(self.picture(x)).float(), dim=1)

    def embed_sound(self, embeddings_BTD: Tensor) -> Tensor:
        """(B, T, D) audio embeddings of consecutive frames -> (B, output_dim) of length one."""
        return F.normalize(self.sound(embeddings_BTD).float(), dim=1)

    def scale(self) -> Tensor:
        """Inverse temperature, kept below 100 as in CLIP (Radford et al. 2021)."""
        return self.log_scale.clamp(max=4.605).exp()


def info_nce(picture_BD: Tensor, sound_BD: Tensor, scale: Tensor, ignore_BB: Tensor) -> Tensor:
    """Symmetric InfoNCE: every picture must find its sound among the batch's, and every sound its picture.

    Args:
        picture_BD: unit vectors.
        sound_BD: unit vectors; row i belongs to picture i.
        scale: inverse temperature.
        ignore_BB: True where picture i and sound j are no fair negative (both silent, or closer than the
            resolution of the task). The diagonal must be False.
    Source: van den Oord et al. 2018, "Representation Learning with Contrastive Predictive Coding".
    """
    logits = (scale * picture_BD @ sound_BD.T).masked_fill(ignore_BB, float("-inf"))
    truth = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
