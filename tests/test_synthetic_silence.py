"""Synthetic silence has the levels and spectra it claims, and closed frames are closed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recipe.voice_gate import gate
from training.synthetic_silence import KINDS, closed_frames, coloured_noise, mains_hum, music, silence_windows

WINDOW = 8032


@pytest.fixture(scope="module")
def silence() -> tuple[torch.Tensor, torch.Tensor]:
    return silence_windows(200, WINDOW, torch.Generator().manual_seed(1))


def rms_db(pcm_BS: torch.Tensor) -> torch.Tensor:
    return 20 * torch.log10(pcm_BS.square().mean(dim=1).sqrt() + 1e-12)


def test_every_kind_appears_equally_often(silence: tuple[torch.Tensor, torch.Tensor]) -> None:
    counts = torch.bincount(silence[1], minlength=len(KINDS))
    assert len(counts) == len(KINDS)
    assert counts.min() > 20 and counts.max() < 50


def test_levels(silence: tuple[torch.Tensor, torch.Tensor]) -> None:
    pcm_BS, kind_B = silence
    level = {name: rms_db(pcm_BS[kind_B == number]) for number, name in enumerate(KINDS)}
    assert pcm_BS[kind_B == KINDS.index("digital zero")].abs().max() == 0
    assert level["room tone"].min() > -85.5 and level["room tone"].max() < -47.5
    assert level["room tone"].std() > 8
    assert level["breath"].max() < -13 and level["breath"].median() > level["room tone"].median() + 10
    assert level["hum"].min() > -70.5 and level["hum"].max() < -35
    clicks = pcm_BS[kind_B == KINDS.index("clicks")]
    assert level["tones"].median() > -35 and level["tones"].max() > -15  # as loud as speech
    crest = clicks.abs().amax(dim=1) / clicks.square().mean(dim=1).sqrt()
    assert crest.median() > 10  # a click is short: noise has a crest factor of about 4
    assert pcm_BS.abs().max() <= 1


def test_silence_depends_on_the_generator_alone() -> None:
    first, second, other = (silence_windows(8, WINDOW, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_colour_of_noise(exponent: float) -> None:
    noise = coloured_noise(torch.full((16,), exponent), 1 << 14, torch.Generator().manual_seed(0))
    torch.testing.assert_close(noise.square().mean(dim=1), torch.ones(16), atol=1e-4, rtol=0)
    power = torch.fft.rfft(noise).abs().square().mean(dim=0)
    hz = torch.fft.rfftfreq(1 << 14, 1 / 16_000)
    low, high = (power[(hz > f / 1.2) & (hz < f * 1.2)].mean() for f in (200, 3200))
    assert torch.log2(low / high).item() / 4 == pytest.approx(exponent, abs=0.1)


@pytest.mark.parametrize("hz", [50.0, 60.0])
def test_hum_has_its_harmonics_and_nothing_else(hz: float) -> None:
    wave = mains_hum(torch.tensor([hz]), 16_000, torch.Generator().manual_seed(0))[0]
    assert wave.square().mean().item() == pytest.approx(1, abs=1e-4)
    power = torch.fft.rfft(wave).abs().square()
    harmonics = power[int(hz) :: int(hz)][:10]
    assert (harmonics.sum() / power.sum()).item() > 0.999


def test_music_is_tones_on_a_beat() -> None:
    wave_BS = music(40, 32_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(wave_BS.square().mean(dim=1), torch.ones(40), atol=1e-3, rtol=0)
    power = torch.fft.rfft(wave_BS * torch.hann_window(32_000)).abs().square()
    strongest = power.topk(64, dim=1).values.sum(dim=1) / power.sum(dim=1)
    assert (strongest > 0.5).sum() > 20  # a few lines of 16 001 hold most of the power; noise would have 2 %
    blocks = wave_BS.unflatten(1, (-1, 800)).square().mean(dim=2).sqrt()
    assert (blocks.std(dim=1) > 0.2).sum() > 10  # struck
    assert (blocks.std(dim=1) < 0.2).sum() > 5  # held


def test_voice_gate_opens_for_music_and_so_the_network_must_know_it() -> None:
    pcm_BS, kind_B = silence_windows(120, 32_000, torch.Generator().manual_seed(4))
    opened = [gate(pcm_S.numpy()).max() > 0 for pcm_S in pcm_BS[kind_B == KINDS.index("tones")]]
    assert sum(opened) > len(opened) / 2


def test_no_window_is_no_error() -> None:
    assert silence_windows(0, WINDOW, torch.Generator())[0].shape == (0, WINDOW)


def test_voice_gate_stays_closed_in_synthetic_room_tone_and_hum() -> None:
    pcm_BS, kind_B = silence_windows(60, 32_000, torch.Generator().manual_seed(3))
    for name in ("digital zero", "room tone", "hum"):
        for pcm_S in pcm_BS[kind_B == KINDS.index(name)]:
            assert gate(pcm_S.numpy()).max() == 0, name


def face(frames: int = 400) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A mouth that opens and closes, with a long silence in frames 100-199 whose first ten frames still close."""
    opening = np.abs(np.sin(np.arange(frames) * 0.3)).astype(np.float32) * 0.2 + 0.02
    opening[100:200] = 0.021
    opening[100:110] = np.linspace(0.2, 0.021, 10)
    gate_T = np.ones(frames, np.float32)
    gate_T[100:200] = 0
    return opening, np.ones(frames, bool), gate_T


def test_closed_frames_lie_in_long_silence() -> None:
    opening, valid, gate_T = face()
    valid[150:155] = False
    found = closed_frames(opening, valid, gate_T, [[0, 180], [190, 400]])
    assert set(range(112, 150)) <= set(found.tolist())
    assert found.min() >= 107 and found.max() < 200
    assert not set(found.tolist()) & {*range(150, 155), *range(180, 190)}
    assert opening[found].max() < 0.05


def test_open_mouth_in_silence_is_not_closed() -> None:
    opening, valid, gate_T = face()
    opening[120:140] = 0.15  # laughs without a sound
    assert not set(closed_frames(opening, valid, gate_T, [[0, 400]]).tolist()) & set(range(120, 140))


def test_without_silence_the_most_closed_frames_are_taken() -> None:
    opening, valid, gate_T = face()
    found = closed_frames(opening, valid, np.ones_like(gate_T), [[0, 90]])
    assert len(found) >= 8 and found.max() < 90
    assert opening[found].max() < np.percentile(opening[:90], 25)


def test_short_recordings_give_at_least_some_frames() -> None:
    opening = np.linspace(0, 1, 12, dtype=np.float32)
    found = closed_frames(opening, np.ones(12, bool), np.ones(12, np.float32), [[0, 12]])
    assert found.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]


def test_no_valid_frame_is_an_error() -> None:
    opening, valid, gate_T = face()
    with pytest.raises(ValueError, match=r"none of the 400 frames.*report\.html"):
        closed_frames(opening, valid & False, gate_T, [[0, 400]])
