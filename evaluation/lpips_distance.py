"""LPIPS (Zhang et al. 2018), where the package and its network's weights are there already: nothing is downloaded.

    pip install lpips, and torchvision's alexnet-*.pth in torch.hub's folder of checkpoints

Evaluation needs no torch; this optional part of it does, and looks for it when it is used.

Axes: T frames, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE_PATTERN = "alexnet-*.pth"
_BATCH = 16

Distance = Callable[[NDArray[np.uint8], NDArray[np.uint8]], float]


def find_lpips() -> Distance | str:
    """The distance of two series of pictures (T, H, W, 3), mean over the frames; or why it cannot be measured."""
    try:
        package, torch = (importlib.import_module(name) for name in ("lpips", "torch"))
    except ModuleNotFoundError:
        return "the package lpips is not installed"
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    if not any(folder.glob(FILE_PATTERN)):
        return f"no {FILE_PATTERN} in {folder}"
    net = package.LPIPS(net="alex", verbose=False).eval()
    return partial(_mean_distance, net, torch)


def _mean_distance(net: Any, torch: Any, drawn_THWC: NDArray[np.uint8], filmed_THWC: NDArray[np.uint8]) -> float:
    total = 0.0
    with torch.no_grad():
        for first in range(0, len(drawn_THWC), _BATCH):
            pair = (_as_input(pictures[first : first + _BATCH]) for pictures in (drawn_THWC, filmed_THWC))
            total += float(net(*map(torch.from_numpy, pair)).sum())
    return total / len(drawn_THWC)


def _as_input(pictures_BHWC: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.ascontiguousarray(pictures_BHWC.transpose(0, 3, 1, 2), np.float32) / np.float32(127.5) - np.float32(1)
