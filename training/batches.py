"""What the generator is shown in one step.

Axes: B batch of clips, T frames of a clip, N = B T frames, R references, F mel frames, D features.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from training.data import FaceData, balanced_weights, draw, draw_shifts, spans, step_generator
from training.presets import UNetPreset
from training.sound import TrainingSound

log = logging.getLogger(__name__)

_HEAR_SILENCE = 0.3  # share of clips in which pauses reach the audio encoder instead of the silence token
_LEAST_CLOSED_WINDOWS = 8
_CLOSED_WINDOW_SHARE = 0.02
_LIGHT, _REFERENCE_LIGHT = 0.06, 0.04


@dataclass(frozen=True)
class Batch:
    """Frames of some clips, flattened: clip 0 frame 0, clip 0 frame 1, ..."""

    target: Tensor  # (N, 3, H, W)
    references: Tensor  # (N, 3R, H, W), the same for all frames of a clip
    features: Tensor  # (N, F, D)
    clean_features: Tensor  # (B, T, F, D), without augmentation
    gate: Tensor  # (N,)
    boxes: Tensor  # (N, 4) mouth boxes in full-size pixels of the drawn rows
    silenced: Tensor  # (B,) bool: the sound was replaced by synthetic silence


class BatchSource:
    """Draws batches; the same (seed, step, rank) always gives the same one."""

    def __init__(self, data: FaceData, sound: TrainingSound, preset: UNetPreset, clip_frames: int) -> None:
        self.data, self.sound, self.preset, self.clip_frames = data, sound, preset, clip_frames
        self.pose_T3 = torch.from_numpy(data.dataset.pose_T3).float()
        self._starts: dict[int, tuple[Tensor, Tensor, Tensor]] = {}

    def draw(self, stage: str, seed: int, step: int, rank: int, micro_batches: int) -> Iterator[Batch]:
        """Yield the step's batch in `micro_batches` parts.

        Args:
            stage: A works on single frames at half size, the others on clips.
            seed: of the run.
            step: number of the step.
            rank: of this process.
            micro_batches: number of parts.
        """
        length = 1 if stage == "A" else self.clip_frames
        count = self.preset.clips * (self.clip_frames if stage == "A" else 1)
        generator = step_generator(seed, step, rank)
        starts, weights, closed = self._windows(length)
        chosen = draw(weights, starts, count, generator)
        silenced = torch.rand(count, generator=generator) < self.preset.silence_share
        rest = closed[torch.randint(len(closed), (count,), generator=generator)]
        chosen = torch.where(silenced, rest, chosen)
        for part in torch.arange(count).tensor_split(min(micro_batches, count)):
            yield self._assemble(chosen[part], length, silenced[part], stage == "A", generator)

    def _windows(self, length: int) -> tuple[Tensor, Tensor, Tensor]:
        """Starts of training windows, their sampling weights, and the starts of closed-mouth windows."""
        if length not in self._starts:
            starts = self.data.windows("train", length)
            weights = balanced_weights(self.data.opening_T[starts + length // 2])
            closed_frames = torch.zeros(len(self.data.opening_T), dtype=torch.bool)
            closed_frames[self.sound.closed_frames] = True
            closed = starts[closed_frames[spans(starts, length)].all(dim=1)]
            if len(closed) < _LEAST_CLOSED_WINDOWS:
                closed = self._most_closed(starts, length)
            self._starts[length] = (starts, weights, closed)
        return self._starts[length]

    def _most_closed(self, starts: Tensor, length: int) -> Tensor:
        """For somebody who never rests with a closed mouth: the windows whose widest frame is the least open."""
        widest = self.data.opening_T[spans(starts, length)].amax(dim=1)
        count = min(max(_LEAST_CLOSED_WINDOWS, round(_CLOSED_WINDOW_SHARE * len(starts))), len(starts))
        log.warning(
            "%s hardly ever rests with a closed mouth: silence is answered with the %d most closed stretches of %d "
            "frames there are. 5 to 20 s of silence with closed lips, at the start and the end, would teach it better",
            self.data.dataset.name,
            count,
            length,
        )
        return starts[widest.argsort(stable=True)[:count].sort().values]

    def _assemble(
        self, starts: Tensor, length: int, silenced: Tensor, half_size: bool, generator: torch.Generator
    ) -> Batch:
        data, device = self.data, self.data.device
        frames = spans(starts, length)
        count = len(starts)
        shift = draw_shifts(count, generator)
        shift_N2 = shift.repeat_interleave(length, 0)
        references = data.references(
            data.pools.draw(starts, length, self.pose_T3[starts + length // 2], generator), shift
        )
        target = data.inner(frames.flatten(), shift_N2)
        if half_size:
            target, references = F.avg_pool2d(target, 2), F.avg_pool2d(references, 2)
        target, references = self._light(target, references, length, generator)
        clean, heard, gate = self._sound(frames, silenced, generator)
        return Batch(
            target=target.contiguous(memory_format=torch.channels_last),
            references=references.repeat_interleave(length, 0).contiguous(memory_format=torch.channels_last),
            features=heard.flatten(0, 1),
            clean_features=clean,
            gate=gate.flatten(),
            boxes=data.patch_boxes(frames.flatten(), shift_N2),
            silenced=silenced.to(device),
        )

    def _light(
        self, target: Tensor, references: Tensor, length: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The same change of light for a clip and its references, a little more for the references alone."""
        count = len(references)

        def gains(amount: float) -> Tensor:
            return 1 + amount * (2 * torch.rand(count, 3, 1, 1, generator=generator) - 1)

        common, own = gains(_LIGHT), gains(_REFERENCE_LIGHT)
        lit = target * common.repeat_interleave(length, 0).to(target.device)
        lit_references = references * (common * own).repeat(1, references.shape[1] // 3, 1, 1).to(target.device)
        return lit.clamp(0, 1), lit_references.clamp(0, 1)

    def _sound(self, frames: Tensor, silenced: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clean features, the features that are heard, and the gate."""
        device = self.data.device
        clean = self.sound.features(frames)
        changed = self.sound.features(frames, augment=True, generator=generator)
        count = len(frames)
        augment = (torch.rand(count, generator=generator) < self.preset.augment_share).to(device)
        heard = torch.where(augment[:, None, None, None], changed, clean)
        gate = self.sound.gate_T[frames.to(device)]
        listen = (torch.rand(count, generator=generator) < _HEAR_SILENCE).to(device)
        gate = torch.where(listen[:, None], torch.ones_like(gate), gate)
        quiet = silenced.to(device)
        token = (torch.rand(count, generator=generator) < 0.5).to(device)
        gate = torch.where(quiet[:, None], (~token)[:, None].to(gate.dtype), gate)
        if bool(silenced.any()):
            silence = self.sound.silence(count, frames.shape[1], generator)
            heard = torch.where(quiet[:, None, None, None], silence, heard)
        return clean, heard, gate
