"""Each effect does what its name says, by numbers; with all off nothing changes by a bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch

from models.audio_encoder import LogMel, MelConfig
from recipe import recipe_328 as recipe
from recipe.audio_window import window_pcm
from recipe.sound import load_audio
from training.audio_augmentation import AudioAugmentation, AudioAugmenter
from training.sound_stock import NOISE_KINDS, noise_stock, room_stock, speech_level

MEL = MelConfig(
    recipe.SAMPLE_RATE_HZ,
    recipe.MEL_FFT,
    recipe.MEL_HOP,
    recipe.MEL_BINS,
    recipe.MEL_FMIN_HZ,
    recipe.MEL_FMAX_HZ,
    recipe.MEL_FRAMES,
)
OFF = AudioAugmentation.off()
FRAME = 50
CENTRE = FRAME * 640 + 320


@pytest.fixture(scope="module")
def bin_hz() -> np.ndarray:
    return librosa.mel_frequencies(n_mels=82, fmin=55.0, fmax=7600.0)[1:-1]  # here: this loads numba


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmenter(pcm: np.ndarray | torch.Tensor, config: AudioAugmentation) -> AudioAugmenter:
    pcm_S = torch.as_tensor(pcm, dtype=torch.float32)
    frames = -(-len(pcm_S) // 640)
    return AudioAugmenter(LogMel(MEL), pcm_S, config, [[0, frames]], [[0, frames]])


def tone(hz: float, seconds: float = 4.0) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * hz * np.arange(int(16_000 * seconds)) / 16_000)


@pytest.fixture(scope="module")
def speech(presenter_video: Path) -> np.ndarray:
    return load_audio(presenter_video)


def test_off_is_log_mel_of_the_window_bit_for_bit(speech: np.ndarray) -> None:
    frames = torch.tensor([0, 3, 40, 41, 300, 507])
    windows = np.concatenate([window_pcm(speech, int(frame), 1) for frame in frames])
    expected = LogMel(MEL)(torch.from_numpy(windows))
    sound = augmenter(speech, OFF)
    assert torch.equal(sound.clean(frames), expected)
    assert torch.equal(sound.augmented(frames, seeded()), expected)


def test_window_hears_nothing_of_another_clip(speech: np.ndarray) -> None:
    cut = AudioAugmenter(LogMel(MEL), torch.from_numpy(speech), OFF, [[0, 100], [100, 500]], [[0, 500]])
    alone = augmenter(speech[: 100 * 640], OFF)
    whole = augmenter(speech, OFF)
    frames = torch.tensor([90, 98])
    assert torch.equal(cut.clean(frames), alone.clean(frames))
    assert not torch.equal(cut.clean(frames), whole.clean(frames))
    assert torch.equal(cut.augmented(frames, seeded()), alone.clean(frames))


@pytest.mark.parametrize("seed", range(4))
def test_pitch_moves_a_tone_by_at_most_six_semitones(seed: int, bin_hz: np.ndarray) -> None:
    sound = augmenter(tone(1000), replace(OFF, pitch=1.0))
    features = sound.augmented(torch.full((32,), FRAME), seeded(seed))
    peaks_hz = bin_hz[features.mean(dim=1).argmax(dim=1).numpy()]
    semitones = 12 * np.log2(peaks_hz / 1000)
    assert np.abs(semitones).max() < 6.6
    assert semitones.max() > 2 and semitones.min() < -2


def test_pitch_keeps_the_tempo() -> None:
    pcm = np.zeros(4 * 16_000)
    burst_at = CENTRE + 2400  # 150 ms after the centre
    pcm[burst_at - 80 : burst_at + 80] = 0.5 * np.random.default_rng(0).standard_normal(160)
    features = augmenter(pcm, replace(OFF, pitch=1.0)).augmented(torch.full((32,), FRAME), seeded())
    loudest = features.mean(dim=2).argmax(dim=1).float()
    assert (loudest - (23.5 + 15)).abs().max() <= 1.5


def test_speed_scales_times_around_the_centre() -> None:
    pcm = np.zeros(4 * 16_000)
    for side in (-1, 1):
        at = CENTRE + side * 2880  # 180 ms: 18 analysis frames
        pcm[at - 80 : at + 80] = 0.5 * np.random.default_rng(0).standard_normal(160)
    features = augmenter(pcm, replace(OFF, speed=1.0)).augmented(torch.full((64,), FRAME), seeded())
    energy = features.mean(dim=2)
    before, after = energy[:, :24].argmax(dim=1) - 23.5, energy[:, 24:].argmax(dim=1) + 0.5
    assert (before + after).abs().max() <= 2  # symmetric
    assert 16 <= after.min() < 17.5 and 18.5 < after.max() <= 20.5  # 18 / 1.1 ... 18 / 0.9


def test_vocal_tract_moves_the_spectrum_within_its_range(bin_hz: np.ndarray) -> None:
    sound = augmenter(tone(1500), replace(OFF, vocal_tract=1.0))
    peaks_hz = bin_hz[sound.augmented(torch.full((64,), FRAME), seeded()).mean(dim=1).argmax(dim=1).numpy()]
    assert 1500 * 0.77 < peaks_hz.min() < 1500 * 0.87
    assert 1500 * 1.15 < peaks_hz.max() < 1500 * 1.3


def test_pitch_and_vocal_tract_together_stay_vowels(bin_hz: np.ndarray) -> None:
    sound = augmenter(tone(1500), replace(OFF, pitch=1.0, vocal_tract=1.0))
    peaks_hz = bin_hz[sound.augmented(torch.full((256,), FRAME), seeded()).mean(dim=1).argmax(dim=1).numpy()]
    assert peaks_hz.min() > 1500 * 0.66 and peaks_hz.max() < 1500 * 1.53


def test_gain_adds_the_same_decibels_everywhere(speech: np.ndarray) -> None:
    sound = augmenter(speech, replace(OFF, gain=1.0))
    frames = torch.full((64,), FRAME)
    change_db = (sound.augmented(frames, seeded()) - sound.clean(frames)) * 40  # 4 per factor 10 in power
    per_window = change_db.mean(dim=(1, 2))
    assert change_db.std(dim=(1, 2)).max() < 0.1  # bands at the floor of the logarithm change less
    assert per_window.abs().max() <= 12 and per_window.max() > 9 and per_window.min() < -9


def test_tone_tilts_and_band_cuts(speech: np.ndarray, bin_hz: np.ndarray) -> None:
    frames = torch.full((64,), FRAME)
    clean = augmenter(speech, OFF).clean(frames)
    tilt_db = (augmenter(speech, replace(OFF, tone=1.0)).augmented(frames, seeded()) - clean) * 40
    assert tilt_db.std(dim=1).max() < 0.01  # constant over time
    assert tilt_db.abs().max() < AudioAugmentation().tone_db_per_octave * 4.3 + 3.1
    assert (tilt_db[:, :, -1] - tilt_db[:, :, 0]).std() > 4
    band_db = (augmenter(speech, replace(OFF, band=1.0)).augmented(frames, seeded()) - clean) * 40
    middle = (bin_hz > 450) & (bin_hz < 2900)
    assert band_db[:, :, middle].abs().max() < 1e-3
    assert band_db[:, :, -1].mean(dim=1).max() < -15 and band_db[:, :, 0].mean(dim=1).max() < -15


def test_noise_has_the_asked_level(speech: np.ndarray) -> None:
    """In digital silence only the noise is heard: its power is the speech's less the SNR."""
    pcm = np.concatenate([speech[40 * 640 : 200 * 640], np.zeros(100 * 640)])
    sound = AudioAugmenter(
        LogMel(MEL), torch.from_numpy(pcm.astype(np.float32)), replace(OFF, noise=1.0), [[0, 260]], [[0, 160]]
    )
    power = (10 ** (sound.augmented(torch.full((128,), 210), seeded()) * 4 - 4)).mean(dim=1)
    quietest, loudest = 10 * torch.log10(power.sum(dim=1)).sort().values[[8, -8]]
    assert 15 < loudest - quietest < 45
    clean = (10 ** (sound.clean(torch.arange(20, 140)) * 4 - 4)).mean(dim=1)
    speech_db = 10 * torch.log10(clean.sum(dim=1)).quantile(0.8)
    assert -40 < quietest - speech_db < -15 and -12 < loudest - speech_db < 3


def test_noise_runs_on_within_a_group() -> None:
    """Frames of a clip overlap by 440 ms: shifted by 4 analysis frames they hear the same noise."""
    pcm = np.concatenate([tone(300, 2.0), np.zeros(4 * 16_000)])
    sound = AudioAugmenter(
        LogMel(MEL), torch.from_numpy(pcm.astype(np.float32)), replace(OFF, noise=1.0), [[0, 150]], [[0, 50]]
    )
    frames = torch.arange(80, 96)
    together = sound.augmented(frames, seeded(2), group_size=4).unflatten(0, (4, 4))
    torch.testing.assert_close(together[:, 0, 4:], together[:, 1, :-4], atol=1e-3, rtol=0)
    assert (together[0, 0] - together[1, 0]).abs().mean() > 0.02


def test_reverb_rings_after_the_sound_and_never_before() -> None:
    pcm = np.zeros(4 * 16_000)
    pcm[CENTRE - 1000 : CENTRE] = 0.3 * np.random.default_rng(0).standard_normal(1000)
    frames = torch.full((16,), FRAME)
    sound = augmenter(pcm, replace(OFF, reverb=1.0))
    clean, wet = sound.clean(frames).mean(dim=2), sound.augmented(frames, seeded()).mean(dim=2)
    tail, head = slice(27, 35), slice(0, 14)
    assert clean[:, tail].max() == -1.5
    assert (wet[:, tail] > -1.2).all()
    # an FFT in float32 leaves rounding noise 140 dB below the sound, far under any room tone
    assert wet[:, head].max() < -1.35
    assert (wet[:, 34] < wet[:, 28]).all()


def test_masks_hide_stretches_of_time_and_bands(speech: np.ndarray) -> None:
    frames = torch.full((64,), FRAME)
    sound = augmenter(speech, replace(OFF, masks=1.0))
    clean, masked = sound.clean(frames), sound.augmented(frames, seeded())
    hidden = clean != masked
    rows, bins = hidden.all(dim=2).sum(dim=1), hidden.all(dim=1).sum(dim=1)
    assert rows.max() <= 6 and bins.max() <= 10 and rows.float().mean() > 2 and bins.float().mean() > 3
    value = clean.mean(dim=(1, 2), keepdim=True).expand_as(clean)
    torch.testing.assert_close(masked[hidden], value[hidden])


def test_one_clip_one_voice() -> None:
    config = replace(OFF, pitch=1.0, vocal_tract=1.0, speed=1.0, gain=1.0)
    sound = augmenter(tone(1000), config)
    features = sound.augmented(torch.full((12,), FRAME), seeded(), group_size=4).unflatten(0, (3, 4))
    assert torch.equal(features, features[:, :1].expand_as(features))
    assert not torch.equal(features[0], features[1])
    with pytest.raises(ValueError, match="10 frames cannot be split into groups of 4"):
        sound.augmented(torch.full((10,), FRAME), seeded(), group_size=4)


def test_everything_at_once_is_finite_and_repeatable(speech: np.ndarray) -> None:
    sound = augmenter(speech, AudioAugmentation())
    frames = torch.randint(508, (96,), generator=seeded(9))
    first, again = (sound.augmented(frames, seeded(4), group_size=3) for _ in range(2))
    assert torch.equal(first, again)
    assert first.isfinite().all() and first.min() >= -1.5 and first.max() < 2.5
    other = sound.augmented(frames, seeded(5), group_size=3)
    assert (first - other).abs().mean() > 0.05


def test_probabilities_are_shares_of_the_groups(speech: np.ndarray) -> None:
    frames = torch.full((160,), FRAME)
    sound = augmenter(speech, replace(OFF, gain=0.3))
    changed = (sound.augmented(frames, seeded()) != sound.clean(frames)).flatten(1).any(dim=1)
    assert 0.2 < changed.float().mean() < 0.4


def test_voices_that_do_not_fit_are_refused(speech: np.ndarray) -> None:
    with pytest.raises(ValueError, match="9 semitones needs"):
        augmenter(speech, AudioAugmentation(pitch_semitones=9))


def test_rooms_decay_and_keep_the_direct_sound() -> None:
    rooms = room_stock((0.2, 0.2), (-10.0, 0.0), 32, 4096, seeded())
    assert torch.equal(rooms[:, 0], torch.ones(32))
    assert rooms[:, 1:32].abs().max() == 0
    early, late = (rooms[:, a : a + 400].square().mean() for a in (400, 2000))
    assert 10 * torch.log10(early / late).item() == pytest.approx(60 * 1600 / 16_000 / 0.2, abs=2)  # 30 dB


def test_tails_are_as_strong_as_they_are_asked_for() -> None:
    rooms = room_stock((0.15, 0.8), (-10.0, 5.0), 64, 4096, seeded())
    tail_db = 10 * torch.log10(rooms[:, 1:].square().sum(dim=1))
    assert -10.01 < tail_db.min() < -8
    assert 3 < tail_db.max() < 5.01


def test_stock_is_as_loud_as_the_speech(speech: np.ndarray) -> None:
    stock = noise_stock(torch.from_numpy(speech), 1 << 15, seeded())
    assert len(stock) % len(NOISE_KINDS) == 0
    level = speech_level(torch.from_numpy(speech))
    assert level > torch.from_numpy(speech).square().mean().sqrt()
    torch.testing.assert_close(stock.square().mean(dim=1).sqrt(), level.expand(len(stock)), rtol=0.01, atol=0)
