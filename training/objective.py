"""The terms that a step of the generator minimises, weighted as its stage and preset say.

Axes: B batch of clips, T frames of a clip, C H W image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.unet_328 import compose
from recipe.recipe_328 import INNER_PX, PATCH_TOP_PX
from training.adversary import Adversary
from training.batches import Batch
from training.losses import box_weight, gradient_l1, ms_ssim, temporal_l1, weighted_l1
from training.perceptual import Perceptual
from training.presets import UNetPreset
from training.syncnet_stage import SyncModel

LOSS_NAMES = ["l1", "structure", "gradient", "temporal", "sync", "perceptual", "adversarial", "matching", "critic"]


class Objective:
    """Everything that judges a drawn batch; only the adversary learns."""

    def __init__(
        self,
        sync: dict[str, Any],
        preset: UNetPreset,
        vgg_weights: Path | None,
        device: torch.device,
        dtype: torch.dtype | None,
    ) -> None:
        """Load the judges.

        Args:
            sync: best.pt of the SyncNet stage: its SyncNet is a term if its gate opened.
            preset: weights of the terms.
            vgg_weights: state dict of torchvision's VGG19; None leaves its term out.
            device: of the batches.
            dtype: of autocast; None computes in float32.
        """
        self._preset, self._device, self._dtype = preset, device, dtype
        self._sync = _frozen(SyncModel.from_checkpoint(sync)).to(device) if sync["gate_open"] else None
        self.clip_frames = self._sync.syncnet.config.frames if self._sync else preset.clip_frames
        self.adversary = Adversary(device, preset.critic_width, preset.learning_rate)
        self._perceptual = Perceptual(vgg_weights).to(device) if vgg_weights else None

    def terms(self, stage: str, batch: Batch, patch: Tensor) -> dict[str, Tensor]:
        """Weighted terms on the composited rows, by name of LOSS_NAMES.

        Args:
            stage: A, B, C or D.
            batch: what was drawn from.
            patch: what the generator drew, RGBA.
        """
        preset = self._preset
        real = batch.target[:, :, batch.target.shape[2] * PATCH_TOP_PX // INNER_PX :]
        drawn = compose(real, patch.float())
        mouth = box_weight(batch.boxes * (batch.target.shape[-1] / INNER_PX), *real.shape[-2:])
        parts = {
            "l1": weighted_l1(drawn, real, mouth, preset.mouth),
            "structure": preset.structure * (1 - ms_ssim(drawn, real)),
            "gradient": preset.gradient * gradient_l1(drawn, real, 1 + preset.mouth * mouth),
        }
        if stage == "A":
            return parts
        drawn_clips, real_clips = (x.unflatten(0, (-1, self.clip_frames)) for x in (drawn, real))
        parts["temporal"] = preset.temporal * temporal_l1(drawn_clips, real_clips)
        if self._sync is not None:
            parts["sync"] = preset.sync * self._sync_loss(self._sync, batch, drawn_clips, real_clips)
        if self._perceptual is not None:
            parts["perceptual"] = preset.perceptual * self._perceptual(drawn, real)
        if stage in "CD":
            parts |= self.adversary.losses(
                drawn_clips, real_clips, batch.boxes, preset, halve=stage == "D", dtype=self._dtype
            )
        return parts

    def _sync_loss(self, model: SyncModel, batch: Batch, drawn_BTCHW: Tensor, real_BTCHW: Tensor) -> Tensor:
        """How much worse the drawn mouth fits the sound than the filmed one did (never rewarded beyond it)."""
        syncnet = model.syncnet
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not None):
            with torch.no_grad():
                sound = model.sound(batch.clean_features, batch.gate.unflatten(0, (-1, self.clip_frames)))
                real = syncnet.embed_picture(syncnet.mouths(real_BTCHW, PATCH_TOP_PX))
            drawn = syncnet.embed_picture(syncnet.mouths(drawn_BTCHW, PATCH_TOP_PX))
        missing = F.relu((real * sound).sum(dim=1) - (drawn * sound).sum(dim=1))
        return (missing * ~batch.silenced).mean()


def _frozen(model: SyncModel) -> SyncModel:
    model.requires_grad_(False)
    return model.eval()
