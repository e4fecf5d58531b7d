"""The sound of a dataset on the training device: clean and augmented features, the gate, synthetic silence.

Axes: B clips, T consecutive frames, N analysis frames of a window, D features, S samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data_prep.dataset_328 import Dataset328
from data_prep.recipe_328 import (
    AUDIO_WINDOW_SAMPLES,
    MEL_BINS,
    MEL_FFT,
    MEL_FMAX_HZ,
    MEL_FMIN_HZ,
    MEL_FRAMES,
    MEL_HOP,
    SAMPLE_RATE_HZ,
)
from data_prep.voice_activity import gate
from models.audio_encoder import AudioEncoderConfig, LogMel, MelConfig
from training.audio_augmentation import AudioAugmentation, AudioAugmenter
from training.synthetic_silence import closed_frames, silence_windows


def mel_config() -> MelConfig:
    """The recipe's log-mel spectrogram."""
    return MelConfig(SAMPLE_RATE_HZ, MEL_FFT, MEL_HOP, MEL_BINS, MEL_FMIN_HZ, MEL_FMAX_HZ, MEL_FRAMES)


@dataclass
class TrainingSound:
    """Sound of one recording; frame numbers are those of the dataset."""

    device: torch.device
    log_mel: LogMel
    augmenter: AudioAugmenter
    clean_TND: Tensor
    gate_T: Tensor
    closed_frames: NDArray[np.int64]  # training frames measured as closed: the targets of synthetic silence

    @classmethod
    def load(cls, dataset: Dataset328, device: torch.device) -> TrainingSound:
        """Compute what does not change from step to step.

        Raises:
            ValueError: the training split has no usable frame.
        """
        log_mel = LogMel(mel_config()).to(device)
        pcm_S = torch.from_numpy(dataset.audio_S)
        clips, train = list(dataset.clips), list(dataset.splits["train"])
        augmenter = AudioAugmenter(log_mel, pcm_S, AudioAugmentation(), clips, train)
        frames = torch.arange(len(dataset.valid_T), device=device)
        with torch.no_grad():
            clean = torch.cat([augmenter.clean(part) for part in frames.split(256)])
        gate_T = np.zeros(len(frames), np.float32)
        found = gate(dataset.audio_S)[: len(frames)]
        gate_T[: len(found)] = found
        closed = closed_frames(dataset.opening_T, dataset.valid_T, gate_T, train)
        return cls(device, log_mel, augmenter, clean, torch.from_numpy(gate_T).to(device), closed)

    def encoder_config(self) -> AudioEncoderConfig:
        """Shape of the audio encoder for these features."""
        return AudioEncoderConfig(input_dim=self.clean_TND.shape[2], input_frames=self.clean_TND.shape[1])

    @torch.no_grad()
    def features(self, frames_BT: Tensor, augment: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Features of consecutive frames, (B, T, N, D).

        Args:
            frames_BT: frame numbers.
            augment: give every clip another voice, room and microphone.
            generator: of the randomness, on the CPU; required to augment.
        """
        frames = frames_BT.to(self.device)
        if not augment:
            return self.clean_TND[frames]
        assert generator is not None
        changed = self.augmenter.augmented(frames.flatten(), self._here(generator), group_size=frames.shape[1])
        return changed.unflatten(0, frames.shape)

    @torch.no_grad()
    def silence(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Features of synthetic silence, (count, length, N, D), each frame of a clip with its own piece."""
        pcm, _ = silence_windows(count * length, AUDIO_WINDOW_SAMPLES, self._here(generator))
        return self.log_mel(pcm).unflatten(0, (count, length))

    def _here(self, generator: torch.Generator) -> torch.Generator:
        """A generator on this device whose seed is drawn from `generator`."""
        seed = int(torch.randint(2**62, (), generator=generator))
        return torch.Generator(device=self.device).manual_seed(seed)
