"""LPIPS (Zhang et al. 2018), where the package and its network's weights are there already: nothing is downloaded.

    pip install lpips, and torchvision's alexnet-*.pth in torch.hub's folder of checkpoints

Axes: T frames, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FILE_PATTERN = "alexnet-*.pth"
_BATCH = 16

Distance = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]


def find_lpips() -> Distance | str:
    """The distance of two series of pictures (T, H, W, 3), mean over the frames; or why it cannot be measured."""
    try:
        package = importlib.import_module("lpips")
    except ModuleNotFoundError:
        return "the package lpips is not installed"
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not any(folder.glob(FILE_PATTERN)):
        return f"no {FILE_PATTERN} in {folder}"
    net = package.LPIPS(net="alex", verbose=False).eval()
    return lambda drawn_THWC, filmed_THWC: _mean_distance(net, drawn_THWC, filmed_THWC)


@torch.no_grad()
def _mean_distance(net: Any, drawn_THWC: NDArray[np.uint8], filmed_THWC: NDArray[np.uint8]) -> float:
    total = 0.0
    for first in range(0, len(drawn_THWC), _BATCH):
        pair = (_as_input(pictures[first : first + _BATCH]) for pictures in (drawn_THWC, filmed_THWC))
        total += float(net(*pair).sum())
    return total / len(drawn_THWC)


def _as_input(pictures_BHWC: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(pictures_BHWC.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
