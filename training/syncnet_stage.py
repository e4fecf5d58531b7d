"""Stage 0: audio encoder and SyncNet, trained together by contrast.

    mouths of five frames -> picture branch -> unit vector -.
                                                             > symmetric InfoNCE over the batch
    sound of the same five -> audio encoder -> sound branch -'

The stage ends with two nets: `syncnet` gives the generator its audio encoder and, if the gate opens, a loss; `scorer`
(other seed, other square) is never a loss and only judges.

Axes: B batch of windows, T frames of a window, O offsets, D embedding.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.audio_encoder import AudioEncoder, AudioEncoderConfig
from models.syncnet_328 import SyncNet, SyncNetConfig, info_nce
from recipe.recipe_328 import INNER_PX
from training.data import FaceData, balanced_weights, spans
from training.device import autocast_dtype
from training.distributed import Workers
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.presets import SyncNetPreset
from training.sound import TrainingSound
from training.sync_windows import augmented_mouths, draw_windows, mouth_thumbnails

GATE_ACCURACY = 0.60  # held-out share of windows whose offset is found within +-1 frame; chance is 3 / 31
OFFSETS = range(-15, 16)
_TOO_NEAR_FRAMES = 3  # windows that overlap are not told apart
_CONSISTENCY = 0.3  # weight of: clean and augmented sound give the same embedding
SCORER_BOX = (132, 92, 136, 136)
_WEIGHT_DECAY = 0.02


@dataclass(frozen=True)
class SyncNetRun:
    """Everything that defines a run of this stage."""

    preset: SyncNetPreset
    seed: int
    mouth_box: tuple[int, int, int, int] | None = None  # None: the configuration's own


class SyncModel(nn.Module):
    """Audio encoder and SyncNet as one module, so that one optimiser and one checkpoint hold both."""

    def __init__(self, audio: AudioEncoder, syncnet: SyncNet) -> None:
        super().__init__()
        self.audio = audio
        self.syncnet = syncnet

    @classmethod
    def from_checkpoint(cls, content: dict[str, Any]) -> SyncModel:
        """Rebuild from what the checkpoint says of itself."""
        model = cls(
            AudioEncoder(AudioEncoderConfig(**content["audio_config"])),
            SyncNet(SyncNetConfig.from_dict(content["syncnet_config"])),
        )
        model.load_state_dict(content["model"])
        return model

    def configs(self) -> dict[str, Any]:
        return {"audio_config": asdict(self.audio.config), "syncnet_config": self.syncnet.config.to_dict()}

    def sound(self, features_BTND: Tensor, gate_BT: Tensor) -> Tensor:
        """Features of consecutive frames -> unit vectors (B, output_dim)."""
        count, length = features_BTND.shape[:2]
        embeddings = self.audio(features_BTND.flatten(0, 1), gate_BT.flatten())
        return self.syncnet.embed_sound(embeddings.unflatten(0, (count, length)))


def train_syncnet(
    data: FaceData, sound: TrainingSound, run: SyncNetRun, folder: Path, workers: Workers, show_progress: bool = True
) -> dict[str, Any]:
    """Train, or go on training, one SyncNet.

    Args:
        data: pictures of the dataset.
        sound: its sound.
        run: preset and seed.
        folder: checkpoint/NAME/syncnet or .../scorer.
        workers: place among data-parallel processes.
        show_progress: draw a progress bar.
    Returns:
        The content of best.pt, with `accuracy` (held out; None without enough speech there) and `gate_open`.
    Raises:
        InUseError, TrainingStopped: see training.loop.train.
    """
    preset = run.preset
    torch.manual_seed(run.seed)
    stage = SyncNetStage(data, sound, run, workers)
    manifest, networks = data.dataset.manifest, stage.model.configs()
    identity = run_identity("syncnet", manifest, asdict(preset), run.seed, workers.count, networks)
    plan = Plan(
        run.seed,
        preset.steps,
        preset.warmup,
        preset.evaluate_every,
        checkpoint_every=preset.evaluate_every,
        patience=preset.patience,
    )
    return train(stage, plan, folder, identity, workers, show_progress)


class SyncNetStage:
    """The contrast, one step at a time."""

    columns: ClassVar[list[str]] = [
        *("loss", "info_nce", "consistency", "learning_rate", "step_ms"),
        *("held_out_mass", "held_out_accuracy", "windows"),
    ]

    def __init__(self, data: FaceData, sound: TrainingSound, run: SyncNetRun, workers: Workers) -> None:
        self.data, self.sound, self.preset, self.workers, self.device = data, sound, run.preset, workers, data.device
        model = _new_model(sound, run)
        self.model = model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        groups = [{"params": list(self.model.parameters()), "base": run.preset.learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=run.preset.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]
        config = self.model.syncnet.config
        self.thumbnails = mouth_thumbnails(data, config)
        self.starts = data.windows("train", config.frames)
        self.weights = balanced_weights(data.opening_T[self.starts + 2])
        self.dtype = autocast_dtype(self.device)

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        windows = draw_windows(self.starts, self.weights, self.preset.batch, generator)
        self.model.train()
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            loss, parts = _batch_loss(self.model, self.data, self.sound, self.thumbnails, windows, generator)
        check()
        loss.backward()
        check()
        descend(self.optimiser, self.model.parameters(), self.workers)
        return {"loss": loss.item(), **parts}

    def judge(self, number: int, check: Check) -> Judgement:
        held_out = evaluate_syncnet(self.model, self.data, self.sound, "val", self.thumbnails)
        scores = {"held_out_mass": held_out["mass"], "windows": held_out["windows"]}
        if held_out["accuracy"] is not None:
            scores["held_out_accuracy"] = held_out["accuracy"]
        return Judgement(
            scores=scores,
            score=held_out["mass"],
            best={"model": self.model.state_dict(), "held_out": held_out} | gate(held_out),
            shown={"held_out": f"{held_out['accuracy'] or 0:.0%}"},
        )

    def describe(self) -> dict[str, Any]:
        return {"recipe": self.data.dataset.manifest["recipe"], **self.model.configs()}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def gate(held_out: dict[str, Any]) -> dict[str, Any]:
    """Whether SyncNet is good enough to be a loss: it must beat chance clearly on frames it has not seen."""
    accuracy = held_out["accuracy"]
    return {"accuracy": accuracy, "gate_open": accuracy is not None and accuracy >= GATE_ACCURACY}


def evaluate_syncnet(
    model: SyncModel, data: FaceData, sound: TrainingSound, split: str, thumbnails: Tensor
) -> dict[str, Any]:
    """Find the offset of every held-out window among -15..15 frames.

    Returns:
        accuracy: share of speech windows found within +-1 frame (None with fewer than ten of them);
        mass: mean probability that the model gives to +-1 frame, the smooth score by which it is chosen;
        windows: how many were judged.
    """
    config = model.syncnet.config
    starts = data.windows(split, config.frames)
    last = len(data.opening_T) - config.frames
    offsets = torch.tensor(list(OFFSETS))
    speech = sound.gate_T[spans(starts, config.frames)].float().mean(dim=1) > 0.5
    inside = (starts + offsets[0] >= 0) & (starts + offsets[-1] <= last)
    starts = starts[speech.cpu() & inside] if bool((speech.cpu() & inside).any()) else starts[inside]
    if len(starts) == 0:
        return {"accuracy": None, "mass": 0.0, "windows": 0}
    model.eval()
    margin = (thumbnails.shape[-1] - config.mouth_px) // 2
    with torch.no_grad():
        cut = thumbnails[spans(starts, config.frames).to(data.device)].float() / 255
        cut = cut[..., margin : margin + config.mouth_px, margin : margin + config.mouth_px]
        picture = model.syncnet.embed_picture(cut)
        candidates = (starts[:, None] + offsets[None]).flatten()
        unique, where = candidates.unique(return_inverse=True)
        frames = spans(unique, config.frames)
        vectors = model.sound(sound.features(frames), sound.gate_T[frames.to(data.device)])
        similarity = torch.einsum("bd,bod->bo", picture, vectors[where.to(data.device)].unflatten(0, (len(starts), -1)))
        probability = (model.syncnet.scale() * similarity).softmax(dim=1).cpu()
    near = offsets.abs() <= 1
    found = offsets[probability.argmax(dim=1)]
    accuracy = float((found.abs() <= 1).float().mean()) if len(starts) >= 10 else None
    return {"accuracy": accuracy, "mass": float(probability[:, near].sum(dim=1).mean()), "windows": len(starts)}


def _new_model(sound: TrainingSound, run: SyncNetRun) -> SyncModel:
    audio = AudioEncoder(sound.encoder_config())
    config = SyncNetConfig(inner_px=INNER_PX, embedding_dim=audio.config.embedding_dim)
    if run.mouth_box is not None:
        config = replace(config, mouth_box=run.mouth_box)
    return SyncModel(audio, SyncNet(config))


def _batch_loss(
    model: SyncModel,
    data: FaceData,
    sound: TrainingSound,
    thumbnails: Tensor,
    windows: Tensor,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    config, device = model.syncnet.config, data.device
    frames = spans(windows, config.frames)
    mouths = augmented_mouths(thumbnails, frames, config.mouth_px, generator)
    gate_BT = sound.gate_T[frames.to(device)]
    clean, changed = sound.features(frames), sound.features(frames, augment=True, generator=generator)
    embeddings = model.audio(torch.cat([clean, changed]).flatten(0, 1), gate_BT.repeat(2, 1).flatten())
    embedding_clean, embedding_changed = embeddings.unflatten(0, (2, len(windows), config.frames))
    picture = model.syncnet.embed_picture(mouths)
    vectors = model.syncnet.embed_sound(embedding_changed)
    near = (windows[:, None] - windows[None]).abs() < _TOO_NEAR_FRAMES
    silent = gate_BT.float().mean(dim=1).cpu() < 0.1
    ignore = (near | (silent[:, None] & silent[None])) & ~torch.eye(len(windows), dtype=torch.bool)
    contrast = info_nce(picture, vectors, model.syncnet.scale(), ignore.to(device))
    agreement = 1 - F.cosine_similarity(embedding_changed.float(), embedding_clean.float().detach(), dim=-1)
    consistency = (agreement * gate_BT).mean()
    total = contrast + _CONSISTENCY * consistency
    return total, {"info_nce": contrast.item(), "consistency": consistency.item()}
