"""Pretrained front ends: real loading of tiny checkpoints, time alignment, export, and the feature cache."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.audio_features_hf import (
    MODEL_CLASSES,
    AudioModelError,
    PretrainedFeatureConfig,
    PretrainedFeatures,
    load_pretrained,
    middle_layers,
)
from recipe.audio_window import clip_windows
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ
from training.feature_cache import cached_features

KINDS = tuple(MODEL_CLASSES)
WINDOW = 16_000


def config_of(kind: str) -> PretrainedFeatureConfig:
    return PretrainedFeatureConfig(kind, SAMPLE_RATE_HZ, AUDIO_WINDOW_SAMPLES // 2)


def tiny_model(kind: str) -> Any:
    """Four layers of 32 channels whose attention adds nothing, so that a sound stays where it is in time."""
    import transformers

    torch.manual_seed(0)
    if kind == "whisper":
        config = transformers.WhisperConfig(
            d_model=32,
            encoder_layers=4,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            vocab_size=8,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=1,
        )
    else:
        family = {"hubert": transformers.HubertConfig, "wav2vec2": transformers.Wav2Vec2Config}[kind]
        config = family(
            hidden_size=32,
            num_hidden_layers=4,
            num_attention_heads=2,
            intermediate_size=64,
            conv_dim=(16,) * 7,
            feat_extract_norm="layer",
            num_conv_pos_embeddings=4,
            num_conv_pos_embedding_groups=2,
        )
    model = getattr(transformers, MODEL_CLASSES[kind])(config)
    for layer in model.encoder.layers:
        attention = layer.self_attn if kind == "whisper" else layer.attention
        torch.nn.init.zeros_(attention.out_proj.weight)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("speech models")
    for kind in KINDS:
        tiny_model(kind).save_pretrained(root / kind)
        preprocessing = {"do_normalize": kind == "hubert", "sampling_rate": 16_000}
        (root / kind / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return {kind: root / kind for kind in KINDS}


@pytest.fixture(scope="module")
def front_ends(folders: dict[str, Path]) -> dict[str, PretrainedFeatures]:
    return {kind: load_pretrained(str(folder), config_of(kind))[0] for kind, folder in folders.items()}


def room_tone(count: int = 1) -> torch.Tensor:
    return 1e-3 * torch.randn(count, WINDOW, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kind", KINDS)
def test_shape_and_layers(front_ends: dict[str, PretrainedFeatures], kind: str) -> None:
    front_end = front_ends[kind]
    features = front_end(room_tone(2))
    assert features.shape == (2, 24, front_end.feature_dim) and front_end.feature_dim == 32
    assert front_end.window_samples == WINDOW
    assert features.isfinite().all() and features.std() > 0.01
    assert front_end.layers == range(2, 4)
    assert not any(p.requires_grad for p in front_end.parameters())
    assert not front_end.train().training


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("offset_ms", [-200, -80, 0, 100, 220])
def test_a_burst_moves_the_token_of_its_time(
    front_ends: dict[str, PretrainedFeatures], kind: str, offset_ms: int
) -> None:
    front_end, quiet = front_ends[kind], room_tone()
    at = front_end.config.centre_sample + offset_ms * 16
    burst = quiet.clone()
    burst[0, at - 120 : at + 120] += 0.02 * torch.randn(240, generator=torch.Generator().manual_seed(2))
    response = (front_end(burst) - front_end(quiet)).norm(dim=2)[0]
    response = response - response.median()  # normalising and Whisper's floor change every token a little
    token = torch.arange(24)
    weight = response.clamp_min(0).square()
    found_ms = (((token - 11.5) * weight).sum() / weight.sum()).item() * 502 / 24
    assert found_ms == pytest.approx(offset_ms, abs=20)


def test_mean_of_the_middle_layers() -> None:
    assert middle_layers(12) == range(6, 10)
    assert middle_layers(24) == range(12, 19)
    assert middle_layers(4) == range(2, 4)
    assert middle_layers(1) == range(1, 2)


def test_hubert_equals_transformers_own_hidden_states(
    folders: dict[str, Path], front_ends: dict[str, PretrainedFeatures]
) -> None:
    import transformers

    model = transformers.HubertModel.from_pretrained(folders["hubert"], local_files_only=True).eval()
    pcm_BS = room_tone(2)
    normalised = transformers.Wav2Vec2FeatureExtractor(do_normalize=True)(
        list(pcm_BS.numpy()), sampling_rate=16_000, return_tensors="pt"
    )["input_values"]
    with torch.inference_mode():
        hidden = model(normalised, output_hidden_states=True).hidden_states
    expected = front_ends["hubert"].mixing @ ((hidden[2] + hidden[3]) / 2)
    torch.testing.assert_close(front_ends["hubert"](pcm_BS), expected, atol=2e-4, rtol=1e-3)


def test_whisper_hears_what_its_feature_extractor_gives(front_ends: dict[str, PretrainedFeatures]) -> None:
    import transformers

    time = torch.arange(WINDOW) / 16_000
    pcm_BS = room_tone() + 0.2 * torch.sin(2 * torch.pi * 300 * time)
    extractor = transformers.WhisperFeatureExtractor()
    expected = extractor(pcm_BS[0].numpy(), sampling_rate=16_000, return_tensors="pt")["input_features"]
    found = front_ends["whisper"]._input(pcm_BS)
    assert found.shape == (1, 80, 100)
    torch.testing.assert_close(found[..., :98], expected[..., :98], atol=1e-3, rtol=0)  # then it hears padding


def test_identity_names_the_weights(folders: dict[str, Path], tmp_path: Path) -> None:
    config = config_of("hubert")
    identity = load_pretrained(str(folders["hubert"]), config)[1]
    copied = Path(shutil.copytree(folders["hubert"], tmp_path / "hubert"))
    assert load_pretrained(str(copied), config)[1] == identity
    model = tiny_model("hubert")
    with torch.no_grad():
        model.feature_projection.projection.bias += 1
    model.save_pretrained(tmp_path / "other" / "hubert")
    assert load_pretrained(str(tmp_path / "other" / "hubert"), config)[1] != identity


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(AudioModelError, match=r"no directory '.*nothing' with a hubert model; put config\.json"):
        load_pretrained(str(tmp_path / "nothing"), config_of("hubert"))


def test_folder_without_weights_or_with_a_pickle(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(AudioModelError, match=r"has no config\.json"):
        load_pretrained(str(tmp_path), config_of("hubert"))
    shutil.copy(folders["hubert"] / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(AudioModelError, match="pickled weights are not loaded"):
        load_pretrained(str(tmp_path), config_of("hubert"))


def test_other_kinds_are_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(AudioModelError, match="type 'wav2vec2', expected 'hubert'"):
        load_pretrained(str(folders["wav2vec2"]), config_of("hubert"))
    with pytest.raises(AudioModelError, match="choose one of hubert, wav2vec2, whisper"):
        load_pretrained(str(folders["hubert"]), config_of("mfcc"))


def test_window_of_another_length_is_refused(front_ends: dict[str, PretrainedFeatures]) -> None:
    with pytest.raises(ValueError, match="8032 samples, hubert features need 16000"):
        front_ends["hubert"](torch.zeros(1, AUDIO_WINDOW_SAMPLES))


@pytest.mark.filterwarnings("ignore")
def test_hubert_exports_to_onnx(front_ends: dict[str, PretrainedFeatures], tmp_path: Path) -> None:
    torch.onnx.export(
        front_ends["hubert"],
        (room_tone(2),),
        tmp_path / "hubert.onnx",
        input_names=["pcm_BS"],
        dynamic_shapes=({0: torch.export.Dim("B")},),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(tmp_path / "hubert.onnx", providers=["CPUExecutionProvider"])
    pcm_BS = room_tone(3)
    (found,) = session.run(None, {"pcm_BS": pcm_BS.numpy()})
    np.testing.assert_allclose(found, front_ends["hubert"](pcm_BS).numpy(), atol=1e-4)


def test_cache_is_made_once_and_again_when_the_sound_changes(
    front_ends: dict[str, PretrainedFeatures], tmp_path: Path
) -> None:
    front_end = front_ends["hubert"]
    pcm_S = 0.1 * np.random.default_rng(0).standard_normal(40 * 640).astype(np.float32)
    made = cached_features(tmp_path, pcm_S, [[0, 20], [20, 38]], 40, front_end, "a", batch=16)
    assert made.dtype == np.float16 and made.shape == (40, 24, 32)
    windows = clip_windows(pcm_S, [[0, 20], [20, 38]], range(17, 22), WINDOW)
    with torch.inference_mode():
        np.testing.assert_allclose(made[17:22], front_end(torch.from_numpy(windows)), atol=5e-3)
    file = tmp_path / "audio_features_hubert.npy"
    before = file.stat().st_mtime_ns
    cached_features(tmp_path, pcm_S, [[0, 20], [20, 38]], 40, front_end, "a")
    assert file.stat().st_mtime_ns == before
    cached_features(tmp_path, pcm_S * np.float32(0.5), [[0, 20], [20, 38]], 40, front_end, "a")
    assert file.stat().st_mtime_ns > before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audio_features_hubert.json", file.name]


def test_interrupted_cache_leaves_nothing(front_ends: dict[str, PretrainedFeatures], tmp_path: Path) -> None:
    class Interrupting(PretrainedFeatures):
        calls = 0

        def forward(self, pcm_BS: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().forward(pcm_BS)

    front_end = Interrupting(tiny_model("hubert"), config_of("hubert"), normalise=False)
    with pytest.raises(KeyboardInterrupt):
        cached_features(tmp_path, np.zeros(12_800, np.float32), [[0, 20]], 20, front_end, "a", batch=8)
    assert list(tmp_path.iterdir()) == []


def test_windows_stop_at_the_clip(front_ends: dict[str, PretrainedFeatures]) -> None:
    pcm_S = np.arange(1, 40 * 640 + 1, dtype=np.float32)
    front_end = front_ends["hubert"]
    inside, first = clip_windows(pcm_S, [[10, 30]], range(12, 13), WINDOW)[0], 12 * 640 + 320 - 11_984
    assert inside[front_end.config.centre_sample] == 12 * 640 + 320 + 1
    np.testing.assert_array_equal(inside[6400 - first :], pcm_S[6400 : first + WINDOW])
    assert inside[: 6400 - first].max() == 0
    assert clip_windows(pcm_S, [[10, 30]], range(35, 36), WINDOW).max() == 0
