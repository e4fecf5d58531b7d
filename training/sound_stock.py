"""A stock of noises and rooms, made once per run, from which augmentation draws.

Axes: `R` rows of the stock, `L` samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recipe.recipe_328 import SAMPLE_RATE_HZ
from training.synthetic_silence import coloured_noise, mains_hum

NOISE_KINDS = ("white", "pink", "brown", "hum", "babble")
_ROWS_PER_KIND = 5
_BABBLE_VOICES = 5


def noise_stock(speech_S: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Noises as loud as the recording's speech.

    Args:
        speech_S: the recording, on the CPU; babble is made of it.
        samples: length of each noise; it is played as a loop.
        generator: on the CPU.
    Returns:
        (R, samples) float32, five rows for each of NOISE_KINDS in their order.
    """
    rows = [coloured_noise(torch.full((_ROWS_PER_KIND,), k), samples, generator) for k in (0.0, 1.0, 2.0)]
    mains_hz = torch.tensor([50.0, 60.0]).repeat(_ROWS_PER_KIND)[:_ROWS_PER_KIND]
    rows.append(mains_hum(mains_hz, samples, generator))
    rows.append(torch.stack([_babble(speech_S, samples, generator) for _ in range(_ROWS_PER_KIND)]))
    return torch.cat(rows) * speech_level(speech_S)


def speech_level(speech_S: Tensor) -> Tensor:
    """RMS of the louder half of a recording's 40 ms pieces: how loud the speech in it is."""
    pieces = speech_S[: len(speech_S) // 640 * 640].reshape(-1, 640).square().mean(dim=1)
    if len(pieces) == 0:
        return speech_S.new_tensor(0.0)
    return pieces.sort(descending=True).values[: (len(pieces) + 1) // 2].mean().sqrt()


def room_stock(
    rt60_s: tuple[float, float], tail_db: tuple[float, float], rooms: int, samples: int, generator: torch.Generator
) -> Tensor:
    """Impulse responses: the direct sound, then noise that falls by 60 dB within the reverberation time.

    The tail starts 2 to 12 ms after the direct sound.

    Args:
        rt60_s: least and longest reverberation time.
        tail_db: least and most energy of the tail, over the direct sound's.
        rooms: how many.
        samples: length of each.
        generator: on the CPU.
    Returns:
        (rooms, samples) float32 with 1 at sample 0.
    """
    time_s = torch.arange(samples) / SAMPLE_RATE_HZ
    low, high = rt60_s
    rt60 = low + (high - low) * torch.rand(rooms, 1, generator=generator)
    first_s = 0.002 + 0.01 * torch.rand(rooms, 1, generator=generator)
    tail = torch.randn(rooms, samples, generator=generator) * 10 ** (-3 * time_s / rt60) * (time_s >= first_s)
    least_db, most_db = tail_db
    energy = 10 ** ((most_db - (most_db - least_db) * torch.rand(rooms, 1, generator=generator)) / 10)
    room = tail * (energy / tail.square().sum(dim=1, keepdim=True)).sqrt()
    room[:, 0] = 1.0
    return room


def _babble(speech_S: Tensor, samples: int, generator: torch.Generator) -> Tensor:
    """Several stretches of the recording at once, forwards and backwards, RMS 1."""
    mixed = torch.zeros(samples)
    for voice in range(_BABBLE_VOICES):
        start = int(torch.randint(max(len(speech_S), 1), (1,), generator=generator))
        stretch = speech_S.roll(-start).repeat(samples // max(len(speech_S), 1) + 1)[:samples]
        mixed += stretch.flip(0) if voice % 2 else stretch
    return mixed / mixed.square().mean().sqrt().clamp_min(1e-9)
