"""The voice gate: streamed == whole, early enough, closed in every kind of silence, open in noisy speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES
from recipe.sound import load_audio
from recipe.voice_gate import StreamingGate, gate

RATE = 16_000
CENTRE_S = 0.02  # of a frame, after its start


@pytest.fixture(scope="module")
def speech(presenter_video: Path) -> NDArray[np.float32]:
    return load_audio(presenter_video)


@pytest.fixture(scope="module")
def phrase(presenter_video: Path, speech: NDArray[np.float32]) -> tuple[float, float]:
    """Start of the first phone and end of the last, in seconds."""
    truth = np.load(presenter_video.with_name("presenter_ground_truth.npz"), allow_pickle=False)
    spoken = ~np.isin(truth["phones"], ["pau", "sil"])
    return float(truth["phone_start_s"][spoken].min()), float(truth["phone_stop_s"][spoken].max())


def noise(samples: int, rms: float, colour: str = "white", seed: int = 0) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    hz = np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 40)
    shaped = np.fft.irfft(spectrum / {"white": 1, "pink": np.sqrt(hz), "brown": hz}[colour], samples)
    return shaped * rms / np.sqrt(np.mean(shaped**2))


def hum(samples: int, hz: float, rms: float) -> NDArray[np.float64]:
    time_s = np.arange(samples) / RATE
    wave = sum(np.sin(2 * np.pi * hz * k * time_s + k) / k for k in range(1, 12))
    return wave * rms / np.sqrt(np.mean(wave**2))


def as_pcm(wave: NDArray[np.float64]) -> NDArray[np.float32]:
    return wave.astype(np.float32)


@settings(max_examples=40, deadline=None, database=None)
@given(data=st.data(), samples=st.integers(0, 60_000))
def test_stream_equals_whole_for_any_chunks(speech: NDArray[np.float32], data: st.DataObject, samples: int) -> None:
    start = data.draw(st.integers(0, len(speech) - samples))
    pcm_S = speech[start : start + samples]
    cuts = sorted(data.draw(st.lists(st.integers(0, samples), max_size=12)))
    stream = StreamingGate()
    pieces = [stream.push(piece) for piece in np.split(pcm_S, cuts)]
    streamed = np.concatenate([*pieces, stream.finish()])
    whole = gate(pcm_S)
    assert streamed.tobytes() == whole.tobytes()
    assert len(whole) == -(-samples // 640)


def test_a_sample_at_a_time(speech: NDArray[np.float32]) -> None:
    pcm_S = speech[5000:12_000]
    stream = StreamingGate()
    streamed = np.concatenate([*[stream.push(pcm_S[i : i + 1]) for i in range(len(pcm_S))], stream.finish()])
    assert streamed.tobytes() == gate(pcm_S).tobytes()


def test_lookahead_is_bounded(speech: NDArray[np.float32]) -> None:
    """Frame i is decided as soon as its own samples and the recipe's lookahead are there, and never changes."""
    frame = 60
    known = 640 * (frame + 1) + AUDIO_LOOKAHEAD_SAMPLES
    stream = StreamingGate()
    decided = stream.push(speech[:known])
    assert len(decided) >= frame + 1
    other = np.concatenate([speech[:known], as_pcm(noise(RATE, 0.3))])
    assert gate(other)[: frame + 1].tobytes() == decided[: frame + 1].tobytes()


def test_opens_before_the_first_lip_motion(speech: NDArray[np.float32], phrase: tuple[float, float]) -> None:
    gate_T = gate(speech)
    time_s = np.arange(len(gate_T)) * 0.04 + CENTRE_S
    assert gate_T[: int((phrase[0] - 0.3) / 0.04)].max() == 0
    assert (gate_T[(time_s > phrase[0] - 0.12) & (time_s < phrase[1])] >= 0.5).all()
    assert (gate_T[(time_s > phrase[0] - 0.06) & (time_s < phrase[1])] == 1).all()
    assert gate_T[time_s > phrase[1] + 0.45].max() == 0


def test_ramps_last_80_to_160_ms(speech: NDArray[np.float32]) -> None:
    gate_T = gate(speech)
    between = np.flatnonzero((gate_T > 0) & (gate_T < 1))
    first_open = int(np.argmax(gate_T == 1))
    last_open = len(gate_T) - 1 - int(np.argmax(gate_T[::-1] == 1))
    assert 2 <= (between < first_open).sum() <= 4
    assert 2 <= (between > last_open).sum() <= 4
    assert np.abs(np.diff(gate_T)).max() <= 0.5


@pytest.mark.parametrize(("pause_s", "stays_open"), [(0.15, True), (0.28, True), (1.0, False)])
def test_pauses(speech: NDArray[np.float32], pause_s: float, stays_open: bool) -> None:
    room = noise(len(speech) + 3 * RATE, 2e-4)
    word = speech[int(1.3 * RATE) : int(2.2 * RATE)]
    pause = np.zeros(int(pause_s * RATE))
    pcm = np.concatenate([np.zeros(RATE), word, pause, word, np.zeros(RATE)])
    gate_T = gate(as_pcm(pcm + room[: len(pcm)]))
    opened = np.flatnonzero(gate_T == 1)
    inside = gate_T[opened[0] : opened[-1]]
    assert (inside.min() == 1) == stays_open
    assert stays_open or inside.min() == 0


@pytest.mark.parametrize(
    "quiet",
    [
        np.zeros(6 * RATE),
        noise(6 * RATE, 10 ** (-70 / 20), "pink"),
        noise(6 * RATE, 10 ** (-48 / 20), "brown"),
        noise(6 * RATE, 10 ** (-30 / 20), "white"),
        hum(6 * RATE, 50.0, 0.05),
        hum(6 * RATE, 60.0, 0.05),
        hum(6 * RATE, 120.0, 0.02) + noise(6 * RATE, 0.01, "pink"),
    ],
    ids=["digital zero", "quiet room", "room", "fan", "50 Hz hum", "60 Hz hum", "hum and fan"],
)
def test_closed_in_silence(quiet: NDArray[np.float64]) -> None:
    assert gate(as_pcm(quiet)).max() == 0


def test_closes_when_steady_noise_begins() -> None:
    pcm = np.concatenate([noise(3 * RATE, 1e-3), noise(6 * RATE, 0.05, seed=1)])
    gate_T = gate(as_pcm(pcm))
    assert gate_T[int(6.0 / 0.04) :].max() == 0


def test_clicks_do_not_open() -> None:
    pcm = noise(4 * RATE, 3e-4)
    for at in (10_000, 25_000, 40_000):
        pcm[at : at + 40] += 0.8
    assert gate(as_pcm(pcm)).max() == 0


@pytest.mark.parametrize("colour", ["white", "pink", "brown"])
def test_stays_open_in_noise_at_10_db(speech: NDArray[np.float32], phrase: tuple[float, float], colour: str) -> None:
    pieces = np.square(speech[: len(speech) // 640 * 640].reshape(-1, 640)).mean(axis=1)
    active_T = pieces > np.percentile(pieces, 95) / 100  # within 20 dB of the loudest
    level = np.sqrt(pieces[active_T].mean())
    pad = np.zeros(3 * RATE)
    pcm = np.concatenate([pad, speech, pad])
    gate_T = gate(as_pcm(pcm + noise(len(pcm), level * 10 ** (-10 / 20), colour)))
    assert gate_T[75 : 75 + len(active_T)][active_T].mean() > 0.97
    assert gate_T[:60].max() == 0 and gate_T[-50:].max() == 0


def test_level_hardly_matters(speech: NDArray[np.float32]) -> None:
    assert np.abs(gate(speech) - gate(speech * np.float32(0.1))).mean() < 0.02


@pytest.mark.parametrize("name", ["whisper_jfk.flac", "LatentSync_demo2_video.mp4", "ljspeech_30s.wav"])
def test_real_speech(shared_media: Path, name: str) -> None:
    pcm_S = load_audio(shared_media / name)
    gate_T = gate(pcm_S)
    pieces = np.square(pcm_S[: len(pcm_S) // 640 * 640].reshape(-1, 640)).mean(axis=1)
    active_T = pieces > np.percentile(pieces, 95) / 100
    assert gate_T[: len(active_T)][active_T].mean() > 0.99
    if name == "whisper_jfk.flac":  # "... fellow Americans, ask not ...": long pauses at 3 and 5 s
        assert gate_T[int(2.9 / 0.04) : int(3.0 / 0.04)].max() == 0
    if name.endswith(".mp4"):  # the clip begins with a breath of room tone
        assert gate_T[:4].max() == 0


def test_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="one mono channel"):
        gate(np.zeros((2, 100), np.float32))
