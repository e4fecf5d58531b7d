"""Ears of a film avatar are renewed without its recording: weights go back where they came from, or nothing changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from models.audio_encoder import LogMel
from models.ears import EarsConfig
from models.fitted_ears import FittedEars, FittedEarsGraph
from models.whisper_trunk import WhisperTrunkConfig
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.avatar_format import AUDIO_ENCODER_FILE, EMBEDDING, GATE, PCM, check_files, read_manifest
from recipe.errors import UserError
from recipe.film.shape import ARTICULATION
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from tests.test_ears import drawn_material
from training.export import export_graph
from training.film.renewal import RenewalPreset, RenewalStage, renew
from training.loop import Judgement
from training.sound import mel_config
from training.stored_weights import StoredWeightsError, read_weights, replace_weights
from training.weights import store_as_int8

CPU = torch.device("cpu")
DEMO = Path(__file__).resolve().parents[1] / "avatars" / "demo"
FOLDED = ("ears.encoder.silence", "ears.closed_U", "ears.kept_U", "facts_3")
SHORT = RenewalPreset(steps=4, pairs=4)


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    shutil.copytree(DEMO, tmp_path / "demo")
    return tmp_path / "demo"


OLDER = EarsConfig(len(MOUTH_UNITS))
SHAPES = {"older": OLDER, "trunk": EarsConfig.with_trunk(len(MOUTH_UNITS), WhisperTrunkConfig())}


def fitted(seed: int, shape: EarsConfig = OLDER) -> FittedEars:
    torch.manual_seed(seed)
    network = FittedEars(shape, ARTICULATION)
    with torch.no_grad():  # the exporter stores equal weights once
        for weight in network.parameters():
            weight += 0.01 * torch.randn_like(weight)
    person = torch.randn(3, ARTICULATION, generator=torch.Generator().manual_seed(0))  # what the graph has folded
    network.describe_person(*person, 3.0, 1.0)
    return network.eval()


def written(network: FittedEars, path: Path) -> Path:
    example = (torch.zeros(2, AUDIO_WINDOW_SAMPLES), torch.ones(2))
    export_graph(FittedEarsGraph(LogMel(mel_config()), network).eval(), example, path, [PCM, GATE], [EMBEDDING])
    return path


def told(path: Path) -> np.ndarray:
    pcm = (0.1 * np.random.default_rng(1).standard_normal((3, AUDIO_WINDOW_SAMPLES))).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run([EMBEDDING], {PCM: pcm, GATE: np.ones(3, np.float32)})
    return np.asarray(found)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eight_bits", [False, True])
def test_weights_are_read_from_a_graph_and_put_into_it(tmp_path: Path, eight_bits: bool, shape: str) -> None:
    first, second = fitted(1, SHAPES[shape]), fitted(2, SHAPES[shape])
    paths = [tmp_path / "first.onnx", tmp_path / "second.onnx"]
    for network, path in zip((first, second), paths, strict=True):
        written(network, path)
        if eight_bits:
            store_as_int8(path)
    read = read_weights(paths[0], fitted(3, SHAPES[shape]), "fitted.", FOLDED)
    for name, value in first.state_dict().items():
        if name not in FOLDED:
            torch.testing.assert_close(read[name], value, atol=0.01 if eight_bits else 0, rtol=0, msg=name)
    assert np.abs(told(paths[0]) - told(paths[1])).max() > 0.1
    size = paths[0].stat().st_size
    replace_weights(paths[0], second, "fitted.", FOLDED)
    assert paths[0].stat().st_size == size
    np.testing.assert_allclose(told(paths[0]), told(paths[1]), atol=1e-5)


def test_ears_of_the_older_shape_are_taught_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    path = written(fitted(1), tmp_path / AUDIO_ENCODER_FILE)
    stage = RenewalStage(path, drawn_material(), SHORT, CPU)
    assert stage.fitted.ears.trunk is None and stage.shipped.trunk is not None
    assert "older shape" in caplog.text
    assert all(np.isfinite(value) for value in stage.step(0, torch.Generator().manual_seed(1), lambda: None).values())


def test_a_graph_of_something_else_is_refused(demo: Path) -> None:
    with pytest.raises(StoredWeightsError, match="holds no weights rest_P"):
        read_weights(demo / AUDIO_ENCODER_FILE, fitted(1), "somebody.", FOLDED)


def test_the_ears_learn_to_tell_in_noise_what_they_told_in_quiet(demo: Path) -> None:
    torch.manual_seed(1)
    stage = RenewalStage(demo / AUDIO_ENCODER_FILE, drawn_material(), replace(SHORT, pairs=12), CPU)
    stage.optimiser.param_groups[0]["lr"] = 3e-4
    losses = [stage.step(k, torch.Generator().manual_seed(k % 2), lambda: None)["articulation"] for k in range(24)]
    assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])
    rows = stage.judge(24, lambda: None).scores
    assert {"r", "r_noise", "r_room", "closed_percent_room"} <= set(rows)
    assert all(np.isfinite(value) for value in rows.values())


def judged(monkeypatch: pytest.MonkeyPatch, scores: list[float]) -> None:
    """Let the ears be judged so, one score after the other."""
    left = iter(scores)

    def judge(stage: RenewalStage, number: int, check: object) -> Judgement:
        score = next(left)
        best = {"model": stage.fitted.state_dict(), "scores": {"r": score}, "score": score}
        return Judgement(scores={"r": score}, score=score, best=best)

    monkeypatch.setattr(RenewalStage, "judge", judge)


def test_better_ears_take_the_place_of_the_old_ones(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged(monkeypatch, [0.5, 0.4, 0.6, 0.55, 0.58])
    before, old = told(demo / AUDIO_ENCODER_FILE), read_manifest(demo)
    renew(demo, drawn_material(), SHORT, tmp_path / "run", CPU)
    manifest = read_manifest(demo)
    check_files(demo, manifest)
    assert manifest.versions["renewed"]["steps"] == 2
    assert manifest.versions["renewed"]["metrics_from_before"] is True
    assert manifest.metrics == old.metrics
    assert {name for name, found in manifest.files.items() if found != old.files[name]} == {AUDIO_ENCODER_FILE}
    assert 0 < np.abs(told(demo / AUDIO_ENCODER_FILE) - before).max() < 0.5


def test_worse_ears_change_nothing(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judged(monkeypatch, [0.7, 0.4, 0.6, 0.55, 0.58])
    before = {path.name: path.read_bytes() for path in demo.iterdir()}
    renew(demo, drawn_material(), SHORT, tmp_path / "run", CPU)
    assert "better as they are" in caplog.text
    assert {path.name: path.read_bytes() for path in demo.iterdir()} == before


def test_only_films_can_be_renewed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="kind video"):
        renew(DEMO.with_name("demo-unet"), drawn_material(), SHORT, tmp_path / "run", CPU)


def test_the_command_says_what_is_wrong(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    from training.film import renew as command

    asked = ["nobody", "--avatars_dir", str(tmp_path), "--run", str(tmp_path / "run"), "--share", "0.001"]
    assert command.main(asked) == 2
    assert "nobody" in caplog.text
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]
