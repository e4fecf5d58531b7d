"""From sound to the embedding that moves the mouth: log-mel spectrogram, temporal encoder, silence token.

Axes: `B` batch, `S` audio samples (16 kHz), `N` analysis frames of a window, `K` samples of an analysis
frame, `D` features of an analysis frame, `E` embedding.

Order matters to a mouth: 'ba' and 'ab' hold the same sounds. So time is only ever shortened by strided
convolutions, and the last step is a linear layer with its own weights for every remaining time step; time
and channel are never exchanged by a reshape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

_POWER_FLOOR = 1e-10
_LOG_CENTRE = -4.0  # log10 power between a quiet room (about -6) and loud speech (about +1)
_LOG_SCALE = 4.0


@dataclass(frozen=True)
class MelConfig:
    """What the log-mel spectrogram measures; the caller takes the values from the recipe."""

    sample_rate_hz: int
    n_fft: int
    hop: int
    bins: int
    fmin_hz: float
    fmax_hz: float
    frames: int

    @property
    def window_samples(self) -> int:
        """Length of the audio window that gives `frames` analysis frames without padding."""
        return self.n_fft + (self.frames - 1) * self.hop


def mel_of_hz(hz: Tensor) -> Tensor:
    """Slaney's mel scale: linear below 1 kHz, 27 steps per factor 6.4 above."""
    return torch.where(hz < 1000, hz * 3 / 200, 15 + torch.log(hz.clamp_min(1000) / 1000) * (27 / math.log(6.4)))


def hz_of_mel(mel: Tensor) -> Tensor:
    """The inverse of `mel_of_hz`."""
    return torch.where(mel < 15, mel * 200 / 3, 1000 * torch.exp((mel - 15) * (math.log(6.4) / 27)))


def mel_filters(config: MelConfig) -> NDArray[np.float64]:
    """Triangular filters of equal area, (n_fft // 2 + 1, bins).

    Source: M. Slaney, Auditory Toolbox, Interval Research technical report 1998-010: linear below 1 kHz,
    27 steps per factor 6.4 above. The same numbers as `librosa.filters.mel`.
    """
    low, high = mel_of_hz(torch.tensor([config.fmin_hz, config.fmax_hz], dtype=torch.float64)).tolist()
    corner_hz = hz_of_mel(torch.linspace(low, high, config.bins + 2, dtype=torch.float64)).numpy()
    bin_hz = np.linspace(0, config.sample_rate_hz / 2, config.n_fft // 2 + 1)[:, None]
    low, centre, high = corner_hz[:-2], corner_hz[1:-1], corner_hz[2:]
    rising, falling = (bin_hz - low) / (centre - low), (high - bin_hz) / (high - centre)
    triangles: NDArray[np.float64] = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (high - low)
    return triangles


class LogMel(nn.Module):
    """PCM -> normalised log-mel spectrogram, (B, S) in [-1, 1] -> (B, N, D).

    The numbers are log10(max(m, 1e-10)) with m of `librosa.feature.melspectrogram(center=False)` (periodic
    Hann window of n_fft samples, power 2, Slaney filters), then (value + 4) / 4: digital silence is -1.5, a
    quiet room about -0.5, loud speech up to about +1.3. Fixed numbers, not the utterance's own level, so
    that a streamed utterance and a whole one look the same.

    The Fourier transform is a matrix product over the sums and differences of samples that mirror each
    other in the frame, which halves its cost and keeps complex numbers out of the exported graph.
    """

    index: Tensor
    cosines: Tensor
    sines: Tensor
    filters: Tensor

    def __init__(self, config: MelConfig) -> None:
        super().__init__()
        self.config = config
        half = config.n_fft // 2
        filters = mel_filters(config)
        used = np.flatnonzero(filters.any(axis=1))  # spectrum bins outside fmin..fmax need not be computed
        k = np.arange(1, half + 1)[:, None]  # sample 0 has window weight 0
        window = 0.5 - 0.5 * np.cos(2 * np.pi * k / config.n_fft)
        mirrored = np.where(k == half, 0.5, 1.0)  # the middle sample is its own mirror image
        phase = 2 * np.pi * ((k * used[None]) % config.n_fft) / config.n_fft
        index = np.arange(config.frames)[:, None] * config.hop + np.arange(config.n_fft)[None]
        self.register_buffer("index", torch.from_numpy(index), persistent=False)
        self.register_buffer("cosines", _float32(window * mirrored * np.cos(phase)), persistent=False)
        self.register_buffer("sines", _float32(window * np.sin(phase)), persistent=False)
        self.register_buffer("filters", _float32(filters[used]), persistent=False)

    def forward(self, pcm_BS: Tensor) -> Tensor:
        if pcm_BS.shape[-1] != self.config.window_samples:
            raise ValueError(
                f"the audio window has {pcm_BS.shape[-1]} samples, expected {self.config.window_samples}; "
                "cut it with recipe.sound.window_pcm"
            )
        return self.frames_from(pcm_BS[:, self.index])

    def frames_from(self, frames_BNK: Tensor) -> Tensor:
        """The same numbers from analysis frames that the caller has gathered.

        Args:
            frames_BNK: (B, N, n_fft) float32, any N.
        Returns:
            (B, N, D) float32.
        """
        return normalise_mel(self.mel_power(frames_BNK))

    def mel_power(self, frames_BNK: Tensor) -> Tensor:
        """Power in each mel band before the logarithm, (B, N, n_fft) -> (B, N, D); always in float32."""
        kind = frames_BNK.device.type
        if torch.is_autocast_enabled(kind):  # 8 bits of mantissa are not enough for a power spectrum
            with torch.autocast(kind, enabled=False):
                return self.mel_power(frames_BNK.float())
        half = self.config.n_fft // 2
        front = frames_BNK[..., 1 : half + 1]
        back = frames_BNK[..., half:].flip(-1)
        real, imaginary = (front + back) @ self.cosines, (front - back) @ self.sines
        return (real.square() + imaginary.square()) @ self.filters


def normalise_mel(power: Tensor) -> Tensor:
    """Mel power -> what the encoder sees; the constants are explained at `LogMel`."""
    return (torch.log10(power.clamp_min(_POWER_FLOOR)) - _LOG_CENTRE) / _LOG_SCALE


def _float32(array: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


@dataclass(frozen=True)
class AudioEncoderConfig:
    """Shape of the temporal encoder; stored in the checkpoint."""

    input_dim: int = 80
    input_frames: int = 48
    stem_kernel: int = 5  # 1 for features of a pretrained model: wide already, and they know their context
    stem_width: int = 128
    width: int = 192
    stages: int = 2  # each halves the time steps, then refines
    blocks: int = 1  # residual blocks per stage
    pool_width: int = 64
    embedding_dim: int = 256
    dropout: float = 0.1

    @property
    def steps(self) -> int:
        """Time steps that are left for the pooling layer."""
        steps = self.input_frames
        for _ in range(self.stages):
            steps = (steps + 1) // 2
        return steps


class _ResidualBlock(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.GroupNorm(8, width), nn.Conv1d(width, width, 3, padding=1)
        self.norm2, self.conv2 = nn.GroupNorm(8, width), nn.Conv1d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)  # starts as the identity

    def forward(self, x_BCN: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x_BCN)))
        refined: Tensor = x_BCN + self.conv2(F.silu(self.norm2(y)))
        return refined


class AudioEncoder(nn.Module):
    """Features of one audio window -> embedding of the frame at its centre, (B, N, D) -> (B, E)."""

    def __init__(self, config: AudioEncoderConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = [
            nn.Conv1d(config.input_dim, config.stem_width, config.stem_kernel, padding=config.stem_kernel // 2)
        ]
        width = config.stem_width
        for _ in range(config.stages):
            layers += [nn.SiLU(), nn.Conv1d(width, config.width, 3, stride=2, padding=1)]
            layers += [_ResidualBlock(config.width) for _ in range(config.blocks)]
            width = config.width
        layers += [nn.GroupNorm(8, width), nn.SiLU(), nn.Conv1d(width, config.pool_width, 1)]
        self.trunk = nn.Sequential(*layers)
        self.dropout = nn.Dropout(config.dropout)
        self.pool = nn.Linear(config.pool_width * config.steps, config.embedding_dim)
        self.norm = nn.LayerNorm(config.embedding_dim)
        self.silence = nn.Parameter(torch.randn(config.embedding_dim))  # the scale of `norm`'s output

    def forward(self, features_BND: Tensor, gate_B: Tensor | None = None) -> Tensor:
        """Encode, then mix with the learned silence token.

        Args:
            features_BND: what LogMel or a pretrained front end gave.
            gate_B: 1 where there is speech, 0 where the mouth has to rest, between them on a ramp.
        Returns:
            (B, E); gate 0 gives exactly the silence token, whatever the features are.
        """
        hidden_BCN = self.trunk(features_BND.transpose(1, 2))
        embedding_BE: Tensor = self.norm(self.pool(self.dropout(hidden_BCN.flatten(1))))
        if gate_B is None:
            return embedding_BE
        gate_B1 = gate_B[:, None].to(embedding_BE.dtype)
        return gate_B1 * embedding_BE + (1 - gate_B1) * self.silence


class AudioFrontEnd(nn.Module):
    """The whole way from PCM to embedding: the graph that is exported as audio_encoder.onnx.

    Args:
        features: LogMel, or a front end of models.audio_features_hf: (B, S) -> (B, N, D).
        encoder: the trained encoder for those features.
    """

    def __init__(self, features: nn.Module, encoder: AudioEncoder) -> None:
        super().__init__()
        self.features = features
        self.encoder = encoder

    def forward(self, pcm_BS: Tensor, gate_B: Tensor) -> Tensor:
        embedding_BE: Tensor = self.encoder(self.features(pcm_BS), gate_B)
        return embedding_BE
