"""Ears behind the first layers of a Whisper encoder: the layers are Whisper's, and the served graph is the network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from transformers import WhisperConfig, WhisperModel

from models.audio_encoder import LogMel, mel_of_hz
from models.ears import Ears, EarsConfig, EarsGraph, levelled
from models.whisper_trunk import WhisperTrunk, WhisperTrunkConfig
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.errors import UserError
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, MEL_FMAX_HZ, MEL_FMIN_HZ
from services.runtimes.openvino import OpenVinoRuntime
from tests.test_ears import drawn_material
from training.ears.commands import run, write_ears
from training.ears.shipped import shipped_ears
from training.ears.stage import EarsPreset
from training.ears.trunk import ears_with_trunk, whisper_bands
from training.sound import mel_config
from training.stored_weights import read_weights


def whisper(width: int = 128, bands: int = 80) -> WhisperModel:
    torch.manual_seed(1)
    config = WhisperConfig(
        d_model=width, encoder_layers=4, encoder_attention_heads=width // 64, encoder_ffn_dim=4 * width,
        num_mel_bins=bands, decoder_layers=0, vocab_size=1, pad_token_id=0, bos_token_id=0, eos_token_id=0,
        decoder_start_token_id=0,
    )  # fmt: skip
    model = WhisperModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("whisper")
    whisper().save_pretrained(made)
    return made


def test_its_layers_are_those_of_whisper() -> None:
    encoder = whisper().encoder
    trunk = WhisperTrunk(WhisperTrunkConfig(layers=2, width=128, heads=2)).eval()
    trunk.take(encoder.state_dict(), torch.eye(80))
    heard = torch.rand(3, 48, 80)
    with torch.no_grad():
        x = torch.nn.functional.gelu(encoder.conv1(heard.transpose(1, 2)))
        x = torch.nn.functional.gelu(encoder.conv2(x)).transpose(1, 2) + encoder.embed_positions.weight[:24]
        for layer in encoder.layers[:2]:
            x = layer(x, None)
            x = x[0] if isinstance(x, tuple) else x
    torch.testing.assert_close(trunk(heard), x, atol=1e-4, rtol=1e-4)
    assert not any(weight.requires_grad for weight in trunk.parameters())


def test_what_lies_80_db_below_the_loudest_is_not_heard() -> None:
    trunk = WhisperTrunk(WhisperTrunkConfig(layers=1, width=128, heads=2))
    trunk.take(whisper().encoder.state_dict(), torch.eye(80))
    heard = torch.rand(1, 48, 80)
    heard[0, 20:] = -1.1
    torch.testing.assert_close(trunk(heard), trunk(torch.where(heard == -1.1, -5.0, heard)))


def test_every_channel_is_scaled_by_what_was_measured() -> None:
    trunk = WhisperTrunk(WhisperTrunkConfig(layers=1, width=128, heads=2))
    trunk.take(whisper().encoder.state_dict(), torch.eye(80))
    heard = torch.rand(200, 48, 80)
    for _ in range(2):  # measuring anew starts from the plain tokens
        trunk.measure(heard)
        tokens = trunk(heard)
        torch.testing.assert_close(tokens.mean(dim=(0, 1)), torch.zeros(128), atol=1e-3, rtol=0)
        torch.testing.assert_close(tokens.std(dim=(0, 1)), torch.ones(128), atol=1e-2, rtol=0)


def test_bands_are_mixed_by_where_they_lie() -> None:
    low, high = mel_of_hz(torch.tensor([MEL_FMIN_HZ, MEL_FMAX_HZ], dtype=torch.float64)).tolist()
    centres = torch.linspace(low, high, 82)[1:-1]
    there = whisper_bands() @ centres
    wanted = torch.linspace(0, float(mel_of_hz(torch.tensor([8000.0]))), 82)[1:-1].clamp(centres[0], centres[-1])
    torch.testing.assert_close(there, wanted, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(whisper_bands().sum(dim=1), torch.ones(80))


def moved(ears: Ears) -> Ears:
    """Every weight another, so that one that is lost is noticed."""
    torch.manual_seed(2)
    with torch.no_grad():
        for weight in ears.parameters():
            weight += 0.01 * torch.randn_like(weight)
    return ears.eval()


def test_the_graph_tells_what_the_network_tells(folder: Path, tmp_path: Path) -> None:
    ears = moved(ears_with_trunk(folder))
    write_ears(ears, tmp_path / "ears.onnx")
    read = ears_with_trunk(folder)
    read.load_state_dict(read_weights(tmp_path / "ears.onnx", read, "ears.", ("encoder.silence",)))
    pcm = (0.1 * np.random.default_rng(1).standard_normal((5, AUDIO_WINDOW_SAMPLES))).astype(np.float32)
    gate = np.ones(5, np.float32)
    with torch.no_grad():
        exact = EarsGraph(LogMel(mel_config()), ears).eval()(torch.from_numpy(pcm), torch.ones(5)).numpy()
        rounded = EarsGraph(LogMel(mel_config()), read).eval()(torch.from_numpy(pcm), torch.ones(5)).numpy()
    np.testing.assert_allclose(rounded, exact, atol=0.02)

    session = onnxruntime.InferenceSession(str(tmp_path / "ears.onnx"), providers=["CPUExecutionProvider"])
    (found,) = session.run([EMBEDDING], {PCM: pcm, GATE: gate})
    np.testing.assert_allclose(found, rounded, atol=1e-5)
    graph = OpenVinoRuntime("f32", 1).load(tmp_path / "ears.onnx")
    for count in (5, 1, 3):
        (served,) = graph.run({PCM: pcm[:count], GATE: gate[:count]}).values()
        np.testing.assert_allclose(served, rounded[:count], atol=1e-5)


def test_training_changes_what_stands_behind_the_trunk_and_the_card_tells_of_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.ears.commands.load_material", lambda *_: drawn_material())
    out = tmp_path / "ears.onnx"
    run(None, EarsPreset.of(2, 4), 1, 1.0, "cpu", tmp_path / "run", out, whisper=folder)
    card = json.loads(out.with_suffix(".json").read_text())
    assert EarsConfig.from_dict(card["config"]).trunk == WhisperTrunkConfig(layers=2, width=128, heads=2)
    trained, begun = shipped_ears(out), ears_with_trunk(folder)
    assert trained.trunk is not None and begun.trunk is not None
    for name, weight in begun.trunk.state_dict().items():
        if name not in ("mean", "scale"):
            torch.testing.assert_close(trained.trunk.state_dict()[name], weight, atol=0.005, rtol=0, msg=name)
    assert not torch.equal(trained.units[1].weight, begun.units[1].weight)


def test_what_is_given_to_training_holds_tokens_and_their_frames(folder: Path) -> None:
    ears, heard = ears_with_trunk(folder), torch.rand(2, 48, 80)
    given = ears.before_training(heard)
    assert given.shape == (2, 24, 128 + 2 * 81) == (2, ears.config.encoder.input_frames, ears.config.encoder.input_dim)
    assert ears.trunk is not None
    torch.testing.assert_close(given[..., :128], ears.trunk(levelled(heard)[..., :-1]))
    torch.testing.assert_close(given[0, 3, 128 : 128 + 81], levelled(heard)[0, 6])
    assert not given.requires_grad


def test_another_kind_of_whisper_is_refused(tmp_path: Path) -> None:
    whisper(bands=128).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="hears 128 mel bands"):
        ears_with_trunk(tmp_path)
