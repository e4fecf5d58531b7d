"""unet_decoder.int8.json: what an avatar needs to compute its decoder in int8, and how good it is then.

    {"mouth_psnr_db": 51.2, "bounds": {"decoder.block_20.conv1.weight": 7.9, ...}}

A bound belongs to the convolution with that weight: its input is rounded to 256 levels from 0 (all inputs come out
of a ReLU) to the bound. The weights are the ones in the graph, so the file takes a kilobyte. The first number is how
close the mouth comes to that of float32; below 40 dB nothing is computed this way.
Source: docs/decisions/0009-int8.md
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from recipe.errors import BrokenAvatarError

LEAST_MOUTH_PSNR_DB: Final = 40.0


@dataclass(frozen=True, slots=True)
class Int8Calibration:
    """What packaging measured: how good int8 is, and the bound of each convolution's input by weight name."""

    mouth_psnr_db: float
    bounds: Mapping[str, float]

    @property
    def good_enough(self) -> bool:
        return self.mouth_psnr_db >= LEAST_MOUTH_PSNR_DB


def calibration_path(graph: Path) -> Path:
    """Where the calibration of a graph lies, if it has one."""
    return graph.with_suffix(".int8.json")


def write_calibration(graph: Path, calibration: Int8Calibration) -> None:
    calibration_path(graph).write_text(json.dumps(asdict(calibration), indent=1) + "\n", encoding="utf-8")


def read_calibration(graph: Path) -> Int8Calibration | None:
    """The calibration of a graph; None if it has none.

    Raises:
        BrokenAvatarError: the file is not of the agreed form.
    """
    path = calibration_path(graph)
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        bounds = {str(name): float(bound) for name, bound in document["bounds"].items()}
        calibration = Int8Calibration(float(document["mouth_psnr_db"]), bounds)
        if not bounds or not all(np.isfinite(bound) and bound > 0 for bound in bounds.values()):
            raise ValueError("the bounds are not numbers above 0")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenAvatarError(
            f"{path} is no int8 calibration ({type(error).__name__}: {error}); package the avatar again"
        ) from error
    return calibration
