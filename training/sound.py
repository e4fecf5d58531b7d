"""The sound of a dataset on the training device: clean and augmented features, the gate, synthetic silence.

Axes: B clips, T consecutive frames, N analysis frames of a window, D features, S samples.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import AudioEncoderConfig, LogMel, MelConfig
from models.audio_features_hf import PretrainedFeatureConfig, PretrainedFeatures, load_pretrained
from recipe.recipe_328 import (
    AUDIO_WINDOW_SAMPLES,
    MEL_BINS,
    MEL_FFT,
    MEL_FMAX_HZ,
    MEL_FMIN_HZ,
    MEL_FRAMES,
    MEL_HOP,
    SAMPLE_RATE_HZ,
    window_samples,
)
from recipe.voice_gate import gate
from training.audio_augmentation import AudioAugmentation, AudioAugmenter
from training.feature_cache import cached_features
from training.synthetic_silence import closed_frames, silence_windows

_SILENCE_STOCK, _SILENCE_SEED = 256, 328


def mel_config() -> MelConfig:
    """The recipe's log-mel spectrogram."""
    return MelConfig(SAMPLE_RATE_HZ, MEL_FFT, MEL_HOP, MEL_BINS, MEL_FMIN_HZ, MEL_FMAX_HZ, MEL_FRAMES)


class TrainingSound(Protocol):
    """Sound of one recording; frame numbers are those of the dataset."""

    gate_T: Tensor
    closed_frames: NDArray[np.int64]  # training frames measured as closed: the targets of synthetic silence

    def front_end(self) -> nn.Module:
        """PCM windows -> features: the part of the exported audio graph before the encoder."""

    def encoder_config(self) -> AudioEncoderConfig:
        """Shape of the audio encoder for these features."""

    def features(self, frames_BT: Tensor, augment: bool = False, generator: torch.Generator | None = None) -> Tensor:
        """Features of consecutive frames, (B, T, N, D).

        Args:
            frames_BT: frame numbers.
            augment: change them as another voice, room and microphone would.
            generator: of the randomness, on the CPU; required to augment.
        """

    def silence(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Features of synthetic silence, (count, length, N, D), each frame of a clip with its own piece."""


def load_sound(dataset: Dataset328, device: torch.device) -> TrainingSound:
    """The sound of a dataset in the features that were chosen at its preparation.

    Raises:
        ValueError: the training split has no usable frame, or the pretrained model is missing.
    """
    kind = str(dataset.manifest["recipe"]["audio_features"])
    return MelSound(dataset, device) if kind == "mel" else PretrainedSound(dataset, kind, device)


class MelSound:
    """Log-mel windows; the augmentation works on the signal itself."""

    def __init__(self, dataset: Dataset328, device: torch.device) -> None:
        self.device = device
        self.log_mel = LogMel(mel_config()).to(device)
        pcm_S = torch.from_numpy(dataset.audio_S)
        self.augmenter = AudioAugmenter(
            self.log_mel, pcm_S, AudioAugmentation(), list(dataset.clips), list(dataset.splits["train"])
        )
        frames = torch.arange(len(dataset.valid_T), device=device)
        with torch.no_grad():
            self.clean_TND = torch.cat([self.augmenter.clean(part) for part in frames.split(256)])
        self.gate_T, self.closed_frames = _gate_and_closed(dataset, device)

    def front_end(self) -> nn.Module:
        return LogMel(mel_config())

    def encoder_config(self) -> AudioEncoderConfig:
        return AudioEncoderConfig(input_dim=self.clean_TND.shape[2], input_frames=self.clean_TND.shape[1])

    @torch.no_grad()
    def features(self, frames_BT: Tensor, augment: bool = False, generator: torch.Generator | None = None) -> Tensor:
        frames = frames_BT.to(self.device)
        if not augment:
            return self.clean_TND[frames]
        assert generator is not None
        here = generator_on(self.device, generator)
        return self.augmenter.augmented(frames.flatten(), here, frames.shape[1]).unflatten(0, frames.shape)

    @torch.no_grad()
    def silence(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        here = generator_on(self.device, generator)
        pcm, _ = silence_windows(count * length, AUDIO_WINDOW_SAMPLES, here)
        found: Tensor = self.log_mel(pcm)
        return found.unflatten(0, (count, length))


class PretrainedSound:
    """Features of a pretrained speech model, computed once; it knows other voices already, so only time is masked."""

    def __init__(self, dataset: Dataset328, kind: str, device: torch.device) -> None:
        self.device = device
        self.model = load_front_end(kind, str(dataset.manifest["audio_model"])).to(device)
        identity = str(dataset.manifest["recipe"]["audio_model"])
        self.cached_TND = cached_features(
            dataset.folder, dataset.audio_S, dataset.clips, len(dataset.valid_T), self.model, identity
        )
        pcm, _ = silence_windows(
            _SILENCE_STOCK, self.model.window_samples, torch.Generator().manual_seed(_SILENCE_SEED)
        )
        with torch.no_grad():
            self.silence_MND = torch.cat([self.model(part.to(device)) for part in pcm.split(16)])
        self.gate_T, self.closed_frames = _gate_and_closed(dataset, device)

    def front_end(self) -> nn.Module:
        return self.model

    def encoder_config(self) -> AudioEncoderConfig:
        _, tokens, dim = self.cached_TND.shape
        return AudioEncoderConfig(input_dim=dim, input_frames=tokens, stem_kernel=1)

    @torch.no_grad()
    def features(self, frames_BT: Tensor, augment: bool = False, generator: torch.Generator | None = None) -> Tensor:
        found = torch.from_numpy(self.cached_TND[frames_BT.numpy()]).to(self.device).float()
        if not augment:
            return found
        assert generator is not None
        tokens = found.shape[2]
        first = torch.randint(tokens, (len(found), 1), generator=generator)
        at = torch.arange(tokens)[None]
        masked = (at >= first) & (at < first + tokens // 8)
        return torch.where(masked[:, None, :, None].to(self.device), found.mean(dim=2, keepdim=True), found)

    def silence(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        picks = torch.randint(len(self.silence_MND), (count, length), generator=generator)
        return self.silence_MND[picks.to(self.device)]


def load_front_end(kind: str, source: str) -> PretrainedFeatures:
    """A pretrained front end with the recipe's times.

    Raises:
        ValueError: it is not there, or of another kind.
    """
    config = PretrainedFeatureConfig(
        kind, SAMPLE_RATE_HZ, AUDIO_WINDOW_SAMPLES // 2, window_samples=window_samples(kind)
    )
    return load_pretrained(source, config)[0].eval()


def _gate_and_closed(dataset: Dataset328, device: torch.device) -> tuple[Tensor, NDArray[np.int64]]:
    gate_T = np.zeros(len(dataset.valid_T), np.float32)
    found = gate(dataset.audio_S)[: len(gate_T)]
    gate_T[: len(found)] = found
    closed = closed_frames(dataset.opening_T, dataset.valid_T, gate_T, dataset.splits["train"])
    return torch.from_numpy(gate_T).to(device), closed


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator on the device whose seed is drawn from `generator`."""
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device=device).manual_seed(seed)
