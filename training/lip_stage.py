"""Stage 0b: the audio encoder learns what the lips do, before any picture is drawn.

    sound of one frame -> audio encoder -> linear -> lip shape that was tracked in that frame

Contrast alone (stage 0) tells sounds apart, not how far the lips are open: of an encoder that was only contrasted, a
linear map recovers the opening of held-out speech with r = .81, after this stage with r = .95, and lips that close
within a word are a twentieth of a standard deviation too open instead of two fifths. The linear map is thrown away.
What was measured: docs/decisions/0008-lips-first.md

Axes: B batch of frames, T frames of the recording, K lip landmarks, P lip parameters.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import AudioEncoder
from recipe.mouth import LIPS
from recipe.recipe_328 import INNER_OFFSET_PX
from training.data import FaceData, balanced_weights, draw
from training.distributed import Workers
from training.generator import audio_encoder_of
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.presets import LipPreset
from training.sound import TrainingSound

COMPONENTS = 8  # principal components of the landmarks; what lies beyond is tracking noise
# Where noise hides which sound it is, the least mean error is a mouth half open: closed lips would never be drawn. So a
# frame of speech whose lips are among the most closed counts three times.
_CLOSED_QUANTILE = 0.2
_CLOSED_EXTRA = 2.0
_WEIGHT_DECAY = 0.02
_AUGMENT_SHARE = 0.8
_HEAR_SILENCE = 0.3  # share of frames whose pauses reach the encoder instead of the silence token
_SILENCE_SHARE = 0.1  # share of frames that hear synthetic silence and have the resting shape as their target


class LipModel(nn.Module):
    """The audio encoder and the linear map that judges it."""

    def __init__(self, audio: AudioEncoder) -> None:
        super().__init__()
        self.audio = audio
        self.head = nn.Linear(audio.config.embedding_dim, COMPONENTS + 1)

    def forward(self, features_BND: Tensor, gate_B: Tensor) -> Tensor:
        """Lip parameters, (B, P)."""
        shape: Tensor = self.head(self.audio(features_BND, gate_B))
        return shape


def lip_parameters(dataset: Dataset328, frames: Tensor) -> Tensor:
    """Lip shape of every frame: principal components of the landmarks in the crop, and the opening.

    Args:
        dataset: landmarks and their way into the crop.
        frames: the frames that mean, components and scale are measured on.
    Returns:
        (T, P) float32; the first component and the opening have standard deviation 1 on `frames`, the other
        components keep their share of it. Frames without a face are zero.
    """
    lips = dataset.landmarks_TK2[:, list(LIPS)]
    lips = np.einsum("tij,tkj->tki", dataset.affine_T23[:, :, :2], lips) + dataset.affine_T23[:, None, :, 2]
    points = torch.from_numpy(np.nan_to_num(lips - INNER_OFFSET_PX)).double().flatten(1)
    centred = points - points[frames].mean(dim=0)
    _, axes = torch.linalg.eigh(centred[frames].T @ centred[frames])  # ascending
    components = centred @ axes.flip(1)[:, :COMPONENTS]
    opening = torch.from_numpy(np.nan_to_num(dataset.opening_T)).double()
    opening = opening - opening[frames].mean()
    parameters = torch.cat(
        [components / components[frames, 0].std(), (opening / opening[frames].std())[:, None]],
        dim=1,
    )
    return torch.where(torch.from_numpy(dataset.valid_T)[:, None], parameters, 0.0).float()


def train_lips(
    data: FaceData,
    sound: TrainingSound,
    sync: dict[str, Any],
    preset: LipPreset,
    seed: int,
    folder: Path,
    workers: Workers,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train, or go on training, the audio encoder.

    Args:
        data: lip landmarks of the dataset.
        sound: its sound.
        sync: best.pt of the SyncNet stage, whose encoder this one starts from.
        preset: length.
        seed: of all randomness.
        folder: checkpoint/NAME/lips.
        workers: place among data-parallel processes.
        show_progress: draw a progress bar.
    Returns:
        The content of best.pt, with `held_out`.
    Raises:
        InUseError, TrainingStopped: see training.loop.train.
    """
    torch.manual_seed(seed)
    stage = LipStage(data, sound, sync, preset, workers)
    manifest, parents = data.dataset.manifest, {"syncnet": sync["identity"]}
    identity = run_identity("lips", manifest, asdict(preset), seed, workers.count, stage.describe(), parents)
    plan = Plan(seed, preset.steps, preset.warmup, preset.evaluate_every, checkpoint_every=preset.evaluate_every)
    return train(stage, plan, folder, identity, workers, show_progress)


class LipStage:
    """The fit, one step at a time."""

    columns: ClassVar[list[str]] = ["loss", "learning_rate", "step_ms", "held_out_l1", "held_out_r"]

    def __init__(
        self, data: FaceData, sound: TrainingSound, sync: dict[str, Any], preset: LipPreset, workers: Workers
    ) -> None:
        self.data, self.sound, self.preset, self.workers, self.device = data, sound, preset, workers, data.device
        self.model = LipModel(audio_encoder_of(sync)).to(self.device)
        groups = [{"params": list(self.model.parameters()), "base": preset.learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=preset.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]
        self.frames = data.windows("train", 1)
        self.weights = balanced_weights(data.opening_T[self.frames])
        self.target_TP = lip_parameters(data.dataset, self.frames).to(self.device)
        self.closed_below = self.target_TP[self.frames.to(self.device), -1].quantile(_CLOSED_QUANTILE)
        rest = torch.from_numpy(sound.closed_frames)
        self.rest_P = self.target_TP[rest].mean(dim=0) if len(rest) else None

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        chosen = draw(self.weights, self.frames, self.preset.batch, generator)
        features, gate, target = _examples(self.sound, chosen, self.target_TP, self.rest_P, generator)
        self.model.train()
        loss = lip_error(self.model(features, gate), target, gate, self.closed_below)
        loss.backward()
        descend(self.optimiser, self.model.parameters(), self.workers)
        return {"loss": loss.item()}

    def judge(self, number: int, check: Check) -> Judgement:
        held_out = evaluate_lips(self.model, self.data, self.sound, "val", self.target_TP)
        return Judgement(
            scores={f"held_out_{key}": value for key, value in held_out.items()},
            score=-held_out["l1"],
            best={"model": self.model.state_dict(), "held_out": held_out},
            shown={"held_out": f"{held_out['l1']:.3f}"},
        )

    def describe(self) -> dict[str, Any]:
        return {"audio_config": asdict(self.model.audio.config)}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def lip_error(found_BP: Tensor, target_BP: Tensor, gate_B: Tensor, closed_below: Tensor) -> Tensor:
    """Mean absolute error in which a frame of speech with closed lips counts 1 + _CLOSED_EXTRA times."""
    closed_B = (target_BP[:, -1] < closed_below) & (gate_B > 0.5)
    return ((found_BP - target_BP).abs().mean(dim=1) * (1 + _CLOSED_EXTRA * closed_B)).mean()


@torch.no_grad()
def evaluate_lips(
    model: LipModel, data: FaceData, sound: TrainingSound, split: str, target_TP: Tensor
) -> dict[str, float]:
    """Mean absolute error of the parameters and correlation of the opening over a split's frames."""
    frames = data.windows(split, 1)
    model.eval()
    parts = [model(sound.features(part), sound.gate_T[part.to(data.device)]) for part in frames.split(256)]
    found, target = torch.cat(parts), target_TP[frames.to(data.device)]
    spread = torch.stack([found[:, -1], target[:, -1]])
    r = float(torch.corrcoef(spread)[0, 1].nan_to_num()) if len(frames) > 1 else 0.0
    return {"l1": float((found - target).abs().mean()), "r": r}


def _examples(
    sound: TrainingSound, frames_B: Tensor, target_TP: Tensor, rest_P: Tensor | None, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Features, gate and target of one step."""
    device, count = target_TP.device, len(frames_B)

    def share(value: float) -> Tensor:
        return (torch.rand(count, generator=generator) < value).to(device)

    clean = sound.features(frames_B)
    changed = sound.features(frames_B[:, None], augment=True, generator=generator)[:, 0]
    features = torch.where(share(_AUGMENT_SHARE)[:, None, None], changed, clean)
    gate = sound.gate_T[frames_B.to(device)]
    gate = torch.where(share(_HEAR_SILENCE), torch.ones_like(gate), gate)
    target = target_TP[frames_B.to(device)]
    if rest_P is not None:
        quiet = share(_SILENCE_SHARE)
        features[quiet] = sound.silence(int(quiet.sum()), 1, generator)[:, 0]
        gate = torch.where(quiet, torch.ones_like(gate), gate)
        target = torch.where(quiet[:, None], rest_P, target)
    return features, gate, target
