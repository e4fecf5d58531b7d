"""PatchGAN over three consecutive frames, with the layer outputs that feature matching compares.

Axes: B batch, C H W image.
Source: Isola et al. 2017 (PatchGAN); Miyato et al. 2018 (spectral norm); Wang et al. 2018 (feature matching).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm


class PatchDiscriminator(nn.Module):
    """Says of every patch whether it looks filmed; a patch sees about 70 px."""

    def __init__(self, in_channels: int, width: int = 48) -> None:
        super().__init__()
        widths = (in_channels, width, width * 2, width * 4)
        self.layers = nn.ModuleList(spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(widths))
        self.layers.append(spectral_norm(nn.Conv2d(width * 4, width * 4, 3, padding=1)))
        self.verdict = spectral_norm(nn.Conv2d(width * 4, 1, 3, padding=1))

    def forward(self, frames_BCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the patch verdicts (B, 1, h, w; higher is more real) and every layer's output.

        Args:
            frames_BCHW: consecutive frames stacked in the channels, RGB in [0, 1].
        """
        x, features = frames_BCHW * 2 - 1, []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.verdict(x).float(), features


def hinge_discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge loss of the discriminator (Lim & Ye 2017)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def feature_matching_loss(real: list[Tensor], fake: list[Tensor]) -> Tensor:
    """Mean L1 distance between the layer outputs for real and drawn frames."""
    terms = [F.l1_loss(f.float(), r.detach().float()) for r, f in zip(real, fake, strict=True)]
    return torch.stack(terms).mean()


def r1_penalty(real_verdict: Tensor, real_frames: Tensor) -> Tensor:
    """Squared gradient of the verdict at real frames (Mescheder et al. 2018); `real_frames` requires grad."""
    (gradient,) = torch.autograd.grad(real_verdict.sum(), real_frames, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()
