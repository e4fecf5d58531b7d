"""The generator: draws the lower face of one frame from its surroundings, references and sound.

The encoder sees the frame with the lower face hidden and the reference frames, never the sound: its features
depend on the template frame alone and are computed once per avatar. The decoder computes only the rows that may
change (inner rows 128..319) and hears the sound at the bottleneck and, by FiLM, at every resolution.

    (B, 3 + 3R, 320, 320) -unshuffle 2-> 160 -> 80 -> 40 -> 20 -> 10     encoder, widths 32 64 128 256 512
                     lower rows only:    96 <- 48 <- 24 <- 12 <-  6      decoder, skips added
    (B, 4, 192, 320)      <-shuffle 2-  RGB and alpha

Layers are keyed by the resolution (rows of the whole square) at which they work. The net is convolutional: the
same weights run at half size in the first training stage.

Axes: B batch, D audio embedding, C H W image, R references. Images are RGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.blocks import FiLMResidualBlock, ResidualBlock, SubPixelHead, Upsample2x, conv3x3

RESOLUTIONS = (160, 80, 40, 20, 10)


@dataclass(frozen=True)
class UNetConfig:
    """Shape of the generator. The first three values are facts of the recipe, the rest is capacity."""

    inner_px: int
    patch_top_px: int
    reference_count: int
    embedding_dim: int
    widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512)  # at 160, 80, 40, 20, 10
    bottleneck_blocks: int = 2

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> UNetConfig:
        return cls(**{**values, "widths": tuple(values["widths"])})


class Features(NamedTuple):
    """What the encoder knows of one template frame, lower rows only; (B, C, rows, columns) each."""

    f160: Tensor
    f80: Tensor
    f40: Tensor
    f20: Tensor
    f10: Tensor


class UNetEncoder(nn.Module):
    """Hidden-mouth frame and references -> features of the lower rows."""

    hidden_HW: Tensor

    def __init__(self, config: UNetConfig, hidden_HW: Tensor) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("hidden_HW", hidden_HW[None, None].float(), persistent=False)
        w160, w80, w40, w20, w10 = config.widths
        self.stem_160 = conv3x3((3 + 3 * config.reference_count) * 4, w160)
        self.down_80, self.block_80 = conv3x3(w160, w80, stride=2), ResidualBlock(w80)
        self.down_40, self.block_40 = conv3x3(w80, w40, stride=2), ResidualBlock(w40)
        self.down_20, self.block_20 = conv3x3(w40, w20, stride=2), ResidualBlock(w20)
        self.down_10, self.conv_10 = conv3x3(w20, w10, stride=2), conv3x3(w10, w10)

    def forward(self, target_B3HW: Tensor, references_BRHW: Tensor) -> Features:
        """Compute the features.

        Args:
            target_B3HW: the frame, mouth and all: it is hidden here, in one place for training and serving.
            references_BRHW: the reference frames, 3 channels each.
        """
        size = target_B3HW.shape[-1]
        hidden = self.hidden_HW
        if size != self.config.inner_px:
            hidden = (F.interpolate(hidden, (size, size), mode="area") > 0).float()
        visible = (target_B3HW * 2 - 1) * (1 - hidden)
        x = torch.cat([visible, references_BRHW * 2 - 1], dim=1)
        f160 = F.relu(self.stem_160(F.pixel_unshuffle(x, 2)))
        f80 = self.block_80(F.relu(self.down_80(f160)))
        f40 = self.block_40(F.relu(self.down_40(f80)))
        f20 = self.block_20(F.relu(self.down_20(f40)))
        f10 = F.relu(self.down_10(f20))
        f10 = F.relu(f10 + self.conv_10(f10))
        return Features(*(self._lower_rows(f) for f in (f160, f80, f40, f20, f10)))

    def _lower_rows(self, f_BCHW: Tensor) -> Tensor:
        top = f_BCHW.shape[2] * self.config.patch_top_px // self.config.inner_px
        return f_BCHW[:, :, top:]


class UNetDecoder(nn.Module):
    """Features and sound -> RGB and an unbounded opacity logit for the rows that may change."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        w160, w80, w40, w20, w10 = config.widths
        d = config.embedding_dim
        self.audio_10 = nn.Linear(d, w10)
        self.blocks_10 = nn.ModuleList(FiLMResidualBlock(w10, d) for _ in range(config.bottleneck_blocks))
        self.up_20, self.block_20 = Upsample2x(w10, w20), FiLMResidualBlock(w20, d)
        self.up_40, self.block_40 = Upsample2x(w20, w40), FiLMResidualBlock(w40, d)
        self.up_80, self.block_80 = Upsample2x(w40, w80), FiLMResidualBlock(w80, d)
        self.up_160, self.block_160 = Upsample2x(w80, w160), FiLMResidualBlock(w160, d)
        self.head_320 = SubPixelHead(w160, 4)

    def forward(self, features: Features, embedding_BD: Tensor) -> Tensor:
        """Return (B, 4, H, W): RGB in [0, 1], then the opacity logit."""
        out = self.head_320(self.trunk(features, embedding_BD)).float()
        return torch.cat([torch.sigmoid(out[:, :3]), out[:, 3:]], dim=1)

    def trunk(self, features: Features, embedding_BD: Tensor) -> Tensor:
        """Everything before the head: (B, width at 160, H / 2, W / 2)."""
        x = F.relu(features.f10 + self.audio_10(embedding_BD)[:, :, None, None])
        for block in self.blocks_10:
            x = block(x, embedding_BD)
        x = self.block_20(F.relu(self.up_20(x) + features.f20), embedding_BD)
        x = self.block_40(F.relu(self.up_40(x) + features.f40), embedding_BD)
        x = self.block_80(F.relu(self.up_80(x) + features.f80), embedding_BD)
        out: Tensor = self.block_160(F.relu(self.up_160(x) + features.f160), embedding_BD)
        return out


class UNet328(nn.Module):
    """Encoder, decoder and the bounds within which the drawn picture may replace the filmed one."""

    alpha_min_HW: Tensor
    alpha_max_HW: Tensor

    def __init__(self, config: UNetConfig, hidden_HW: Tensor, alpha_min_HW: Tensor, alpha_max_HW: Tensor) -> None:
        """Build the net.

        Args:
            config: its shape.
            hidden_HW: 1 where the encoder may not see the frame, (inner_px, inner_px).
            alpha_min_HW: smallest share of the drawn picture, same size; 1 in the core, so that the filmed
                mouth can never shine through.
            alpha_max_HW: largest share.
        """
        super().__init__()
        self.config = config
        self.encoder = UNetEncoder(config, hidden_HW)
        self.decoder = UNetDecoder(config)
        top = config.patch_top_px
        self.register_buffer("alpha_min_HW", alpha_min_HW[None, None, top:].float(), persistent=False)
        self.register_buffer("alpha_max_HW", alpha_max_HW[None, None, top:].float(), persistent=False)

    def forward(self, target_B3HW: Tensor, references_BRHW: Tensor, embedding_BD: Tensor) -> Tensor:
        """Draw and return the patch (B, 4, rows, W): RGB and straight alpha, all in [0, 1]."""
        return self.bound_alpha(self.decoder(self.encoder(target_B3HW, references_BRHW), embedding_BD))

    def bound_alpha(self, patch_B4HW: Tensor) -> Tensor:
        """Turn the opacity logit into an alpha between the two bounds."""
        low, high = self.alpha_min_HW, self.alpha_max_HW
        if patch_B4HW.shape[-1] != self.config.inner_px:
            low, high = (F.interpolate(a, patch_B4HW.shape[-2:], mode="area") for a in (low, high))
        alpha = low + (high - low) * torch.sigmoid(patch_B4HW[:, 3:])
        return torch.cat([patch_B4HW[:, :3], alpha], dim=1)


def compose(target_rows_B3HW: Tensor, patch_B4HW: Tensor) -> Tensor:
    """Lay the patch over the filmed rows: what the viewer sees, and what every loss is computed on."""
    rgb, alpha = patch_B4HW[:, :3], patch_B4HW[:, 3:]
    return target_rows_B3HW + alpha * (rgb - target_rows_B3HW)
