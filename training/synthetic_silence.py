"""Sound without speech that no recording has enough of, and the frames it is answered with.

A mouth that was only ever trained on one quiet room moves as soon as another room hums, and sings along with music,
which the voice gate lets through. So some windows of every batch are made here, and their targets are frames of the
recording measured as closed.

Axes: `B` batch, `S` samples, `T` video frames.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ

KINDS = ("digital zero", "room tone", "breath", "hum", "clicks", "tones")

_ROOM_DBFS = (-85.0, -48.0)
_BREATH_DBFS = (-55.0, -14.0)  # up to that of speech: right before a microphone
_HUM_DBFS = (-70.0, -36.0)
_CLICK_PEAK_DBFS = (-40.0, -12.0)
_CLICKS = 3
_TONES_DBFS = (-45.0, -10.0)
_TONES = 4
_TONE_HZ = (80.0, 700.0)

_LEAST_CLOSED_FRAMES = 8
_CLOSED_SHARE = 0.12  # of the way from the most closed to the most open mouth
_LONG_SILENCE_FRAMES = FPS // 2


def coloured_noise(exponent_B: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Noise whose power falls with frequency to the given power, RMS 1.

    Args:
        exponent_B: 0 white, 1 pink, 2 brown.
    Returns:
        (B, samples) float32 on the exponents' device.
    """
    device = exponent_B.device
    white = torch.randn(len(exponent_B), samples, generator=generator, device=device)
    hz = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ, device=device).clamp_min(40.0)
    shaped: Tensor = torch.fft.irfft(torch.fft.rfft(white) * hz ** (-0.5 * exponent_B[:, None]), n=samples)
    return shaped / shaped.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)


def mains_hum(fundamental_hz_B: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """A mains frequency and nine harmonics with random levels and phases, RMS 1, (B, samples)."""
    count, device = len(fundamental_hz_B), fundamental_hz_B.device
    order = torch.arange(1, 11, device=device)
    level = torch.rand(count, 10, generator=generator, device=device) / order
    start = torch.rand(count, 10, generator=generator, device=device) * 2 * math.pi
    time_s = torch.arange(samples, device=device) / SAMPLE_RATE_HZ
    cycle = 2 * math.pi * fundamental_hz_B[:, None] * time_s
    wave = torch.zeros(count, samples, device=device)
    for k in range(10):
        wave += level[:, k, None] * torch.sin((k + 1) * cycle + start[:, k, None])
    return wave / wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)


def music(count: int, samples: int, generator: torch.Generator) -> Tensor:
    """One to four tones, hummed to brassy, held or struck again and again, with or without a drum; RMS 1, (count, S).

    No formants move in it and nothing is said: what a voice says lies in how its spectrum changes.
    """
    device = generator.device
    time_s = torch.arange(samples, device=device) / SAMPLE_RATE_HZ
    voices = torch.randint(1, _TONES + 1, (count,), generator=generator, device=device)
    sharpness = torch.exp(_uniform(count, math.log(0.3), math.log(8.0), generator))[:, None]  # sine to square wave
    beat_s = _uniform(count, 0.2, 1.0, generator)[:, None]
    since_s = (time_s + beat_s * _uniform(count, 0, 1, generator)[:, None]) % beat_s
    held = _uniform(count, 0, 1, generator)[:, None] < 0.5
    fading = torch.where(held, 1.0, torch.exp(-_uniform(count, 1, 8, generator)[:, None] * since_s))
    wave = torch.zeros(count, samples, device=device)
    for k in range(_TONES):
        hz = torch.exp(_uniform(count, math.log(_TONE_HZ[0]), math.log(_TONE_HZ[1]), generator))[:, None]
        vibrato_s = 0.01 / (2 * math.pi * 5) * _uniform(count, 0, 1, generator)[:, None]  # 5 Hz, up to 1 %
        cycle = 2 * math.pi * hz * (time_s + vibrato_s * torch.sin(2 * math.pi * 5 * time_s))
        bent = sharpness * (torch.sin(cycle) + 0.3 * torch.sin(2 * cycle))  # even harmonics as well
        wave += torch.where(voices[:, None] > k, torch.tanh(bent), 0.0)
    drum = torch.exp(-40 * since_s) * torch.randn(count, samples, generator=generator, device=device)
    drummed = _uniform(count, 0, 1, generator)[:, None] < 0.3
    wave = fading * wave / wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)
    wave = wave + torch.where(drummed, drum, 0.0)
    return wave / wave.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)


def silence_windows(count: int, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Windows in which nobody speaks, every kind equally often.

    Every kind but digital zero lies on a room tone of random level and colour.

    Args:
        count: number of windows.
        samples: length of a window.
        generator: decides everything; its device is where the result lies.
    Returns:
        (count, samples) float32 in [-1, 1], and (count,) int64 indices into KINDS.
    """
    device = generator.device
    kind_B = torch.randint(len(KINDS), (count,), generator=generator, device=device)
    room = _level(count, _ROOM_DBFS, generator) * coloured_noise(_uniform(count, 0, 2, generator), samples, generator)
    breath = _level(count, _BREATH_DBFS, generator) * _breath(count, samples, generator)
    mains_hz = torch.where(_uniform(count, 0, 1, generator) < 0.5, 50.0, 60.0)
    hum = _level(count, _HUM_DBFS, generator) * mains_hum(mains_hz, samples, generator)
    tones = _level(count, _TONES_DBFS, generator) * music(count, samples, generator)
    added = torch.stack([torch.zeros_like(room), breath, hum, _clicks(count, samples, generator), tones], dim=1)
    chosen = added[torch.arange(count, device=device), (kind_B - 1).clamp_min(0)]
    return torch.where(kind_B[:, None] == 0, 0.0, room + chosen).clamp(-1, 1), kind_B


def closed_frames(
    opening_T: NDArray[np.float32],
    valid_T: NDArray[np.bool_],
    gate_T: NDArray[np.float32],
    ranges: Sequence[Sequence[int]],
) -> NDArray[np.int64]:
    """Frames measured as closed: the targets of synthetic silence.

    Closed is what lies within 12 % of the way from the most closed to the most open mouth (2nd and 95th
    percentile). Frames in long silence are taken if there are enough, because a closed mouth between two
    words is still on its way.

    Args:
        opening_T: mouth opening, any unit.
        valid_T: frames with a good face.
        gate_T: voice gate, 0 in silence.
        ranges: [start, stop) of the frames that may be used, that is the training split.
    Returns:
        Frame numbers in rising order, never empty.
    Raises:
        ValueError: the ranges hold no valid frame.
    """
    usable_T = np.zeros(len(opening_T), bool)
    for start, stop in ranges:
        usable_T[start:stop] = True
    usable_T &= valid_T
    if not usable_T.any():
        raise ValueError(
            f"none of the {len(opening_T)} frames is both valid and inside the training ranges {list(ranges)}; "
            "look into the dataset's report.html for why frames were left out"
        )
    closed, opened = np.percentile(opening_T[usable_T], [2, 95])
    is_closed_T = usable_T & (opening_T <= closed + _CLOSED_SHARE * (opened - closed))
    resting = np.flatnonzero(is_closed_T & _in_long_silence(gate_T))
    if len(resting) >= _LEAST_CLOSED_FRAMES:
        return resting
    any_closed = np.flatnonzero(is_closed_T)
    if len(any_closed) >= _LEAST_CLOSED_FRAMES:
        return any_closed
    usable = np.flatnonzero(usable_T)
    return np.sort(usable[np.argsort(opening_T[usable], kind="stable")[:_LEAST_CLOSED_FRAMES]])


def _in_long_silence(gate_T: NDArray[np.float32]) -> NDArray[np.bool_]:
    padded = np.concatenate([[False], gate_T <= 0, [False]])
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    long_T = np.zeros(len(gate_T), bool)
    for start, stop in edges.reshape(-1, 2):
        long_T[start:stop] = stop - start >= _LONG_SILENCE_FRAMES
    return long_T


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, device=generator.device)


def _level(count: int, dbfs: tuple[float, float], generator: torch.Generator) -> Tensor:
    return 10 ** (_uniform(count, *dbfs, generator)[:, None] / 20)


def _breath(count: int, samples: int, generator: torch.Generator) -> Tensor:
    """Noise between about 400 Hz and 4 kHz that swells and fades in 0.2 to 0.6 s, peak RMS 1."""
    device = generator.device
    white = torch.randn(count, samples, generator=generator, device=device)
    hz = torch.fft.rfftfreq(samples, 1 / SAMPLE_RATE_HZ, device=device)
    middle_hz = _uniform(count, 700, 2200, generator)[:, None]
    octaves = torch.log2(hz.clamp_min(20.0) / middle_hz)
    noise: Tensor = torch.fft.irfft(torch.fft.rfft(white) * torch.exp(-0.5 * octaves.square()), n=samples)
    noise = noise / noise.square().mean(dim=1, keepdim=True).sqrt().clamp_min(1e-9)
    half_s = _uniform(count, 0.1, 0.3, generator)[:, None]
    centre_s = _uniform(count, 0.0, samples / SAMPLE_RATE_HZ, generator)[:, None]
    time_s = torch.arange(samples, device=device) / SAMPLE_RATE_HZ
    swell = torch.cos((0.5 * math.pi * (time_s - centre_s) / half_s).clamp(-0.5 * math.pi, 0.5 * math.pi)).square()
    return noise * swell


def _clicks(count: int, samples: int, generator: torch.Generator) -> Tensor:
    """Three clicks of 0.2 to 2 ms per window: a key, a lip, a bad cable."""
    shape, device = (count, _CLICKS), generator.device
    at = torch.rand(shape, generator=generator, device=device) * samples
    decay = 3 + 30 * torch.rand(shape, generator=generator, device=device)
    hz = 500 + 4000 * torch.rand(shape, generator=generator, device=device)
    peak = _level(count, _CLICK_PEAK_DBFS, generator)
    time = torch.arange(samples, device=device)
    wave = torch.zeros(count, samples, device=device)
    for k in range(_CLICKS):
        since = (time - at[:, k, None]).clamp_min(0)
        fading = torch.exp(-since / decay[:, k, None])
        ringing = fading * torch.cos(2 * math.pi * hz[:, k, None] * since / SAMPLE_RATE_HZ)
        wave += torch.where(time >= at[:, k, None], ringing, 0.0)
    return peak * wave
