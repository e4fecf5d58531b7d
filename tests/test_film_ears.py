"""The shipped ears as a network, and how they are fitted to a person."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.audio_encoder import LogMel
from models.checkpoint import load_checkpoint
from models.ears import EarsGraph
from models.fitted_ears import FittedEarsGraph
from recipe.audio_window import window_pcm
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from recipe.shipped import EARS_FILE, ShippedNetworkError
from training.distributed import Workers
from training.ears.shipped import shipped_ears
from training.film.ears import Film, FitStage, fit_ears, fitted_ears
from training.presets import FitPreset
from training.sound import MelSound, mel_config

CPU = torch.device("cpu")
PRESET = FitPreset(steps=4, batch=6, warmup=1, evaluate_every=2)


@pytest.fixture(scope="module")
def sound(film: Film) -> MelSound:
    return MelSound(film.dataset, CPU)


@pytest.fixture(scope="module")
def heard(film: Film) -> torch.Tensor:
    """Windows of the presenter's sound, one per second."""
    windows = [window_pcm(film.dataset.audio_S, t, 1, AUDIO_WINDOW_SAMPLES) for t in range(5, 250, 25)]
    return torch.from_numpy(np.concatenate(windows))


def fit(film: Film, sound: MelSound, folder: Path, preset: FitPreset = PRESET) -> dict[str, Any]:
    return fit_ears(film, sound, preset, 1, folder, Workers())


@pytest.fixture(scope="module")
def whole(film: Film, sound: MelSound, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A short fit, uninterrupted."""
    return fit(film, sound, tmp_path_factory.mktemp("whole"))


def test_the_weights_give_what_the_graph_gives(heard: torch.Tensor) -> None:
    gate = torch.linspace(0, 1, len(heard))
    session = onnxruntime.InferenceSession(str(EARS_FILE), providers=["CPUExecutionProvider"])
    (told,) = session.run([EMBEDDING], {PCM: heard.numpy(), GATE: gate.numpy()})
    with torch.no_grad():
        ours = EarsGraph(LogMel(mel_config()), shipped_ears())(heard, gate).numpy()
    assert np.abs(told).max() > 0.1
    np.testing.assert_allclose(ours, told, atol=1e-5)


def test_other_ears_and_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShippedNetworkError, match="cannot be read"):
        shipped_ears(tmp_path / "ears.onnx")
    for file in (EARS_FILE, EARS_FILE.with_suffix(".json")):
        shutil.copy(file, tmp_path)
    other = tmp_path / EARS_FILE.name
    content = bytearray(other.read_bytes())
    content[len(content) // 2] ^= 1
    other.write_bytes(content)
    with pytest.raises(ShippedNetworkError, match="is not the network that"):
        shipped_ears(other)


def test_a_graph_without_all_the_weights_is_refused(tmp_path: Path) -> None:
    """Its card agrees with it, so only its content tells."""
    import onnx

    from recipe.files import sha256

    graph = onnx.load(str(EARS_FILE))
    kept = [tensor for tensor in graph.graph.initializer if not tensor.name.startswith("ears.closure")]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend(kept)
    other = tmp_path / "ears.onnx"
    onnx.save(graph, str(other))
    card = json.loads(EARS_FILE.with_suffix(".json").read_text())
    other.with_suffix(".json").write_text(json.dumps({**card, "sha256": sha256(other)}))
    with pytest.raises(ShippedNetworkError, match="holds no weights closure"):
        shipped_ears(other)


def test_the_fit_begins_with_what_a_linear_map_hears_and_steps_keep_it(film: Film, sound: MelSound) -> None:
    torch.manual_seed(1)
    stage = FitStage(film, sound, dataclasses.replace(PRESET, batch=16), Workers())
    for group in stage.optimiser.param_groups:
        group["lr"] = 3e-4

    def error() -> float:
        with torch.no_grad():
            told = stage.fitted.eval()(sound.features(stage.frames[::2]))[0]
        return float((told - stage.target_TP[stage.frames[::2]]).abs().mean())

    filmed = stage.target_TP[stage.frames]
    still = float((filmed - filmed.mean(0)).abs().mean())
    assert error() < 0.9 * still
    for number in range(6):
        losses = stage.step(number, torch.Generator().manual_seed(number), lambda: None)
        assert np.isfinite(list(losses.values())).all()
    assert error() < 0.9 * still


def test_what_is_right_for_every_voice_stays(whole: dict[str, Any], sound: MelSound) -> None:
    """The fitted ears say of closure what the shipped ones say."""
    fitted, shipped = fitted_ears(whole), shipped_ears()
    features = sound.features(torch.arange(0, 250, 5))
    with torch.no_grad():
        _, units, closure = fitted(features)
        before, sure = shipped(features)
    assert not torch.equal(closure, sure)
    assert float((closure.sigmoid() - sure.sigmoid()).abs().mean()) < 0.05
    assert float((units - before).abs().mean()) < 0.02


def test_silence_rests_and_sure_closure_closes(
    film: Film, sound: MelSound, whole: dict[str, Any], heard: torch.Tensor
) -> None:
    fitted = fitted_ears(whole)
    graph = FittedEarsGraph(LogMel(mel_config()), fitted).eval()
    with torch.no_grad():
        silent, spoken = graph(heard, torch.zeros(len(heard))), graph(heard, torch.ones(len(heard)))
    assert torch.equal(silent, fitted.rest_P.expand(len(heard), -1))
    closed_px = float(fitted.facts_3[1])
    pause_P = film.face.articulation_TP[sound.closed_frames].mean(0, keepdims=True)
    at_rest, in_pauses = (film.face.shape.gap_px(told)[0] for told in (fitted.rest_P[None].numpy(), pause_P))
    assert at_rest == pytest.approx(min(in_pauses, closed_px), abs=0.01)  # no rest is more open than closed lips
    assert float((spoken - silent).abs().max()) > 0.3

    features, answer = sound.features(torch.arange(20, 60)), fitted.ears.closure[-1]
    assert isinstance(answer, torch.nn.Linear)
    with torch.no_grad():
        answer.weight.zero_()
        answer.bias.fill_(-9.0)
        fitted.head.bias.add_(4 * fitted.opens_P / fitted.opens_P.norm())
        opened = fitted.tell(features, torch.ones(40))
        answer.bias.fill_(9.0)
        closed = fitted.tell(features, torch.ones(40))
    gap_open, gap_closed = (film.face.shape.gap_px(told.double().numpy()) for told in (opened, closed))
    assert gap_open.min() > closed_px + 3
    np.testing.assert_allclose(gap_closed, closed_px, atol=0.1)


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    film: Film, sound: MelSound, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps, step = 0, torch.optim.AdamW.step

    def killed(self: torch.optim.AdamW, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 2:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(film, sound, tmp_path / "killed")
    assert load_checkpoint(tmp_path / "killed" / "last.pt")["step"] == 2
    resumed = fit(film, sound, tmp_path / "killed")
    for name, value in whole["model"].items():
        assert torch.equal(value, resumed["model"][name]), name
    assert whole["held_out"] == resumed["held_out"]
