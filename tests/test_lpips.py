"""LPIPS is measured where its package and weights are, and nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.lpips_distance import find_lpips


class SquaredDifference(torch.nn.Module):
    """Stands for the real network: pictures (B, 3, H, W) in [-1, 1] -> (B, 1, 1, 1)."""

    def __init__(self, net: str, verbose: bool) -> None:
        super().__init__()
        assert net == "alex" and not verbose

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        assert a.shape[1] == 3 and a.min() >= -1 and a.max() <= 1
        return (a - b).square().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The package is there; torch.hub's folder is empty."""
    package: Any = SimpleNamespace(LPIPS=SquaredDifference)
    monkeypatch.setitem(sys.modules, "lpips", package)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_mean_over_all_frames(installed: Path) -> None:
    (installed / "alexnet-owt-7be5be79.pth").write_bytes(b"")
    distance = find_lpips()
    assert not isinstance(distance, str)
    filmed = np.zeros((19, 8, 8, 3), np.uint8)
    drawn = filmed.copy()
    assert distance(drawn, filmed) == 0
    drawn[-1] = 255  # the last frame alone, in the second batch: the distance there is 2 squared
    assert distance(drawn, filmed) == pytest.approx(4 / 19)


def test_without_weights_nothing_is_downloaded(installed: Path) -> None:
    reason = find_lpips()
    assert isinstance(reason, str) and str(installed) in reason


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lpips", None)  # as if it were not installed
    assert find_lpips() == "the package lpips is not installed"
