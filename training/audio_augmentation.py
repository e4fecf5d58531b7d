"""One speaker's recording made to sound like many, on the device and without a loop over samples.

The avatar is trained on one voice and has to listen to others. Each training clip gets its own voice
(pitch, vocal tract, speed), room (reverb, noise), microphone (gain, tone, band) and gaps (SpecAugment).

The order: the signal around a frame is read with spacing r, which shifts pitch and formants by r; reverb
and noise are added; analysis frames are cut with spacing speed / r, so that pitch does not change the
tempo; in the mel domain follow tone, band and gain, the vocal tract warp and the masks. With everything
off the result is that of `LogMel(window_pcm(...))` to the last bit.

Axes: `B` batch, `G` groups of the batch (clips), `L` samples around a frame, `N` analysis frames, `K` samples of
an analysis frame, `D` mel bins, `S` samples of the recording.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.audio_encoder import LogMel, hz_of_mel, mel_of_hz, normalise_mel
from recipe.audio_window import window_start
from recipe.recipe_328 import SAMPLES_PER_FRAME
from training.sound_stock import noise_stock, room_stock

_HALF = 6144  # samples kept on each side of the centre: enough for the slowest voice
_MARGIN = 4096  # more on the left, whose reverb reaches into the window
_LENGTH = _MARGIN + 2 * _HALF  # a power of two, for the FFT
_ROOMS = 64
_NOISE_SAMPLES = 1 << 17  # 8 s, played as a loop
_STOCK_SEED = 328  # of the rooms and noises
_PARAMETERS = 32  # random numbers per group
_WINDOWS_AT_ONCE_CPU = 32  # they stay in a core's cache
_WINDOWS_AT_ONCE_GPU = 512  # about 1 GB
_SHIFT_LIMITS = (0.7, 1.45)  # pitch ratio times vocal tract ratio; beyond it vowels become other vowels


@dataclass(frozen=True)
class AudioAugmentation:
    """How often and how far. A probability of 0 switches the effect off."""

    pitch: float = 0.7
    pitch_semitones: float = 6.0
    speed: float = 0.5
    speed_range: tuple[float, float] = (0.9, 1.1)
    vocal_tract: float = 0.7
    vocal_tract_range: tuple[float, float] = (0.8, 1.25)
    tone: float = 0.7
    tone_db_per_octave: float = 4.0
    band: float = 0.15
    gain: float = 0.8
    gain_db: float = 12.0
    noise: float = 0.6
    noise_snr_db: tuple[float, float] = (0.0, 30.0)
    reverb: float = 0.4
    reverb_rt60_s: tuple[float, float] = (0.15, 0.6)
    reverb_tail_db: tuple[float, float] = (-10.0, 0.0)  # energy of the tail over the direct sound's
    masks: float = 0.5
    mask_frames: int = 6
    mask_bins: int = 10

    @classmethod
    def off(cls) -> AudioAugmentation:
        """Nothing is changed; effects can be switched on one by one with `dataclasses.replace`."""
        return cls(pitch=0, speed=0, vocal_tract=0, tone=0, band=0, gain=0, noise=0, reverb=0, masks=0)


class AudioAugmenter:
    """Features of a recording's frames as another voice, room and microphone would give them.

    Args:
        log_mel: on the device on which the features are wanted.
        pcm_S: the whole recording, 16 kHz mono in [-1, 1].
        config: what to do how often.
        clips: [start, stop) frame ranges; a window hears nothing of another clip than its own. Frames
            outside every clip hear silence.
        noise_ranges: [start, stop) frame ranges from which babble is made and the speech level is taken:
            the training split.
        seed: makes the stock of rooms and noises.
    """

    def __init__(
        self,
        log_mel: LogMel,
        pcm_S: Tensor,
        config: AudioAugmentation,
        clips: Sequence[Sequence[int]],
        noise_ranges: Sequence[Sequence[int]],
        seed: int = _STOCK_SEED,
    ) -> None:
        slowest = config.speed_range[1] * 2 ** (config.pitch_semitones / 12)
        reach = slowest * (log_mel.config.frames - 1) / 2 * log_mel.config.hop + log_mel.config.n_fft / 2
        if reach > _HALF:
            raise ValueError(
                f"speed {config.speed_range[1]} at {config.pitch_semitones} semitones needs {reach:.0f} samples on "
                f"each side of a frame, {_HALF} are kept; choose smaller changes"
            )
        self.log_mel = log_mel
        self.config = config
        self.device = log_mel.index.device
        self._pcm_S = pcm_S.to(self.device, torch.float32)
        frames = max([-(-len(pcm_S) // SAMPLES_PER_FRAME), *(stop for _, stop in clips)])
        self._low_T = torch.zeros(frames, dtype=torch.int64, device=self.device)
        self._high_T = torch.zeros(frames, dtype=torch.int64, device=self.device)
        for start, stop in clips:
            self._low_T[start:stop] = start * SAMPLES_PER_FRAME
            self._high_T[start:stop] = min(stop * SAMPLES_PER_FRAME, len(pcm_S))
        speech_S = torch.cat([pcm_S[a * SAMPLES_PER_FRAME : b * SAMPLES_PER_FRAME] for a, b in noise_ranges])
        generator = torch.Generator().manual_seed(seed)
        self._noise_RL = noise_stock(speech_S.float().cpu(), _NOISE_SAMPLES, generator).to(self.device)
        rooms_RL = room_stock(config.reverb_rt60_s, config.reverb_tail_db, _ROOMS, _MARGIN, generator).to(self.device)
        self._rooms_RF = torch.fft.rfft(rooms_RL, n=_LENGTH)
        mel = log_mel.config
        ends = mel_of_hz(torch.tensor([mel.fmin_hz, mel.fmax_hz]))
        self._centre_mel_D = torch.linspace(float(ends[0]), float(ends[1]), mel.bins + 2, device=self.device)[1:-1]

    def clean(self, frames_B: Tensor) -> Tensor:
        """What serving would compute for these frames, (B, N, D)."""
        frames_B, index_NK = frames_B.to(self.device), self.log_mel.index
        start_B = window_start(0, self.log_mel.config.window_samples) + frames_B * SAMPLES_PER_FRAME
        samples_BL = self._read(frames_B, start_B[:, None] + index_NK.flatten())
        return self.log_mel.frames_from(samples_BL.reshape(-1, *index_NK.shape))

    def augmented(self, frames_B: Tensor, generator: torch.Generator, group_size: int = 1) -> Tensor:
        """The same frames under a random voice, room and microphone.

        Args:
            frames_B: frame numbers of the recording.
            generator: the only source of randomness; on any device.
            group_size: so many neighbouring entries of the batch share all parameters: one clip, one voice.
        Returns:
            (B, N, D) float32.
        """
        if len(frames_B) % group_size:
            raise ValueError(f"a batch of {len(frames_B)} frames cannot be split into groups of {group_size}")
        frames_B = frames_B.to(self.device)
        shape = (_PARAMETERS, len(frames_B) // group_size)
        unit_PG = torch.rand(shape, generator=generator, device=generator.device).to(self.device)  # one transfer
        unit_PB = unit_PG.repeat_interleave(group_size, dim=1)
        size = _WINDOWS_AT_ONCE_CPU if self.device.type == "cpu" else _WINDOWS_AT_ONCE_GPU
        pieces = [slice(first, first + size) for first in range(0, len(frames_B), size)]
        return torch.cat([self._changed(frames_B[piece], _Draw(unit_PB[:, piece])) for piece in pieces])

    def _changed(self, frames_B: Tensor, draw: _Draw) -> Tensor:
        config = self.config
        pitch = 2 ** (draw.triangular(config.pitch_semitones / 12) * draw.chance(config.pitch))
        speed = torch.where(draw.chance(config.speed), draw.uniform(*config.speed_range), 1.0)
        pcm_BL = self._placed(frames_B, self._resampled(frames_B, pitch), draw)
        frames_BNK = self._analysis_frames(pcm_BL, speed / pitch)
        power_BND = self.log_mel.mel_power(frames_BNK) * self._microphone(draw)[:, None]
        features_BND = self._warp(normalise_mel(power_BND), pitch, draw)
        return self._mask(features_BND, draw) if config.masks else features_BND

    def _placed(self, frames_B: Tensor, pcm_BL: Tensor, draw: _Draw) -> Tensor:
        """In a room, with noise."""
        if self.config.reverb:
            pcm_BL = self._reverberate(pcm_BL, draw)
        if self.config.noise:
            pcm_BL = pcm_BL + self._noise(frames_B, draw)
        return pcm_BL

    def _analysis_frames(self, pcm_BL: Tensor, spacing_B: Tensor) -> Tensor:
        """Cut frames with `spacing` times the usual hop around the centre, (B, N, K)."""
        mel = self.log_mel.config
        offset_N = (torch.arange(mel.frames, device=self.device) - (mel.frames - 1) / 2) * mel.hop
        start_BN = (spacing_B[:, None] * offset_N).round().long() + (_MARGIN + _HALF - mel.n_fft // 2)
        index_BNK = start_BN[:, :, None] + torch.arange(mel.n_fft, device=self.device)
        return pcm_BL.gather(1, index_BNK.flatten(1)).reshape(-1, mel.frames, mel.n_fft)

    def _read(self, frames_B: Tensor, position_BL: Tensor) -> Tensor:
        """Samples of the recording at whole positions, zeros outside the frame's clip."""
        inside = (position_BL >= self._low_T[frames_B, None]) & (position_BL < self._high_T[frames_B, None])
        return self._pcm_S[position_BL.clamp(0, len(self._pcm_S) - 1)] * inside

    def _resampled(self, frames_B: Tensor, pitch_B: Tensor) -> Tensor:
        """The signal around each frame's centre, read with spacing `pitch`, cubic (Catmull-Rom), (B, L)."""
        offset_BL = pitch_B[:, None] * torch.arange(-_MARGIN - _HALF, _HALF, device=self.device)
        whole_BL = offset_BL.floor()
        t = offset_BL - whole_BL
        at_BL = whole_BL.long() + (frames_B * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2)[:, None]
        before, here, after, beyond = (self._read(frames_B, at_BL + step) for step in (-1, 0, 1, 2))
        slope = after - before
        bend = 2 * before - 5 * here + 4 * after - beyond
        twist = 3 * (here - after) + beyond - before
        return here + 0.5 * t * (slope + t * (bend + t * twist))

    def _reverberate(self, pcm_BL: Tensor, draw: _Draw) -> Tensor:
        """Convolve with a random room; the left margin absorbs the wrap-around of the FFT."""
        room_BF = self._rooms_RF[draw.integers(_ROOMS)]
        wet_BL = torch.fft.irfft(torch.fft.rfft(pcm_BL) * room_BF, n=_LENGTH)
        return torch.where(draw.chance(self.config.reverb)[:, None], wet_BL, pcm_BL)

    def _noise(self, frames_B: Tensor, draw: _Draw) -> Tensor:
        """Noise that runs on from frame to frame of a group, at a level below the recording's speech."""
        start_B = draw.integers(_NOISE_SAMPLES) + frames_B * SAMPLES_PER_FRAME
        index_BL = (start_B[:, None] + torch.arange(_LENGTH, device=self.device)) & (_NOISE_SAMPLES - 1)
        level_B = 10 ** (-draw.uniform(*self.config.noise_snr_db) / 20) * draw.chance(self.config.noise)
        row_B = draw.integers(len(self._noise_RL))
        return level_B[:, None] * self._noise_RL.flatten()[row_B[:, None] * _NOISE_SAMPLES + index_BL]

    def _microphone(self, draw: _Draw) -> Tensor:
        """Power gain of every mel bin: level, tone and, sometimes, a telephone's band."""
        config = self.config
        octave_D = torch.log2(hz_of_mel(self._centre_mel_D) / 1000)
        tilt_B = draw.uniform(-config.tone_db_per_octave, config.tone_db_per_octave)
        wave = torch.cos(draw.uniform(0, 2 * math.pi)[:, None] + draw.uniform(0.5, 2)[:, None] * octave_D)
        tone_BD = (tilt_B[:, None] * octave_D + 3 * wave) * draw.chance(config.tone)[:, None]
        low_BD = torch.log2(draw.uniform(150, 400) / 1000)[:, None] - octave_D
        high_BD = octave_D - torch.log2(draw.uniform(3.0, 5.0))[:, None]
        band_BD = -36 * torch.maximum(low_BD, high_BD).clamp_min(0) * draw.chance(config.band)[:, None]
        gain_B = draw.uniform(-config.gain_db, config.gain_db) * draw.chance(config.gain)
        return 10 ** ((tone_BD + band_BD + gain_B[:, None]) / 10)

    def _warp(self, features_BND: Tensor, pitch_B: Tensor, draw: _Draw) -> Tensor:
        """Another length of vocal tract: read the mel axis at frequencies divided by the ratio."""
        low, high = (math.log(ratio) for ratio in self.config.vocal_tract_range)
        limits = [ratio / pitch_B for ratio in _SHIFT_LIMITS]
        ratio_B = torch.exp(draw.uniform(low, high)).clamp(limits[0], limits[1])
        warped_B = draw.chance(self.config.vocal_tract)
        if not self.config.vocal_tract:
            return features_BND
        step = self._centre_mel_D[1] - self._centre_mel_D[0]
        source_BD = (mel_of_hz(hz_of_mel(self._centre_mel_D) / ratio_B[:, None]) - self._centre_mel_D[0]) / step
        source_BD = source_BD.clamp(0, len(self._centre_mel_D) - 1)
        below_BD = source_BD.floor().clamp_max(len(self._centre_mel_D) - 2)
        share = (source_BD - below_BD)[:, None]
        index_BND = below_BD.long()[:, None].expand_as(features_BND)
        read = features_BND.gather(2, index_BND) * (1 - share) + features_BND.gather(2, index_BND + 1) * share
        return torch.where(warped_B[:, None, None], read, features_BND)

    def _mask(self, features_BND: Tensor, draw: _Draw) -> Tensor:
        """SpecAugment: one stretch of time and one band are replaced by the window's mean."""
        config = self.config
        hidden = torch.zeros_like(features_BND, dtype=torch.bool)
        for axis, widest in ((1, config.mask_frames), (2, config.mask_bins)):
            length = features_BND.shape[axis]
            width = draw.uniform(0, widest + 1).floor()
            start = (draw.uniform(0, 1) * (length - width + 1)).floor()
            at = torch.arange(length, device=self.device)
            run = (at >= start[:, None]) & (at < (start + width)[:, None]) & draw.chance(config.masks)[:, None]
            hidden |= run.unsqueeze(3 - axis)
        return torch.where(hidden, features_BND.mean(dim=(1, 2), keepdim=True), features_BND)


class _Draw:
    """Hands out random parameters, (B,), in the order in which they are asked for."""

    def __init__(self, unit_PB: Tensor) -> None:
        self._unit_PB = unit_PB
        self._used = 0

    def uniform(self, low: float, high: float) -> Tensor:
        self._used += 1
        return low + (high - low) * self._unit_PB[self._used - 1]

    def triangular(self, reach: float) -> Tensor:
        """In [-reach, reach], small values more often."""
        return self.uniform(-reach / 2, reach / 2) + self.uniform(-reach / 2, reach / 2)

    def chance(self, probability: float) -> Tensor:
        return self.uniform(0, 1) < probability

    def integers(self, count: int) -> Tensor:
        return self.uniform(0, count).long().clamp_max(count - 1)
