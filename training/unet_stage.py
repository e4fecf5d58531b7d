"""The generator's training, one story in four stages.

    A  half size, single frames: L1, structure and edges; where the mouth is and what it does
    B  full size, clips of consecutive frames: + temporal term, + SyncNet if its gate opened
    C  + PatchGAN over three frames, whole patch and mouth: teeth and skin get their texture back
    D  the same, adversarial weight halved, the learning rate runs out

What is drawn is laid over the filmed frame before every loss, so the seam is trained as well. All randomness of a
step comes from (seed, step, rank): a resumed run repeats an uninterrupted one exactly.

Axes: B batch of clips, T frames of a clip, C H W image, D embedding.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from recipe.mask_328 import EYE_ROWS_PX
from recipe.recipe_328 import PATCH_TOP_PX
from training.batches import BatchSource
from training.data import FaceData
from training.device import autocast_dtype
from training.distributed import Workers
from training.generator import Generator
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.objective import LOSS_NAMES, Objective
from training.presets import UNetPreset
from training.schedule import Ema
from training.sound import TrainingSound
from training.validation import preview, validate

log = logging.getLogger(__name__)

SCORE_NAMES = ["score", "psnr_hidden", "psnr_mouth", "ssim_mouth", "sharpness", "silence_l1"]
_WEIGHT_DECAY, _BETAS = 0.01, (0.9, 0.99)


@dataclass(frozen=True)
class Parents:
    """What a generator comes from.

    Attributes:
        sync: best.pt of the SyncNet stage: its SyncNet is a loss if its gate opened.
        lips: best.pt of the lip stage: the audio encoder starts from it.
        vgg_weights: state dict of torchvision's VGG19, if there is one on disk.
        start: best.pt of another run of the same widths, whose generator a new run starts from.
    """

    sync: dict[str, Any]
    lips: dict[str, Any]
    vgg_weights: Path | None = None
    start: dict[str, Any] | None = None

    def identities(self) -> dict[str, Any]:
        found = {"syncnet": self.sync["identity"], "lips": self.lips["identity"]}
        if self.start is not None:
            found["start"] = {"identity": self.start["identity"], "step": self.start["step"]}
        return found


def train_generator(
    data: FaceData,
    sound: TrainingSound,
    parents: Parents,
    preset: UNetPreset,
    seed: int,
    folder: Path,
    workers: Workers,
    show_progress: bool = True,
) -> dict[str, Any]:
    """Train, or go on training, the generator.

    Args:
        data: pictures of the dataset.
        sound: its sound.
        parents: what it starts from and is judged by.
        preset: lengths and weights.
        seed: of all randomness.
        folder: checkpoint/NAME/unet.
        workers: place among data-parallel processes.
        show_progress: draw a progress bar.
    Returns:
        The content of best.pt, with the averaged weights under `generator`.
    Raises:
        ValueError: the checkpoint to start from is of another shape.
        InUseError, TrainingStopped: see training.loop.train.
    """
    torch.manual_seed(seed)
    stage = GeneratorStage(data, sound, parents, preset, seed, workers)
    chosen = asdict(preset) | {"vgg_weights": parents.vgg_weights.name if parents.vgg_weights else None}
    chosen["unseen_rows"] = [EYE_ROWS_PX, PATCH_TOP_PX]
    networks, manifest = stage.generator.configs(), data.dataset.manifest
    identity = run_identity("unet", manifest, chosen, seed, workers.count, networks, parents.identities())
    plan = Plan(seed, preset.steps, preset.warmup, preset.evaluate_every, preset.checkpoint_every, hold=preset.steps_a)
    return train(stage, plan, folder, identity, workers, show_progress)


class GeneratorStage:
    """The generator, its critics and its average, one step at a time."""

    columns: ClassVar[list[str]] = ["stage", "loss", *LOSS_NAMES, "learning_rate", "step_ms", *SCORE_NAMES]

    def __init__(
        self,
        data: FaceData,
        sound: TrainingSound,
        parents: Parents,
        preset: UNetPreset,
        seed: int,
        workers: Workers,
    ) -> None:
        self.data, self.preset, self.seed, self.workers, self.device = data, preset, seed, workers, data.device
        self.generator = Generator.start_from(parents.lips, widths=preset.widths).to(
            self.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.dtype = autocast_dtype(self.device)
        self.objective = Objective(parents.sync, preset, parents.vgg_weights, self.device, self.dtype)
        self.adversary, self.clip_frames = self.objective.adversary, self.objective.clip_frames
        self.batches = BatchSource(data, sound, preset, self.clip_frames)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.generator.unet.parameters()), "base": preset.learning_rate},
                {"params": list(self.generator.audio.parameters()), "base": preset.audio_learning_rate},
            ],
            lr=preset.learning_rate,
            weight_decay=_WEIGHT_DECAY,
            betas=_BETAS,
        )
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser, self.adversary.optimiser]
        if parents.start is not None:
            self._start_from(parents.start)
        self.ema = Ema(self.generator, preset.ema)
        self.micro_batches = 1

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        """One step; out of memory halves the batch and accumulates instead. The batches have their own generator."""
        stage = self.preset.stage(number)
        while True:
            try:
                losses = self._forward_backward(stage, number, check)
                failed = False
            except torch.cuda.OutOfMemoryError:
                failed = True
            if not self.workers.any(failed, self.device):
                break
            self._halve_batch()
        descend(self.optimiser, self.generator.parameters(), self.workers)
        if stage in "CD":
            losses["critic"] = self.adversary.step(number, self.preset, self.workers)
        self.ema.update(self.generator)
        return losses

    def _forward_backward(self, stage: str, number: int, check: Check) -> dict[str, float]:
        """Gradients of all micro-batches; returns the mean losses."""
        totals: dict[str, Tensor] = {}
        self.adversary.forget()
        for batch in self.batches.draw(stage, self.seed, number, self.workers.rank, self.micro_batches):
            check()
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                patch = self.generator.draw(batch.target, batch.references, batch.features, batch.gate)
            check()
            parts = self.objective.terms(stage, batch, patch)
            loss = torch.stack(list(parts.values())).sum() / self.micro_batches
            check()
            loss.backward()
            check()
            for name, value in (parts | {"loss": loss * self.micro_batches}).items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach()
        return {name: value.item() / self.micro_batches for name, value in totals.items()}

    def judge(self, number: int, check: Check) -> Judgement:
        averaged, sound = self.averaged_generator(), self.batches.sound
        stage = self.preset.stage(number - 1)
        half_size = stage == "A"
        scores = validate(averaged, self.data, sound, self.dtype, half_size, check)
        picture = preview(averaged, self.data, sound, self.dtype, half_size, check)
        comparable = not half_size or number == self.preset.steps
        return Judgement(
            scores=scores | {"stage": float("ABCD".index(stage))},
            score=scores["score"] if comparable else None,
            best={"generator": self.ema.shadow, "scores": scores},
            shown={"stage": stage, "mouth_db": f"{scores['psnr_mouth']:.2f}"},
            picture_rgb_HWC=picture,
        )

    def averaged_generator(self) -> Generator:
        """A copy of the generator that carries the averaged weights."""
        copy = Generator.from_configs(self.generator.configs())
        copy.load_state_dict(self.ema.shadow)
        return copy.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def describe(self) -> dict[str, Any]:
        return {"recipe": self.data.dataset.manifest["recipe"]} | self.generator.configs()

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary": self.adversary.state_dict(),
            "micro_batches": self.micro_batches,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self.ema.load_state_dict(state["ema"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.adversary.load_state_dict(state["adversary"])
        self.micro_batches = state["micro_batches"]

    def _start_from(self, start: dict[str, Any]) -> None:
        if start["unet_config"] != self.generator.configs()["unet_config"]:
            raise ValueError(
                f"the checkpoint to start from holds a net of {start['unet_config']}, this preset makes "
                f"{self.generator.configs()['unet_config']}: choose the preset that it was trained with"
            )
        self.generator.load_state_dict(start["generator"])
        log.info("the generator starts from one that was trained for %d steps", start["step"])

    def _halve_batch(self) -> None:
        frames = self.preset.clips * self.clip_frames
        if self.micro_batches * 2 > self.preset.clips:
            raise RuntimeError(
                f"out of GPU memory with one clip of {self.clip_frames} frames at a time: "
                "free the GPU, or train on one with more memory"
            )
        self.optimiser.zero_grad(set_to_none=True)
        self.micro_batches *= 2
        torch.cuda.empty_cache()
        log.warning(
            "out of GPU memory: going on with %d x %d frames per step", self.micro_batches, frames // self.micro_batches
        )
