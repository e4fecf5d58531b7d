"""Building blocks of the networks: plain 3x3 convolutions, FiLM, sub-pixel upsampling.

Axes: B batch, D embedding, C H W image. No normalisation layers: residual branches start at zero instead,
so that training and serving compute the same function and a convolution stays a convolution on every runtime.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    """3x3 convolution, He-initialised for the ReLU that follows it."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


class FiLM(nn.Module):
    """Scale and shift every channel by the audio: y = x (1 + a) + b.

    Starts as the identity (zero-initialised), so that the picture path learns first.
    Source: Perez et al. 2018, "FiLM: Visual Reasoning with a General Conditioning Layer".
    """

    def __init__(self, embedding_dim: int, channels: int) -> None:
        super().__init__()
        self.to_scale_and_shift = nn.Linear(embedding_dim, 2 * channels)
        nn.init.zeros_(self.to_scale_and_shift.weight)
        nn.init.zeros_(self.to_scale_and_shift.bias)

    def forward(self, x_BCHW: Tensor, embedding_BD: Tensor) -> Tensor:
        scale, shift = self.to_scale_and_shift(embedding_BD)[:, :, None, None].chunk(2, dim=1)
        return x_BCHW * (1 + scale) + shift


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), then ReLU; the second convolution starts at zero."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.conv2 = conv3x3(channels, channels)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.relu(x_BCHW + self.conv2(F.relu(self.conv1(x_BCHW))))


class FiLMResidualBlock(nn.Module):
    """A residual block whose hidden channels are scaled and shifted by the audio."""

    def __init__(self, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(channels, channels)
        self.film = FiLM(embedding_dim, channels)
        self.conv2 = conv3x3(channels, channels)
        nn.init.normal_(self.conv2.weight, std=1e-3)

    def forward(self, x_BCHW: Tensor, embedding_BD: Tensor) -> Tensor:
        hidden = F.relu(self.film(self.conv1(x_BCHW), embedding_BD))
        return F.relu(x_BCHW + self.conv2(hidden))


class Upsample2x(nn.Module):
    """Transposed convolution with kernel 2 and stride 2: every output pixel has exactly one source pixel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2)
        # The same weights for the four sub-pixels: training starts as nearest-neighbour enlargement, without a grid.
        weight = torch.empty(in_channels, out_channels, 1, 1)
        nn.init.normal_(weight, std=(2.0 / in_channels) ** 0.5)
        with torch.no_grad():
            self.conv.weight.copy_(weight.expand_as(self.conv.weight))
        assert self.conv.bias is not None
        nn.init.zeros_(self.conv.bias)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.conv(x_BCHW)
        return out


class SubPixelHead(nn.Module):
    """3x3 convolution and pixel shuffle by 2, with ICNR initialisation (no checkerboard at the start).

    Source: Aitken et al. 2017, "Checkerboard artifact free sub-pixel convolution".
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv3x3(in_channels, out_channels * 4)
        with torch.no_grad():
            first = self.conv.weight[::4].clone() * 0.5
            self.conv.weight.copy_(first.repeat_interleave(4, dim=0))

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return F.pixel_shuffle(self.conv(x_BCHW), 2)
