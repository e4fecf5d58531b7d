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
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from recipe.mask_328 import EYE_ROWS_PX
from recipe.recipe_328 import PATCH_TOP_PX
from training.batches import BatchSource
from training.data import FaceData, step_generator
from training.device import autocast_dtype
from training.distributed import Workers
from training.generator import Generator
from training.interrupt import StopRequest
from training.objective import LOSS_NAMES, Objective
from training.presets import UNetPreset
from training.run_directory import RunDirectory
from training.schedule import Ema, learning_rate_factor
from training.sound import TrainingSound
from training.validation import preview, validate

log = logging.getLogger(__name__)

SCORE_NAMES = ["score", "psnr_hidden", "psnr_mouth", "ssim_mouth", "sharpness", "silence_l1"]
COLUMNS = ["stage", "loss", *LOSS_NAMES, "learning_rate", "step_ms", *SCORE_NAMES]


class UNetTraining:
    """State of one run and the step that advances it."""

    def __init__(
        self,
        data: FaceData,
        sound: TrainingSound,
        sync: dict[str, Any],
        lips: dict[str, Any],
        preset: UNetPreset,
        seed: int,
        folder: Path,
        workers: Workers,
        vgg_weights: Path | None = None,
        start: dict[str, Any] | None = None,
    ) -> None:
        """Set up a new run or continue the one in `folder`.

        Args:
            data: pictures of the dataset.
            sound: its sound.
            sync: best.pt of the SyncNet stage: its SyncNet is a loss if its gate opened.
            lips: best.pt of the lip stage: the audio encoder starts from it.
            preset: lengths and weights.
            seed: of all randomness.
            folder: checkpoint/NAME/unet.
            workers: place among data-parallel processes.
            vgg_weights: state dict of torchvision's VGG19, if there is one on disk.
            start: best.pt of another run of the same widths, whose generator a new run starts from.
        Raises:
            ValueError: `start` is of another shape.
        """
        self.data, self.preset, self.seed, self.workers, self.device = data, preset, seed, workers, data.device
        torch.manual_seed(seed)
        self.generator = Generator.start_from(lips, widths=preset.widths).to(
            self.device, memory_format=torch.channels_last
        )  # type: ignore[call-overload]
        self.dtype = autocast_dtype(self.device)
        self.objective = Objective(sync, preset, vgg_weights, self.device, self.dtype)
        self.adversary, self.clip_frames = self.objective.adversary, self.objective.clip_frames
        self.batches = BatchSource(data, sound, preset, self.clip_frames)
        self.optimiser = torch.optim.AdamW(
            [
                {"params": list(self.generator.unet.parameters()), "base": preset.learning_rate},
                {"params": list(self.generator.audio.parameters()), "base": preset.audio_learning_rate},
            ],
            lr=preset.learning_rate,
            weight_decay=0.01,
            betas=(0.9, 0.99),
        )
        self.ema = Ema(self.generator, preset.ema)
        self.step, self.best_score, self.micro_batches = 0, float("-inf"), 1
        self.directory = RunDirectory(folder, COLUMNS)
        self.identity = {
            "preset": {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(preset).items()},
            "seed": seed,
            "source": data.dataset.manifest["source"]["sha256"],
            "recipe": data.dataset.manifest["recipe"],
            "sync": sync["identity"],
            "lips": lips["identity"],
            "unseen_rows": [EYE_ROWS_PX, PATCH_TOP_PX],
            "workers": workers.count,
        }
        if start is not None:
            self.identity["start"] = {"identity": start["identity"], "step": start["step"]}
        if not self._resume() and start is not None:
            self._start_from(start)
        if workers.is_main:
            self.directory.save_options(self.identity)

    def run(self, show_progress: bool = True) -> bool:
        """Train to the end; True when it was reached, False when a stop was asked for (all is saved)."""
        preset, started = self.preset, time.perf_counter()
        bar = tqdm(
            total=preset.steps, initial=self.step, desc="unet", unit="step", mininterval=1, disable=not show_progress
        )
        with StopRequest() as stop:
            while self.step < preset.steps:
                losses = self.train_step()
                bar.update()
                at_end = self.step == preset.steps
                if self.step % preset.evaluate_every == 0 or at_end:
                    self._evaluate(losses, (time.perf_counter() - started) * 1e3 / preset.evaluate_every, bar)
                    started = time.perf_counter()
                stopping = self.workers.any(stop.requested, self.device)
                if self.step % preset.checkpoint_every == 0 or at_end or stopping:
                    self._save()
                if stopping:
                    break
        bar.close()
        self.directory.close()
        self.workers.wait()
        return self.step == preset.steps

    def train_step(self) -> dict[str, float]:
        """One optimiser step; out of memory halves the batch and accumulates instead."""
        torch.manual_seed(step_generator(self.seed, self.step, self.workers.rank).initial_seed())
        stage = self.preset.stage(self.step)
        factor = learning_rate_factor(self.step, self.preset.steps, self.preset.warmup, self.preset.steps_a)
        for group in self.optimiser.param_groups:
            group["lr"] = group["base"] * factor
        self.adversary.set_learning_rate(self.preset.learning_rate * factor)
        while True:
            try:
                losses = self._forward_backward(stage)
                failed = False
            except torch.cuda.OutOfMemoryError:
                failed = True
            if not self.workers.any(failed, self.device):
                break
            self._halve_batch()
        self.workers.average_gradients(self.generator.parameters())
        nn.utils.clip_grad_norm_(self.generator.parameters(), 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if stage in "CD":
            losses["critic"] = self.adversary.step(self.step, self.preset, self.workers)
        self.ema.update(self.generator)
        self.step += 1
        return losses

    def _forward_backward(self, stage: str) -> dict[str, float]:
        """Gradients of all micro-batches; returns the mean losses."""
        totals: dict[str, Tensor] = {}
        self.adversary.forget()
        for batch in self.batches.draw(stage, self.seed, self.step, self.workers.rank, self.micro_batches):
            with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
                patch = self.generator.draw(batch.target, batch.references, batch.features, batch.gate)
            parts = self.objective.terms(stage, batch, patch)
            loss = torch.stack(list(parts.values())).sum() / self.micro_batches
            loss.backward()
            for name, value in (parts | {"loss": loss * self.micro_batches}).items():
                totals[name] = totals.get(name, torch.zeros((), device=self.device)) + value.detach()
        return {name: value.item() / self.micro_batches for name, value in totals.items()}

    def _evaluate(self, losses: dict[str, float], step_ms: float, bar: tqdm[Any]) -> None:
        if not self.workers.is_main:
            return
        averaged = self.averaged_generator()
        half_size = self.preset.stage(self.step - 1) == "A"
        scores = validate(averaged, self.data, self.batches.sound, self.dtype, half_size)
        row = {**losses, **scores, "step_ms": step_ms, "learning_rate": self.optimiser.param_groups[0]["lr"]}
        stage = self.preset.stage(self.step - 1)
        self.directory.add_metrics(self.step, row | {"stage": float("ABCD".index(stage))})
        self.directory.save_picture(
            f"preview_{self.step:06d}.jpg", preview(averaged, self.data, self.batches.sound, self.dtype, half_size)
        )
        bar.set_postfix(stage=stage, loss=f"{losses['loss']:.4f}", mouth_db=f"{scores['psnr_mouth']:.2f}")
        if scores["score"] > self.best_score and not (half_size and self.step < self.preset.steps):
            self.best_score = scores["score"]
            self.directory.save_best(self._described() | {"generator": self.ema.shadow, "scores": scores})

    def averaged_generator(self) -> Generator:
        """A copy of the generator that carries the averaged weights."""
        copy = Generator.from_configs(self.generator.configs())
        copy.load_state_dict(self.ema.shadow)
        return copy.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

    def _described(self) -> dict[str, Any]:
        return {
            "identity": self.identity,
            "recipe": self.identity["recipe"],
            "step": self.step,
        } | self.generator.configs()

    def _save(self) -> None:
        if not self.workers.is_main:
            return
        content = self._described() | {
            "generator": self.generator.state_dict(),
            "ema": self.ema.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "adversary": self.adversary.state_dict(),
            "best_score": self.best_score,
            "micro_batches": self.micro_batches,
        }
        self.directory.save_last(content)

    def _start_from(self, start: dict[str, Any]) -> None:
        if start["unet_config"] != self.generator.configs()["unet_config"]:
            raise ValueError(
                f"the checkpoint to start from holds a net of {start['unet_config']}, this preset makes "
                f"{self.generator.configs()['unet_config']}: choose the preset that it was trained with"
            )
        self.generator.load_state_dict(start["generator"])
        self.ema = Ema(self.generator, self.preset.ema)
        log.info("the generator starts from one that was trained for %d steps", start["step"])

    def _resume(self) -> bool:
        found = self.directory.resume(self.identity) if self.workers.is_main else self.directory.peek(self.identity)
        if found is None:
            return False
        self.generator.load_state_dict(found["generator"])
        self.ema.load_state_dict(found["ema"])
        self.optimiser.load_state_dict(found["optimiser"])
        self.adversary.load_state_dict(found["adversary"])
        self.step, self.best_score = found["step"], found["best_score"]
        self.micro_batches = found["micro_batches"]
        log.info("the generator goes on at step %d of %d", self.step, self.preset.steps)
        return True

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
