"""Learning-rate schedule and weight averaging."""

from __future__ import annotations

import math

import torch
from torch import nn


def learning_rate_factor(step: int, steps: int, warmup: int, hold: int = 0) -> float:
    """Linear warm-up, the full rate up to step `hold`, then a cosine to zero at `steps`."""
    if step < warmup:
        return (step + 1) / warmup
    start = max(warmup, hold)
    progress = max(step - start, 0) / max(steps - start, 1)
    return 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


class Ema:
    """Exponential moving average of a module's parameters and buffers; it is what gets evaluated and exported.

    Early on it averages over fewer steps (1 - 1/(n/3 + 1) at most), so that it does not drag the start along.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.shadow = {k: v.detach().clone().float() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, 1 - 1 / (self.updates / 3 + 1))
        values = [v.detach().float() for v in model.state_dict().values()]
        torch._foreach_lerp_(list(self.shadow.values()), values, 1 - decay)

    def state_dict(self) -> dict[str, object]:
        return {"updates": self.updates, "shadow": self.shadow}

    def load_state_dict(self, state: dict[str, object]) -> None:
        self.updates = int(state["updates"])  # type: ignore[call-overload]
        for key, value in state["shadow"].items():  # type: ignore[attr-defined]
            self.shadow[key].copy_(value)  # stays on its device
