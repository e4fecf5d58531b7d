"""The generator as it is trained and exported: audio encoder and U-Net, with the recipe's masks."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.audio_encoder import AudioEncoder, AudioEncoderConfig
from models.checkpoint import load_checkpoint
from models.unet_328 import UNet328, UNetConfig
from recipe.mask_328 import alpha_bounds, unseen_mask
from recipe.recipe_328 import INNER_PX, PATCH_TOP_PX, REFERENCE_COUNT

log = logging.getLogger(__name__)


def audio_encoder_of(checkpoint: dict[str, Any]) -> AudioEncoder:
    """The audio encoder that a checkpoint of the SyncNet or lip stage holds."""
    audio = AudioEncoder(AudioEncoderConfig(**checkpoint["audio_config"]))
    weights = {k.removeprefix("audio."): v for k, v in checkpoint["model"].items() if k.startswith("audio.")}
    audio.load_state_dict(weights)
    return audio


def trained_generator(folder: Path) -> dict[str, Any]:
    """What a run of the generator has to show: its best averaged weights, or its last where none were judged yet.

    Args:
        folder: checkpoint/NAME/unet.
    Returns:
        A checkpoint with the averaged weights under `generator`.
    Raises:
        FileNotFoundError: nothing was trained.
    """
    best, last = folder / "best.pt", folder / "last.pt"
    if best.exists() or not last.exists():
        return load_checkpoint(best)
    found = load_checkpoint(last)
    log.warning(
        "%s: training ended before its first judgement; its last weights (step %d) are taken", last, found["step"]
    )
    return found | {"generator": found["ema"]["shadow"]}


class Generator(nn.Module):
    """Sound and picture in, patch out."""

    def __init__(self, audio: AudioEncoder, config: UNetConfig) -> None:
        super().__init__()
        low, high = alpha_bounds()
        self.audio = audio
        self.unet = UNet328(config, *(torch.from_numpy(mask) for mask in (unseen_mask(), low, high)))

    @classmethod
    def start_from(cls, lips: dict[str, Any], **shape: Any) -> Generator:
        """A new generator whose audio encoder is the one that was fitted to the lips.

        Args:
            lips: best.pt of the lip stage.
            shape: fields of UNetConfig that differ from the default.
        """
        audio = audio_encoder_of(lips)
        config = UNetConfig(INNER_PX, PATCH_TOP_PX, REFERENCE_COUNT, audio.config.embedding_dim, **shape)
        return cls(audio, config)

    @classmethod
    def from_configs(cls, content: dict[str, Any]) -> Generator:
        """An untrained generator of the shape that a checkpoint describes."""
        return cls(
            AudioEncoder(AudioEncoderConfig(**content["audio_config"])), UNetConfig.from_dict(content["unet_config"])
        )

    def configs(self) -> dict[str, Any]:
        return {"audio_config": asdict(self.audio.config), "unet_config": self.unet.config.to_dict()}

    def draw(self, target_B3HW: Tensor, references_BRHW: Tensor, features_BND: Tensor, gate_B: Tensor) -> Tensor:
        """Draw the patch (B, 4, rows, W)."""
        patch: Tensor = self.unet(target_B3HW, references_BRHW, self.audio(features_BND, gate_B))
        return patch
