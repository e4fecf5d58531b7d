"""VGG19 perceptual distance, used only when its weights are on disk: nothing is downloaded for a training."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_TAPS = (3, 8, 17, 26)  # relu1_2, relu2_2, relu3_4, relu4_4
FILE_PATTERN = "vgg19-*.pth"


def find_vgg_weights() -> Path | None:
    """Look for torchvision's VGG19 where torch.hub keeps checkpoints."""
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return next(iter(sorted(folder.glob(FILE_PATTERN))), None)


class Perceptual(nn.Module):
    """Mean L1 distance between VGG19's layer outputs (Johnson et al. 2016)."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path) -> None:
        """Load the net.

        Args:
            weights: torchvision's state dict of VGG19.
        Raises:
            ValueError: the file is something else.
        """
        from torchvision.models.vgg import cfgs, make_layers  # here: 6 s, and most trainings have no such weights

        super().__init__()
        layers = make_layers(cfgs["E"])
        try:
            found = torch.load(weights, map_location="cpu", weights_only=True)
            layers.load_state_dict(
                {k.removeprefix("features."): v for k, v in found.items() if k.startswith("features.")}
            )
        except Exception as error:  # torch raises several unrelated types for a damaged or foreign file
            raise ValueError(
                f"{weights} does not hold torchvision's VGG19 ({error}); remove it or fetch it again"
            ) from error
        self.layers = layers[: _TAPS[-1] + 1].eval().requires_grad_(False)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[None, :, None, None], persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[None, :, None, None], persistent=False)

    def forward(self, drawn_BCHW: Tensor, real_BCHW: Tensor) -> Tensor:
        """Distance of two RGB pictures in [0, 1]."""
        a, b = (drawn_BCHW - self.mean) / self.std, (real_BCHW - self.mean) / self.std
        distance = torch.zeros((), device=a.device)
        for number, layer in enumerate(self.layers):
            a, b = layer(a), layer(b)
            if number in _TAPS:
                distance = distance + F.l1_loss(a, b.detach())
        return distance / len(_TAPS)
