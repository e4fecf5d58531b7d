"""A Whisper encoder that a CTranslate2 model holds is the same one in transformers' form."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import WhisperModel

from models.audio_features_hf import PretrainedFeatureConfig, load_pretrained
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ
from scripts.whisper_from_ctranslate2 import main
from tests.test_audio_features_hf import tiny_model

_NUMBER = {"float32": 0, "int8": 1, "int16": 2, "float16": 4}


def model_bin(variables: dict[str, NDArray[np.generic]], spec: str = "WhisperSpec") -> bytes:
    """What CTranslate2 writes: version 6, the model's kind and its revision, then variable by variable."""

    def text(words: str) -> bytes:
        return struct.pack("<H", len(words) + 1) + words.encode() + b"\0"

    parts = [struct.pack("<I", 6), text(spec), struct.pack("<II", 3, len(variables))]
    for name, found in variables.items():
        parts += [text(name), struct.pack(f"<B{found.ndim}I", found.ndim, *found.shape)]
        parts += [struct.pack("<BI", _NUMBER[found.dtype.name], found.nbytes), found.tobytes()]
    return b"".join(parts)


def variables_of(model: WhisperModel) -> dict[str, NDArray[np.generic]]:
    """Its encoder under CTranslate2's names: queries, keys and values in one, keys with a bias of nothing."""
    state = {name: weight.numpy() for name, weight in model.encoder.state_dict().items()}
    found = {
        f"encoder/{name}/{kind}": state[f"{name}.{kind}"] for name in ("conv1", "conv2") for kind in ("weight", "bias")
    }
    found["encoder/position_encodings/encodings"] = state["embed_positions.weight"]
    norms = {"encoder/layer_norm": "layer_norm"}
    for layer in range(len(model.encoder.layers)):
        there, here = f"encoder/layer_{layer}", f"layers.{layer}"
        norms |= {f"{there}/self_attention/layer_norm": f"{here}.self_attn_layer_norm"}
        norms |= {f"{there}/ffn/layer_norm": f"{here}.final_layer_norm"}
        for name, of in (
            ("ffn/linear_0", "fc1"),
            ("ffn/linear_1", "fc2"),
            ("self_attention/linear_1", "self_attn.out_proj"),
        ):
            for kind in ("weight", "bias"):
                found[f"{there}/{name}/{kind}"] = state[f"{here}.{of}.{kind}"]
        parts = [f"{here}.self_attn.{of}_proj" for of in "qkv"]
        nothing = np.zeros_like(state[f"{parts[0]}.bias"])
        found[f"{there}/self_attention/linear_0/weight"] = np.concatenate([state[f"{part}.weight"] for part in parts])
        found[f"{there}/self_attention/linear_0/bias"] = np.concatenate(
            [state.get(f"{part}.bias", nothing) for part in parts]
        )
    for name, of in norms.items():
        found |= {f"{name}/gamma": state[f"{of}.weight"], f"{name}/beta": state[f"{of}.bias"]}
    found["encoder/num_heads"] = np.array(2, np.int16)
    return found


@pytest.fixture
def model() -> WhisperModel:
    """A tiny one with 64 channels to a head, whose parts all matter."""
    import transformers

    torch.manual_seed(1)
    config = tiny_model("whisper").config
    config.update({"d_model": 128, "encoder_attention_heads": 2})
    found = transformers.WhisperModel(config).eval()
    for weight in found.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return found


def test_the_encoder_is_the_same(model: WhisperModel, tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(model_bin(variables_of(model)))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 0
    made = WhisperModel.from_pretrained(tmp_path / "out").eval()
    heard = torch.randn(1, 80, 3000)
    with torch.no_grad():
        there, here = (one.encoder(heard).last_hidden_state for one in (model, made))
    torch.testing.assert_close(here, there)


def test_an_audio_front_end_is_made_of_it(model: WhisperModel, tmp_path: Path) -> None:
    halves = {
        name: found.astype(np.float16) if found.dtype == np.float32 else found
        for name, found in variables_of(model).items()
    }
    (tmp_path / "model.bin").write_bytes(model_bin(halves))
    assert main([str(tmp_path), str(tmp_path / "out")]) == 0
    config = PretrainedFeatureConfig("whisper", SAMPLE_RATE_HZ, AUDIO_WINDOW_SAMPLES // 2)
    features, _ = load_pretrained(str(tmp_path / "out"), config)
    assert features(torch.randn(2, config.window_samples)).shape == (2, config.tokens, 128)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (model_bin({}, "TransformerSpec"), "holds TransformerSpec, not Whisper"),
        (model_bin({"encoder/conv1/weight": np.zeros((2, 2, 3), np.int8)}), "quantised to int8"),
        (model_bin({"encoder/conv1/weight": np.zeros((2, 2, 3), np.float32)})[:-4], "no whole CTranslate2 model"),
        (b"hello", "no whole CTranslate2 model"),
        (model_bin({"encoder/num_heads": np.array(6, np.int16)}), "lacks encoder/conv1/weight"),
    ],
)
def test_what_is_no_whisper_is_told(
    content: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.bin").write_bytes(content)
    assert main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
