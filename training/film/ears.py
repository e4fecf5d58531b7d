"""The shipped ears learn one person's manner from the person's film.

    features of a frame -> ears -> linear -> articulation that was tracked in that frame

The linear map starts as the best one there is (ridge regression on what the shipped ears hear); then all weights move,
held to what they said before of units and closure, so that what is right for every voice stays right.

Axes: B batch, T frames of the film, K landmarks, P articulation.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from data_prep.dataset_328 import Dataset328
from models.ears import EarsConfig
from models.fitted_ears import FittedEars
from recipe.files import sha256
from recipe.film.shape import ARTICULATION, Float
from recipe.material import no_window, usable_frames, window_starts
from recipe.shipped import EARS_FILE
from training.data import balanced_weights, draw
from training.distributed import Workers
from training.ears.shipped import shipped_ears
from training.film.fit import FilmedFace, film_points, fit_face
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.presets import FitPreset
from training.sound import MelSound

log = logging.getLogger(__name__)

_WEIGHT_DECAY: Final = 0.02
_RIDGE: Final = 1.0  # weight on the coefficients of the linear map, in standard deviations of what it sees
_AUGMENT_SHARE: Final = 0.6
_SILENCE_SHARE: Final = 0.1  # of the frames hear synthetic silence, and the mouth rests
_HEAR_SILENCE: Final = 0.3  # of the frames hear their pause themselves
_CLOSED_QUANTILE: Final = 0.2  # of the gaps: frames of speech below it count so many times more
_CLOSED_EXTRA: Final = 2.0
_SHARP_P: Final = 0.3  # errors of the articulation above this count by their size, not by their square
_KEEP_UNITS, _KEEP_CLOSURE = 0.5, 0.3  # weights of what the ears said before
_UNIT_SPREAD: Final = 0.12
_CLOSED_AT: Final = 0.03  # quantile of the gaps at which lips count as closed
_MOST_RAISED: Final = 1.3
_LEAST_HELD_OUT: Final = 25


@dataclass(frozen=True)
class Film:
    """What the picture tells before any sound is heard."""

    dataset: Dataset328
    face: FilmedFace
    frames: NDArray[np.int64]  # that may be learnt from

    @classmethod
    def of(cls, dataset: Dataset328) -> Film:
        """Fit the lower face on the training split.

        Raises:
            TooLittleMaterialError: there is nothing to learn from.
        """
        frames = _frames(dataset, "train")
        return cls(dataset, fit_face(film_points(dataset), frames, dataset.clips), frames)


def fit_ears(
    film: Film, sound: MelSound, preset: FitPreset, seed: int, folder: Path, workers: Workers
) -> dict[str, Any]:
    """Fit, or go on fitting.

    Args:
        folder: checkpoint/NAME/film.
    Returns:
        The content of best.pt, with `held_out`.
    Raises:
        InUseError, TrainingStopped: see training.loop.train.
    """
    torch.manual_seed(seed)
    stage = FitStage(film, sound, preset, workers)
    manifest = film.dataset.manifest
    identity = run_identity("fit", manifest, asdict(preset), seed, workers.count, stage.describe())
    plan = Plan(seed, preset.steps, preset.warmup, preset.evaluate_every, checkpoint_every=preset.evaluate_every)
    return train(stage, plan, folder, identity, workers)


def fitted_ears(checkpoint: dict[str, Any]) -> FittedEars:
    """The network of a checkpoint."""
    fitted = FittedEars(EarsConfig.from_dict(checkpoint["ears_config"]), ARTICULATION)
    fitted.load_state_dict(checkpoint["model"])
    return fitted.eval()


class FitStage:
    """The fit, one step at a time."""

    columns: ClassVar[list[str]] = ["loss", "articulation", "kept", "learning_rate", "step_ms"]
    columns += ["held_out_l1", "held_out_r", "held_out_ccc", "held_out_amplitude"]

    def __init__(self, film: Film, sound: MelSound, preset: FitPreset, workers: Workers) -> None:
        self.sound, self.preset, self.workers, self.device = sound, preset, workers, sound.device
        self.frames = torch.from_numpy(film.frames)
        self.held_out = torch.from_numpy(_frames(film.dataset, "val"))
        self.target_TP = torch.from_numpy(film.face.articulation_TP).float().to(self.device)
        gap_T = film.face.shape.gap_px(film.face.articulation_TP)
        self.gap_T = torch.from_numpy(gap_T).float().to(self.device)
        self.weights = balanced_weights(self.gap_T[self.frames.to(self.device)].cpu())
        self.closed_below = float(np.quantile(gap_T[film.frames], _CLOSED_QUANTILE))
        self.shipped = shipped_ears().to(self.device).requires_grad_(False)
        self.fitted = FittedEars(self.shipped.config, ARTICULATION).to(self.device)
        self.fitted.ears.load_state_dict(self.shipped.state_dict())
        self._start(film, gap_T)
        groups = [{"params": list(self.fitted.parameters()), "base": preset.learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=preset.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]

    @torch.no_grad()
    def _start(self, film: Film, gap_T: Float) -> None:
        """The linear map by ridge regression, and what is known of the lips."""
        given = (self.shipped.before_training(self.sound.features(part)) for part in self.frames.split(256))
        seen = torch.cat([self.fitted.heard(part)[0] for part in given]).double()
        wanted = self.target_TP[self.frames.to(self.device)].double()
        middle, spread, mean_P = seen.mean(0), seen.std(0) + 1e-2, wanted.mean(0)
        known = (seen - middle) / spread
        square = known.T @ known + _RIDGE * len(known) * torch.eye(known.shape[1], device=self.device).double()
        weight = torch.linalg.solve(square, known.T @ (wanted - mean_P)) / spread[:, None]
        self.fitted.head.weight.copy_(weight.T)
        self.fitted.head.bias.copy_(mean_P - middle @ weight)
        at_zero_3, per_P3 = film.face.shape.gap_readout
        closed_px = float(np.quantile(gap_T[film.frames], _CLOSED_AT))
        gap_px, opens_P = float(at_zero_3.mean()), torch.from_numpy(per_P3.mean(1)).float().to(self.device)
        rest_P = self.target_TP[torch.from_numpy(self.sound.closed_frames)].mean(0)
        # Somebody who never rests in the film rests with lips as near as they ever came.
        too_open = (gap_px + rest_P @ opens_P - closed_px).clamp_min(0)
        self.rest_P = rest_P - too_open * opens_P / opens_P.square().sum()
        self.fitted.describe_person(self.rest_P, mean_P.float(), opens_P, gap_px, closed_px)

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        chosen = draw(self.weights, self.frames, self.preset.batch, generator)
        features, target = self._examples(chosen, generator)
        self.fitted.train()
        with torch.no_grad():
            given = self.shipped.before_training(features)
            before_BU, sure_B = self.shipped.answers(given)
        told_BP, units_BU, closure_B = self.fitted.answers(given)
        here = chosen.to(self.device)
        closed_B = (self.gap_T[here] < self.closed_below) & (self.sound.gate_T[here] > 0.5)
        error_B = F.smooth_l1_loss(told_BP, target, beta=_SHARP_P, reduction="none").mean(1)
        articulation = (error_B * (1 + _CLOSED_EXTRA * closed_B)).mean()
        kept = _KEEP_UNITS * F.smooth_l1_loss(units_BU / _UNIT_SPREAD, before_BU / _UNIT_SPREAD)
        kept = kept + _KEEP_CLOSURE * F.binary_cross_entropy_with_logits(closure_B, sure_B.sigmoid())
        loss = articulation + kept
        loss.backward()
        descend(self.optimiser, self.fitted.parameters(), self.workers)
        return {"loss": loss.item(), "articulation": articulation.item(), "kept": kept.item()}

    def judge(self, number: int, check: Check) -> Judgement:
        held_out = _scores(self.fitted, self.sound, self.held_out, self.target_TP)
        self.fitted.louder(_raise(held_out["amplitude"], len(self.held_out)))
        return Judgement(
            scores={f"held_out_{key}": value for key, value in held_out.items()},
            score=-held_out["l1"],
            best={"model": self.fitted.state_dict(), "held_out": held_out},
            shown={key: f"{held_out[key]:.2f}" for key in ("l1", "r")},
        )

    def describe(self) -> dict[str, Any]:
        return {"ears_config": self.fitted.ears.config.to_dict(), "ears": sha256(EARS_FILE)}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.fitted.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fitted.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _examples(self, frames_B: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Features and target of one step."""
        count = len(frames_B)

        def share(value: float) -> Tensor:
            return (torch.rand(count, generator=generator) < value).to(self.device)

        clean = self.sound.features(frames_B)
        changed = self.sound.features(frames_B[:, None], augment=True, generator=generator)[:, 0]
        features = torch.where(share(_AUGMENT_SHARE)[:, None, None], changed, clean)
        here = frames_B.to(self.device)
        gate_B1 = self.sound.gate_T[here][:, None]
        gate_B1 = torch.where(share(_HEAR_SILENCE)[:, None], torch.ones_like(gate_B1), gate_B1)
        target = gate_B1 * self.target_TP[here] + (1 - gate_B1) * self.rest_P
        quiet = share(_SILENCE_SHARE)
        features[quiet] = self.sound.silence(int(quiet.sum()), 1, generator)[:, 0]
        return features, torch.where(quiet[:, None], self.rest_P, target)


def held_out_scores(checkpoint: dict[str, Any], film: Film, sound: MelSound) -> dict[str, float]:
    """What fitted ears make of the film's test block: error of the articulation; r, CCC, amplitude of the opening.

    Raises:
        TooLittleMaterialError: there is no test block.
    """
    target_TP = torch.from_numpy(film.face.articulation_TP).float().to(sound.device)
    frames = torch.from_numpy(_frames(film.dataset, "test"))
    return _scores(fitted_ears(checkpoint).to(sound.device), sound, frames, target_TP)


@torch.no_grad()
def _scores(fitted: FittedEars, sound: MelSound, frames: Tensor, target_TP: Tensor) -> dict[str, float]:
    fitted.eval()
    told = torch.cat([fitted(sound.features(part))[0] for part in frames.split(256)])
    true = target_TP[frames.to(target_TP.device)]
    a, b = (found @ fitted.opens_P for found in (told, true))
    covariance = ((a - a.mean()) * (b - b.mean())).mean()
    apart = a.var(correction=0) + b.var(correction=0) + (a.mean() - b.mean()).square()
    spread_a, spread_b = a.std(correction=0), b.std(correction=0)
    return {
        "l1": float((told - true).abs().mean()),
        "r": float(covariance / (spread_a * spread_b).clamp_min(1e-9)),
        "ccc": float(2 * covariance / apart.clamp_min(1e-9)),
        "amplitude": float(spread_a / spread_b.clamp_min(1e-9)),
    }


def _raise(amplitude: float, frames: int) -> float:
    """By how much the mouth is to move more than it was told, so that it moves as far as the filmed one."""
    if frames < _LEAST_HELD_OUT or not amplitude > 0:
        return 1.0
    return float(np.clip(1 / amplitude, 1.0, _MOST_RAISED))


def _frames(dataset: Dataset328, split: str) -> NDArray[np.int64]:
    usable = usable_frames(dataset.valid_T, dataset.clips)
    starts = window_starts(usable, dataset.clips, dataset.splits[split], 1)
    if not len(starts):
        raise no_window(split, dataset.name, 1)
    return np.asarray(starts, np.int64)
