"""Untrained ears behind the first layers of a Whisper encoder.

Axes: D mel bands.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from models.audio_encoder import mel_of_hz
from models.audio_features_hf import PretrainedFeatureConfig, load_pretrained
from models.ears import Ears, EarsConfig
from models.whisper_trunk import WhisperTrunkConfig
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.errors import UserError
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, MEL_BINS, MEL_FMAX_HZ, MEL_FMIN_HZ, SAMPLE_RATE_HZ
from training.ears.stage import new_ears

LAYERS: Final = 2
_HEAD_WIDTH: Final = 64  # of every Whisper
_FMIN_HZ, _FMAX_HZ = 0.0, 8000.0  # Whisper's bands reach from here to there


def ears_with_trunk(whisper: Path, layers: int = LAYERS) -> Ears:
    """Ears whose trunk has a Whisper's weights, and which know nothing else yet.

    Args:
        whisper: folder with config.json and model.safetensors.
        layers: of attention that are taken over.
    Raises:
        AudioModelError: there is no Whisper.
        UserError: it is of another shape.
    """
    config = PretrainedFeatureConfig("whisper", SAMPLE_RATE_HZ, AUDIO_WINDOW_SAMPLES // 2)
    encoder = load_pretrained(str(whisper), config)[0].model.state_dict()
    width, bands, _ = encoder["conv1.weight"].shape
    found = len({name.split(".")[1] for name in encoder if name.startswith("layers.")})
    if bands != MEL_BINS or found < layers or width % _HEAD_WIDTH:
        raise UserError(
            f"{whisper} hears {bands} mel bands and offers {found} layers of width {width}; the ears need {MEL_BINS} "
            f"bands and {layers} layers of heads of {_HEAD_WIDTH}: take Whisper tiny or base"
        )
    trunk = WhisperTrunkConfig(layers, width, width // _HEAD_WIDTH)
    ears = new_ears(EarsConfig.with_trunk(len(MOUTH_UNITS), trunk))
    assert ears.trunk is not None
    ears.trunk.take(encoder, whisper_bands())
    return ears


def whisper_bands() -> Tensor:
    """Whisper's mel bands as mixtures of the recipe's, by place between the neighbours; the outermost stay, (D, D)."""

    def centres(low_hz: float, high_hz: float) -> np.ndarray:
        low, high = mel_of_hz(torch.tensor([low_hz, high_hz], dtype=torch.float64)).tolist()
        return np.linspace(low, high, MEL_BINS + 2)[1:-1]

    here, there = centres(MEL_FMIN_HZ, MEL_FMAX_HZ), centres(_FMIN_HZ, _FMAX_HZ)
    mixed = np.stack([np.interp(there, here, unit) for unit in np.eye(MEL_BINS)], axis=1)
    return torch.from_numpy(mixed).float()
