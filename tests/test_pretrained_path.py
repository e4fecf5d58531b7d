"""An avatar that listens through a pretrained speech model: training features, exported graph, serving windows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import AudioEncoder, AudioFrontEnd
from models.audio_features_hf import load_pretrained
from recipe.audio_window import window_pcm
from recipe.recipe_328 import PRETRAINED_WINDOW_SAMPLES, recipe, window_samples
from services.frame_generation_service import HeardSound
from tests.test_audio_features_hf import config_of, tiny_model
from tests.training_material import drawn_dataset
from training.data import spans
from training.export import SoundGraph, export_graph, front_end_samples
from training.sound import PretrainedSound, load_front_end, load_sound


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset328:
    """The drawn face, prepared for a tiny HuBERT."""
    root = tmp_path_factory.mktemp("hubert")
    model = root / "tiny-hubert"
    tiny_model("hubert").save_pretrained(model)
    _, identity = load_pretrained(str(model), config_of("hubert"))
    drawn = drawn_dataset(120)
    manifest = {**drawn.manifest, "recipe": recipe("hubert", identity), "audio_model": str(model)}
    splits = {"train": [(0, 70)], "val": [(80, 90)], "test": [(100, 120)]}
    return dataclasses.replace(drawn, folder=root, manifest=manifest, splits=splits)


@pytest.fixture(scope="module")
def sound(dataset: Dataset328) -> PretrainedSound:
    found = load_sound(dataset, torch.device("cpu"))
    assert isinstance(found, PretrainedSound)
    return found


def test_training_hears_what_the_front_end_hears_in_serving(dataset: Dataset328, sound: PretrainedSound) -> None:
    frames = torch.tensor([[50, 51, 52]])
    served = torch.from_numpy(window_pcm(dataset.audio_S, 50, 3, PRETRAINED_WINDOW_SAMPLES))
    with torch.no_grad():
        features = load_front_end("hubert", dataset.manifest["audio_model"])(served)
    torch.testing.assert_close(sound.features(frames)[0], features, atol=2e-3, rtol=1e-3)  # the cache is float16


def test_masks_differ_from_clip_to_clip_and_repeat_with_the_seed(sound: PretrainedSound) -> None:
    frames = spans(torch.tensor([20, 40, 60]), 2)
    first, again = (sound.features(frames, True, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, again)
    changed = (first != sound.features(frames)).any(dim=-1)  # clips, frames, tokens
    assert torch.equal(changed[:, 0], changed[:, 1])
    assert 0 < int(changed.sum()) < changed.numel() / 4


def test_silence_comes_from_its_own_stock(sound: PretrainedSound) -> None:
    silence = sound.silence(4, 2, torch.Generator().manual_seed(0))
    assert silence.shape == (4, 2, *sound.cached_TND.shape[1:])
    assert not torch.equal(silence[0, 0], silence[1, 0])


def test_the_exported_graph_takes_the_long_window(dataset: Dataset328, sound: PretrainedSound, tmp_path: Path) -> None:
    torch.manual_seed(0)
    front_end = AudioFrontEnd(sound.front_end(), AudioEncoder(sound.encoder_config())).eval()
    assert front_end_samples(front_end) == PRETRAINED_WINDOW_SAMPLES
    pcm_BS, gate_B = torch.zeros(2, PRETRAINED_WINDOW_SAMPLES), torch.ones(2)
    path = tmp_path / "audio_encoder.onnx"
    export_graph(SoundGraph(front_end), (pcm_BS, gate_B), path, ["pcm_BS", "gate_B"], ["embedding_BD"])
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    windows = window_pcm(dataset.audio_S, 55, 3, PRETRAINED_WINDOW_SAMPLES)
    (found,) = session.run(None, {"pcm_BS": windows, "gate_B": np.ones(3, np.float32)})
    with torch.no_grad():
        wanted = front_end(torch.from_numpy(windows), torch.ones(3)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_a_stream_cuts_the_long_windows_too(dataset: Dataset328) -> None:
    heard = HeardSound(window_samples("hubert"))
    pcm_S = dataset.audio_S[:20_000]
    windows = [w for start in range(0, 20_000, 777) for w in heard.push(pcm_S[start : start + 777])]
    windows += list(heard.finish())
    found = np.stack([w.pcm_S for w in windows])
    np.testing.assert_array_equal(found, window_pcm(pcm_S, 0, len(windows), PRETRAINED_WINDOW_SAMPLES))
    own = np.concatenate([w.own_pcm_S for w in windows])
    np.testing.assert_array_equal(own[:20_000], pcm_S)
