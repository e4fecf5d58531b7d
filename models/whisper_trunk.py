"""The first layers of Whisper's encoder, over half a second of log-mel: what a network that heard 680 000 hours knows
of voices, rooms and noise. Frozen; what stands behind it is trained.

    log-mel window -> convolution, convolution by two -> layers of attention -> 24 tokens

Source of the architecture: A. Radford et al., "Robust speech recognition via large-scale weak supervision", 2022.

Axes: B batch, N analysis frames of a window, M tokens (N / 2), D mel bands, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_FLOOR = 2.0  # below the loudest value, in the units of LogMel: Whisper's 80 dB
_LEAST_SPREAD = 1e-2


@dataclass(frozen=True)
class WhisperTrunkConfig:
    """Shape; the defaults are those of the smallest Whisper."""

    layers: int = 2
    width: int = 384
    heads: int = 6
    bands: int = 80
    frames: int = 48

    @property
    def tokens(self) -> int:
        """How many come of a window."""
        return self.frames // 2


class _Layer(nn.Module):
    """Attention, then two linear layers, each on what a normalisation gives and added to it.

    Everything is (B M, C): a linear layer over three axes would lose its name in the exported graph.
    """

    def __init__(self, config: WhisperTrunkConfig) -> None:
        super().__init__()
        self.heads, self.tokens, width = config.heads, config.tokens, config.width
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x_XC: Tensor) -> Tensor:
        width = x_XC.shape[1]
        shape = (-1, self.tokens, 3, self.heads, width // self.heads)
        q, k, v = self.qkv(self.norm1(x_XC)).reshape(shape).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * (width // self.heads) ** -0.5).softmax(dim=-1)
        x_XC = x_XC + self.out((weights @ v).transpose(1, 2).reshape(-1, width))
        narrow: Tensor = self.narrow(F.gelu(self.wide(self.norm2(x_XC))))
        return x_XC + narrow


class WhisperTrunk(nn.Module):
    """Log-mel windows of speech at its usual level (B, N, D) -> tokens, each channel by its spread, (B, M, C)."""

    def __init__(self, config: WhisperTrunkConfig) -> None:
        super().__init__()
        self.config = config
        self.conv1 = nn.Conv1d(config.bands, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.position = nn.Parameter(torch.zeros(config.tokens, config.width))
        self.layers = nn.ModuleList(_Layer(config) for _ in range(config.layers))
        self.mean = nn.Parameter(torch.zeros(config.width))
        self.scale = nn.Parameter(torch.ones(config.width))
        self.requires_grad_(False)

    def forward(self, mel_BND: Tensor) -> Tensor:
        mel_BND = torch.maximum(mel_BND, mel_BND.amax(dim=(1, 2), keepdim=True) - _FLOOR)
        x_BCM = F.gelu(self.conv2(F.gelu(self.conv1(mel_BND.transpose(1, 2)))))
        x_XC = (x_BCM.transpose(1, 2) + self.position).reshape(-1, self.config.width)
        for layer in self.layers:
            x_XC = layer(x_XC)
        return ((x_XC - self.mean) * self.scale).reshape(-1, self.config.tokens, self.config.width)

    @torch.no_grad()
    def take(self, encoder: Mapping[str, Tensor], bands_DD: Tensor) -> None:
        """Take over the weights of a Whisper encoder.

        Args:
            encoder: its state under transformers' names (`conv1.weight`, `layers.0.self_attn.q_proj.weight`).
            bands_DD: how Whisper's mel bands are mixed of those that are heard here.
        """
        mixed = torch.einsum("owk,wd->odk", encoder["conv1.weight"], bands_DD)
        self.conv1.load_state_dict({"weight": mixed, "bias": encoder["conv1.bias"]})
        self.conv2.load_state_dict({kind: encoder[f"conv2.{kind}"] for kind in ("weight", "bias")})
        self.position.copy_(encoder["embed_positions.weight"][: self.config.tokens])
        for number, layer in enumerate(self.layers):
            parts = [f"layers.{number}.self_attn.{of}_proj" for of in "qkv"]
            nothing = torch.zeros_like(encoder[f"{parts[0]}.bias"])  # Whisper's keys have no bias
            state = {
                "qkv.weight": torch.cat([encoder[f"{part}.weight"] for part in parts]),
                "qkv.bias": torch.cat([encoder.get(f"{part}.bias", nothing) for part in parts]),
            }
            for here, there in _NAMES.items():
                state |= {f"{here}.{kind}": encoder[f"layers.{number}.{there}.{kind}"] for kind in ("weight", "bias")}
            layer.load_state_dict(state)

    @torch.no_grad()
    def measure(self, mel_BND: Tensor) -> None:
        """Set how each channel is moved and scaled: these windows give tokens of mean 0 and spread 1."""
        self.mean.zero_()
        self.scale.fill_(1)
        found_BMC = self(mel_BND)
        self.mean.copy_(found_BMC.mean(dim=(0, 1)))
        self.scale.copy_(1 / found_BMC.std(dim=(0, 1)).clamp_min(_LEAST_SPREAD))


_NAMES = {
    "norm1": "self_attn_layer_norm", "norm2": "final_layer_norm",
    "out": "self_attn.out_proj", "wide": "fc1", "narrow": "fc2",
}  # fmt: skip
