"""Ears: closure is an answer of its own, loudness is none, and training hears what the judge asks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import pytest
import torch

from models.audio_encoder import LogMel
from models.checkpoint import load_checkpoint
from models.ears import EarsGraph, levelled
from recipe.articulation.mouth_units import MOUTH_UNITS, opening_mm, shape_units
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.errors import UserError
from recipe.files import sha256
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLES_PER_FRAME
from recipe.shipped import EARS_FILE
from training.ears.commands import judge, run, write_ears
from training.ears.material import HELD_OUT_VOICES, Material
from training.ears.shipped import shipped_ears
from training.ears.stage import EarsPreset, EarsStage, ears_error, new_ears, opening_scores
from training.loop import Check, Judgement
from training.sound import mel_config

_FRAMES = 60


def drawn_material() -> Material:
    """Bursts of a hum: open while it sounds, a closed mouth between them; the last of four clips is held out."""
    rng = np.random.default_rng(328)
    open_U, units, pcm, meet = shape_units("aa"), [], [], []
    for _ in range(4):
        loud_T = np.repeat(rng.random(_FRAMES // 6) < 0.5, 6)
        time_S = np.arange(_FRAMES * SAMPLES_PER_FRAME) / 16000
        hum_S = 0.2 * np.sign(np.sin(2 * np.pi * rng.uniform(100, 200) * time_S))
        pcm.append(hum_S * np.repeat(loud_T, SAMPLES_PER_FRAME) + 0.001 * rng.standard_normal(len(time_S)))
        units.append(loud_T[:, None] * open_U)
        meet.append(~loud_T)
    return Material(
        pcm_S=np.concatenate(pcm).astype(np.float32),
        units_TU=np.concatenate(units).astype(np.float32),
        meet_T=np.concatenate(meet),
        clips=[(number * _FRAMES, (number + 1) * _FRAMES) for number in range(4)],
        voices=["a", "a", "b", "real:c"],
        held_out=[False, False, False, True],
        made_of="a test",
    )


def test_lips_that_surely_meet_are_closed_and_a_shut_gate_rests() -> None:
    ears = new_ears().eval()
    features = torch.randn(2, mel_config().frames, mel_config().bins)
    with torch.no_grad():
        ears.units[-1].weight.zero_()
        ears.units[-1].bias.copy_(torch.from_numpy(shape_units("aa")))
        ears.closure[-1].weight.zero_()
        ears.closure[-1].bias.fill_(-9.0)
        opened = ears.tell(features, torch.tensor([1.0, 0.0])).numpy()
        ears.closure[-1].bias.fill_(9.0)
        closed = ears.tell(features, torch.ones(2)).numpy()
    assert opening_mm(opened[0]) > 10
    assert not opened[1].any()
    assert opening_mm(closed[0]) == 0
    np.testing.assert_allclose(closed[0, MOUTH_UNITS.index("tongueLow")], 0.3, atol=1e-6)  # the tongue goes on


def test_loud_and_quiet_voices_look_alike_but_for_the_level() -> None:
    features = torch.rand(1, 48, 80) * 0.5 - 0.3
    quiet, loud = levelled(features - 0.2), levelled(features + 0.1)
    torch.testing.assert_close(quiet[..., :80], loud[..., :80])
    torch.testing.assert_close(loud[..., 80] - quiet[..., 80], torch.full((1, 48), 0.3))


def test_silence_is_not_lifted_to_speech() -> None:
    assert levelled(torch.full((1, 48, 80), -1.5))[..., :80].max() < 0


def test_an_unsaid_closure_costs_and_a_said_one_does_not() -> None:
    units, meet = torch.zeros(2, len(MOUTH_UNITS)), torch.tensor([True, True])
    right, wrong = (ears_error(units, logit * torch.ones(2), units, meet) for logit in (8.0, -8.0))
    assert sum(right.values()) < 0.01 < 1 < wrong["closure"]
    moving = torch.zeros(2, len(MOUTH_UNITS))
    moving[1, MOUTH_UNITS.index("jawOpen")] = 0.3
    assert ears_error(units, -8 * torch.ones(2), moving, ~meet)["motion"] > 0.5


def test_scores_of_a_perfect_and_of_a_mumbling_mouth() -> None:
    true_T = np.array([0, 0, 8, 9, 0, 0, 7, 12, 0.0])
    meet_T = np.array([1, 1, 0, 0, 1, 1, 0, 0, 0], bool)
    perfect = opening_scores(true_T, true_T, meet_T)
    assert perfect == pytest.approx(
        {"r": 1, "ccc": 1, "amplitude": 1, "closed_percent": 100, "false_percent": 0, "closures": 2}
    )
    mumbling = opening_scores(4 + 0.1 * true_T, true_T, meet_T)
    assert mumbling["r"] == pytest.approx(1)
    assert mumbling["ccc"] < 0.3
    assert mumbling["amplitude"] == pytest.approx(0.1)
    assert mumbling["closed_percent"] == 0
    shut = opening_scores(np.zeros(9), true_T, meet_T)
    assert shut["closed_percent"] == shut["false_percent"] == 100


def test_a_short_training_learns_when_the_mouth_opens() -> None:
    torch.manual_seed(1)
    stage = EarsStage(drawn_material(), EarsPreset(steps=30, pairs=16), torch.device("cpu"))
    stage.optimiser.param_groups[0]["lr"] = 1e-3
    before = stage.judge(0, lambda: None)
    losses = [stage.step(k, torch.Generator().manual_seed(k), lambda: None)["loss"] for k in range(30)]
    after = stage.judge(30, lambda: None)
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])
    assert before.score is not None
    assert after.score is not None
    assert after.score > before.score + 0.2
    assert list(after.best["held_out"]) == ["real:c"]  # nothing that was trained on is judged
    assert after.best["held_out"]["real:c"]["r"] > 0.3


def test_what_is_exported_tells_the_same_in_a_quarter_of_the_space(tmp_path: Path) -> None:
    ears, path = new_ears().eval(), tmp_path / "ears.onnx"
    write_ears(ears, path)
    pcm = (0.1 * np.random.default_rng(1).standard_normal((3, AUDIO_WINDOW_SAMPLES))).astype(np.float32)
    gate = np.array([1, 0.5, 0], np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (told,) = session.run([EMBEDDING], {PCM: pcm, GATE: gate})
    with torch.no_grad():
        wanted = EarsGraph(LogMel(mel_config()), ears)(torch.from_numpy(pcm), torch.from_numpy(gate))
    np.testing.assert_allclose(told, wanted.numpy(), atol=0.02)  # weights in eight bits
    assert path.stat().st_size < 6e6


def test_a_finished_training_writes_the_network_and_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ears.commands.load_material", lambda *_: drawn_material())
    out = tmp_path / "ears.onnx"
    run(None, EarsPreset.of(steps=2, pairs=4), 1, 1.0, "cpu", tmp_path / "run", out)
    card = json.loads(out.with_suffix(".json").read_text())
    assert card["sha256"] == sha256(out) and card["step"] == 2
    assert set(card["heard"]) == {"clean", "noise", "room"}
    assert card["heard"]["clean"]["real_r"] == card["held_out"]["real:c"]["r"]


@pytest.mark.parametrize("with_what", ["start", "last"])
def test_the_mean_of_two_of_a_training_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_what: Literal["start", "last"]
) -> None:
    monkeypatch.setattr("training.ears.commands.load_material", lambda *_: drawn_material())
    judge_anyway = EarsStage.judge

    def first_is_best(stage: EarsStage, number: int, check: Check) -> Judgement:
        return replace(judge_anyway(stage, number, check), score=-number)

    monkeypatch.setattr(EarsStage, "judge", first_is_best)
    out, folder = tmp_path / "mean.onnx", tmp_path / "run"
    preset = replace(EarsPreset.of(2, 4, learning_rate=0.05), evaluate_every=1, warmup=1)
    run(None, preset, 1, 1.0, "cpu", folder, out, start=EARS_FILE, mean=with_what)
    best, last = (load_checkpoint(folder / name)["model"] for name in ("best.pt", "last.pt"))
    other, mean = shipped_ears().state_dict() if with_what == "start" else last, shipped_ears(out).state_dict()
    name = "units.1.weight"
    assert (best[name] - other[name]).abs().max() > 0.01
    torch.testing.assert_close(mean[name], (best[name] + other[name]) / 2, rtol=0, atol=0.01)  # eight bits


def test_a_mean_with_the_start_needs_one(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--start"):
        run(None, EarsPreset.of(2, 4), 1, 1.0, "cpu", tmp_path / "run", tmp_path / "ears.onnx", mean="start")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_shipped_ears_understand_voices_they_never_heard(tmp_path: Path) -> None:
    rows = judge(None, 0.1, tmp_path / "material.npz", EARS_FILE)
    assert set(rows) == set(HELD_OUT_VOICES)
    assert min(row["ccc"] for row in rows.values()) > 0.8
    assert np.mean([row["ccc"] for row in rows.values()]) > 0.93
    closures = sum(row["closures"] for row in rows.values())
    assert closures > 30
    assert sum(row["closures"] * row["closed_percent"] for row in rows.values()) / closures > 94
