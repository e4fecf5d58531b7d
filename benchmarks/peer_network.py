"""The published SyncTalk_2D network's shape with random weights, written from its description, to compare speed with.

Inverted residuals (expand 2, depthwise 3x3) on a picture of 320x320 px and 6 channels: one block to 32 channels at
full size, then five pairs with stride 2, 32-32-64-128-256-512; sound (32, 16, 16) is brought to 512 channels of 10x10
by four such blocks and two dense 3x3 convolutions, and joined at the bottleneck; on the way up bilinear scaling and
concatenated skips, 512->128, 256->64, 128->32, 64->32, 64->16. Published: 12.19 M parameters, 4.89 GMAC.

Axes: B batch, C H W picture.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

PUBLISHED_M_PARAMETERS: Final = 12.19
PUBLISHED_GMAC: Final = 4.89
PICTURE_PX: Final = 320
AUDIO_SHAPE: Final = (32, 16, 16)  # C H W: what its loop feeds per frame, sixteen feature vectors of 512
_DOWN: Final = (32, 32, 64, 128, 256, 512)
_UP: Final = ((512, 128), (256, 64), (128, 32), (64, 32), (64, 16))
_EXPAND: Final = 2


def _inverted_residual(channels_in: int, channels_out: int, stride: int) -> nn.Sequential:
    wide = _EXPAND * channels_in
    return nn.Sequential(
        nn.Conv2d(channels_in, wide, 1, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
        nn.BatchNorm2d(wide),
        nn.ReLU(inplace=True),
        nn.Conv2d(wide, channels_out, 1, bias=False),
        nn.BatchNorm2d(channels_out),
    )


def _dense(channels_in: int, channels_out: int, stride: int, padding: int) -> nn.Sequential:
    plain = nn.Conv2d(channels_in, channels_out, 3, stride, padding)
    return nn.Sequential(plain, nn.BatchNorm2d(channels_out), nn.ReLU())


class Added(nn.Module):
    """A block whose result is added to what it is given."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = _inverted_residual(channels, channels, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW + self.block(x_BCHW)


class Pair(nn.Sequential):
    """One block that changes width or size, and one that adds."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(_inverted_residual(channels_in, channels_out, stride), Added(channels_out))


class PeerNetwork(nn.Module):
    """Picture and sound to a picture."""

    def __init__(self) -> None:
        super().__init__()
        top = _DOWN[-1]
        self.first = _inverted_residual(6, _DOWN[0], 1)
        self.downs = nn.ModuleList([Pair(a, b, 2) for a, b in pairwise(_DOWN)])
        self.audio = nn.Sequential(
            _inverted_residual(32, 64, 1),
            _inverted_residual(64, 128, 1),
            _dense(128, 256, 1, 1),
            Added(256),
            _dense(256, top, 2, 3),  # 16x16 -> 10x10, the size of the bottleneck
            Added(top),
            Added(top),
        )
        self.fuse = nn.Sequential(Pair(2 * top, top), Pair(top, top // 2))
        self.ups = nn.ModuleList([Pair(*widths) for widths in _UP])
        self.last = nn.Conv2d(_UP[-1][1], 3, 1)

    def forward(self, picture_BCHW: Tensor, sound_BCHW: Tensor) -> Tensor:
        x_BCHW = self.first(picture_BCHW)
        skips = []
        for down in self.downs:
            skips.append(x_BCHW)
            x_BCHW = down(x_BCHW)
        x_BCHW = self.fuse(torch.cat([x_BCHW, self.audio(sound_BCHW)], dim=1))
        for up, skip_BCHW in zip(self.ups, reversed(skips), strict=True):
            larger_BCHW = F.interpolate(x_BCHW, scale_factor=2, mode="bilinear", align_corners=True)
            x_BCHW = up(torch.cat([larger_BCHW, skip_BCHW], dim=1))
        return torch.sigmoid(self.last(x_BCHW))


def example_inputs() -> tuple[Tensor, Tensor]:
    """A picture and its sound, one row each."""
    return torch.rand(1, 6, PICTURE_PX, PICTURE_PX), torch.rand(1, *AUDIO_SHAPE)


def parameters_m(network: nn.Module) -> float:
    """Parameters in millions."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6


def network_gmac(network: nn.Module) -> float:
    """Multiply-accumulates of one row in billions."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(*example_inputs())
    return counter.get_total_flops() / 2e9
