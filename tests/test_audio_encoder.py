"""Log-mel against librosa, and the encoder's contract: gate, order of time, cost, export."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import onnxruntime
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.audio_encoder import AudioEncoder, AudioEncoderConfig, AudioFrontEnd, LogMel, MelConfig, mel_filters
from recipe import recipe_328 as recipe
from recipe.audio_window import window_pcm
from recipe.sound import load_audio

MEL = MelConfig(
    recipe.SAMPLE_RATE_HZ,
    recipe.MEL_FFT,
    recipe.MEL_HOP,
    recipe.MEL_BINS,
    recipe.MEL_FMIN_HZ,
    recipe.MEL_FMAX_HZ,
    recipe.MEL_FRAMES,
)


@pytest.fixture(scope="module")
def windows(presenter_video: Path) -> np.ndarray:
    """Speech, its first window half outside the utterance, and noise."""
    pcm_S = load_audio(presenter_video)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, recipe.AUDIO_WINDOW_SAMPLES))
    return np.concatenate([window_pcm(pcm_S, 0, 1), window_pcm(pcm_S, 15, 20), noise]).astype(np.float32)


def librosa_log_mel(windows: np.ndarray) -> np.ndarray:
    power = librosa.feature.melspectrogram(
        y=windows.astype(np.float64),
        sr=recipe.SAMPLE_RATE_HZ,
        n_fft=recipe.MEL_FFT,
        hop_length=recipe.MEL_HOP,
        n_mels=recipe.MEL_BINS,
        fmin=recipe.MEL_FMIN_HZ,
        fmax=recipe.MEL_FMAX_HZ,
        center=False,
    )
    return np.log10(np.maximum(power, 1e-10)).transpose(0, 2, 1)


def test_filters_are_librosas() -> None:
    expected = librosa.filters.mel(sr=16_000, n_fft=512, n_mels=80, fmin=55.0, fmax=7600.0, dtype=np.float64)
    np.testing.assert_allclose(mel_filters(MEL).T, expected, atol=1e-15)


def test_log_mel_is_librosas(windows: np.ndarray) -> None:
    expected = librosa_log_mel(windows)
    found = LogMel(MEL)(torch.from_numpy(windows)).numpy() * 4 - 4
    assert found.shape == (len(windows), 48, 80)
    # float32 rounds at about 1e-7 of a frame's strongest band: bands 90 dB below it are compared more loosely
    audible = expected > expected.max(axis=2, keepdims=True) - 9
    assert np.abs(found - expected)[audible].max() < 1e-4
    assert np.abs(found - expected).max() < 5e-3


def test_log_mel_of_a_known_tone_and_of_silence() -> None:
    time_s = np.arange(MEL.window_samples) / 16_000
    tone = torch.from_numpy((0.5 * np.sin(2 * np.pi * 1000 * time_s)).astype(np.float32))[None]
    mel = LogMel(MEL)(tone)[0]
    centres = librosa.mel_frequencies(n_mels=82, fmin=55.0, fmax=7600.0)[1:-1]
    assert abs(centres[int(mel[20].argmax())] - 1000) < 40
    assert torch.equal(LogMel(MEL)(torch.zeros_like(tone)), torch.full((1, 48, 80), -1.5))


def test_gathered_frames_give_the_same_numbers(windows: np.ndarray) -> None:
    log_mel, pcm_BS = LogMel(MEL), torch.from_numpy(windows)
    frames_BNK = pcm_BS.unfold(1, MEL.n_fft, MEL.hop)
    assert torch.equal(log_mel.frames_from(frames_BNK), log_mel(pcm_BS))


def test_autocast_does_not_round_the_spectrum(windows: np.ndarray) -> None:
    log_mel, pcm_BS = LogMel(MEL), torch.from_numpy(windows)
    expected = log_mel(pcm_BS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = log_mel(pcm_BS)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_a_window_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="8000 samples, expected 8032"):
        LogMel(MEL)(torch.zeros(1, 8000))


def test_log_mel_adds_nothing_to_the_checkpoint() -> None:
    assert LogMel(MEL).state_dict() == {}


def test_cost_of_the_default_encoder() -> None:
    encoder = AudioEncoder(AudioEncoderConfig())
    parameters = sum(p.numel() for p in encoder.parameters())
    with FlopCounterMode(display=False) as counter:
        encoder(torch.zeros(1, 48, 80))
    assert 0.8e6 <= parameters <= 1.5e6
    assert 5e6 < counter.get_total_flops() / 2 < 15e6


def test_gate_mixes_with_the_silence_token() -> None:
    torch.manual_seed(0)
    encoder = AudioEncoder(AudioEncoderConfig()).eval()
    features = torch.randn(3, 48, 80)
    speech = encoder(features)
    mixed = encoder(features, torch.tensor([0.0, 0.25, 1.0]))
    assert torch.equal(mixed[0], encoder.silence)
    torch.testing.assert_close(mixed[1], 0.25 * speech[1] + 0.75 * encoder.silence)
    assert torch.equal(mixed[2], speech[2])
    torch.testing.assert_close(speech.mean(dim=1), torch.zeros(3), atol=1e-5, rtol=0)


def test_silence_token_learns_only_from_closed_gates() -> None:
    encoder = AudioEncoder(AudioEncoderConfig())
    encoder(torch.randn(2, 48, 80), torch.tensor([1.0, 0.5])).sum().backward()
    torch.testing.assert_close(encoder.silence.grad, torch.full((256,), 0.5))


def test_order_of_time_matters() -> None:
    torch.manual_seed(0)
    encoder = AudioEncoder(AudioEncoderConfig()).eval()
    sound = torch.zeros(1, 48, 80)
    sound[:, 10:16] = torch.randn(1, 6, 80)
    here, elsewhere = encoder(sound), encoder(sound.roll(20, dims=1))
    assert torch.nn.functional.cosine_similarity(here, elsewhere).item() < 0.9


def test_other_features_fit_the_same_encoder() -> None:
    config = AudioEncoderConfig(input_dim=96, input_frames=25, stem_kernel=1, stages=2, embedding_dim=64)
    assert config.steps == 7
    assert AudioEncoder(config)(torch.randn(2, 25, 96)).shape == (2, 64)


@pytest.mark.filterwarnings("ignore")
def test_exported_front_end_equals_torch(windows: np.ndarray, tmp_path: Path) -> None:
    torch.manual_seed(0)
    front_end = AudioFrontEnd(LogMel(MEL), AudioEncoder(AudioEncoderConfig())).eval()
    batch = torch.export.Dim("B")
    torch.onnx.export(
        front_end,
        (torch.zeros(2, recipe.AUDIO_WINDOW_SAMPLES), torch.ones(2)),
        tmp_path / "audio_encoder.onnx",
        input_names=["pcm_BS", "gate_B"],
        output_names=["embedding_BD"],
        dynamic_shapes=({0: batch}, {0: batch}),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "audio_encoder.onnx", providers=["CPUExecutionProvider"])
    for count in (1, len(windows)):
        pcm_BS, gate_B = windows[:count], np.linspace(1, 0, count, dtype=np.float32)
        (found,) = session.run(["embedding_BD"], {"pcm_BS": pcm_BS, "gate_B": gate_B})
        with torch.inference_mode():
            expected = front_end(torch.from_numpy(pcm_BS), torch.from_numpy(gate_B)).numpy()
        np.testing.assert_allclose(found, expected, atol=5e-4)
