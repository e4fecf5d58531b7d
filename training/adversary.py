"""The adversarial half of stages C and D: two PatchGANs, one for the whole patch and one for the mouth.

Axes: B batch of clips, T frames of a clip, C H W image.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from models.discriminator import PatchDiscriminator, feature_matching_loss, hinge_discriminator_loss, r1_penalty
from training.distributed import Workers
from training.presets import UNetPreset

FRAMES = 3
MOUTH_PX = 128
_BETAS = (0.5, 0.99)


class Adversary:
    """Discriminators, their optimiser, and the pictures of the current step that they will learn from."""

    def __init__(self, device: torch.device, width: int, learning_rate: float) -> None:
        self.critics = nn.ModuleDict({name: PatchDiscriminator(3 * FRAMES, width) for name in ("whole", "mouth")})
        self.critics.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = [{"params": list(self.critics.parameters()), "base": learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=learning_rate, betas=_BETAS)
        self._seen: list[dict[str, tuple[Tensor, Tensor]]] = []
        self._dtype: torch.dtype | None = None

    def forget(self) -> None:
        self._seen.clear()

    def losses(
        self,
        drawn_BTCHW: Tensor,
        real_BTCHW: Tensor,
        boxes_N4: Tensor,
        preset: UNetPreset,
        halve: bool,
        dtype: torch.dtype | None,
    ) -> dict[str, Tensor]:
        """Weighted adversarial and feature-matching losses of the generator.

        Args:
            drawn_BTCHW: composited clips.
            real_BTCHW: filmed clips.
            boxes_N4: mouth boxes of all B * T frames, in pixels of these pictures.
            preset: weights.
            halve: stage D.
            dtype: of autocast.
        """
        first = int(torch.randint(0, drawn_BTCHW.shape[1] - FRAMES + 1, ()))
        boxes_B4 = boxes_N4.unflatten(0, drawn_BTCHW.shape[:2])[:, first + FRAMES // 2]
        whole = [x[:, first : first + FRAMES].flatten(1, 2) for x in (drawn_BTCHW, real_BTCHW)]
        mouth = [cut_mouth(x, boxes_B4) for x in whole]
        pairs = {"whole": (whole[0], whole[1]), "mouth": (mouth[0], mouth[1])}
        self._seen.append({name: (drawn.detach(), real) for name, (drawn, real) in pairs.items()})
        self._dtype = dtype
        self.critics.requires_grad_(False)
        adversarial, matching = [], []
        for name, (drawn, real) in pairs.items():
            with torch.autocast(drawn.device.type, dtype, enabled=dtype is not None):
                verdict, features = self.critics[name](drawn)
                with torch.no_grad():
                    _, real_features = self.critics[name](real)
            adversarial.append(-verdict.mean())
            matching.append(feature_matching_loss(real_features, features))
        strength = preset.adversarial * (0.5 if halve else 1.0)
        return {
            "adversarial": strength * torch.stack(adversarial).mean(),
            "matching": preset.matching * torch.stack(matching).mean(),
        }

    def step(self, step: int, preset: UNetPreset, workers: Workers) -> float:
        """Teach the discriminators with the step's pictures; R1 every `r1_every` steps."""
        self.critics.requires_grad_(True)
        total = 0.0
        for seen in self._seen:
            for name, (drawn, real) in seen.items():
                with torch.autocast(drawn.device.type, self._dtype, enabled=self._dtype is not None):
                    real_verdict, drawn_verdict = self.critics[name](real)[0], self.critics[name](drawn)[0]
                loss = hinge_discriminator_loss(real_verdict, drawn_verdict)
                if step % preset.r1_every == 0:
                    frames = real.detach().requires_grad_(True)
                    penalty = r1_penalty(self.critics[name](frames)[0], frames)
                    loss = loss + 0.5 * preset.r1 * preset.r1_every * penalty / frames[0].numel() ** 0.5
                (loss / len(self._seen)).backward()
                total += loss.item() / len(self._seen)
        workers.average_gradients(self.critics.parameters())
        nn.utils.clip_grad_norm_(self.critics.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return total

    def state_dict(self) -> dict[str, Any]:
        return {"critics": self.critics.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.critics.load_state_dict(state["critics"])
        self.optimiser.load_state_dict(state["optimiser"])


def cut_mouth(pictures_BCHW: Tensor, boxes_B4: Tensor) -> Tensor:
    """Cut MOUTH_PX squares around the boxes' centres, moved inside the picture where they would leave it."""
    height, width = pictures_BCHW.shape[-2:]
    centre_x, centre_y = (boxes_B4[:, 0] + boxes_B4[:, 2]) / 2, (boxes_B4[:, 1] + boxes_B4[:, 3]) / 2
    span = torch.arange(MOUTH_PX, device=pictures_BCHW.device)
    left = (centre_x - MOUTH_PX / 2).round().long().clamp(0, width - MOUTH_PX)
    top = (centre_y - MOUTH_PX / 2).round().long().clamp(0, height - MOUTH_PX)
    batch = torch.arange(len(pictures_BCHW), device=pictures_BCHW.device)[:, None, None]
    rows, columns = (top[:, None] + span)[:, :, None], (left[:, None] + span)[:, None, :]
    return pictures_BCHW[batch, :, rows, columns].permute(0, 3, 1, 2)
