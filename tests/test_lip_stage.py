"""The audio encoder's fit to the tracked lips: what it aims at, that it gets there, and that it resumes exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.audio_encoder import AudioEncoder
from models.checkpoint import load_checkpoint
from tests.training_material import drawn_dataset, untrained_sync
from training.data import FaceData
from training.distributed import Workers
from training.generator import Generator
from training.lip_stage import COMPONENTS, LipModel, evaluate_lips, lip_error, lip_parameters, train_lips
from training.presets import LipPreset
from training.sound import MelSound

CPU = torch.device("cpu")
PRESET = LipPreset(steps=40, batch=48, warmup=4, evaluate_every=20)


@pytest.fixture(scope="module")
def material() -> tuple[FaceData, MelSound]:
    dataset = drawn_dataset()
    return FaceData.load(dataset, CPU), MelSound(dataset, CPU)


@pytest.fixture(scope="module")
def sync(material: tuple[FaceData, MelSound]) -> dict[str, Any]:
    """An untrained SyncNet."""
    return untrained_sync(material[1], gate_open=False)


def train(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], folder: Path, preset: LipPreset = PRESET
) -> dict[str, Any]:
    return train_lips(*material, sync, preset, 1, folder, Workers(), show_progress=False)


def test_parameters_are_scaled_by_the_training_frames_and_blind_to_lost_ones(
    material: tuple[FaceData, MelSound],
) -> None:
    data = material[0]
    lost = data.dataset.valid_T.copy()
    lost[100] = False
    points = data.dataset.landmarks_TK2.copy()
    points[100] = np.nan
    dataset = dataclasses.replace(data.dataset, valid_T=lost, landmarks_TK2=points)
    frames = torch.cat([torch.arange(100), torch.arange(101, 240)])
    found = lip_parameters(dataset, frames)
    assert found.shape == (300, COMPONENTS + 1) and bool(torch.isfinite(found).all())
    assert bool((found[100] == 0).all())
    assert found[frames, 0].std().item() == pytest.approx(1, abs=1e-3)
    assert found[frames, -1].std().item() == pytest.approx(1, abs=1e-3)
    spread = found[frames, :COMPONENTS].std(dim=0)
    assert bool((spread.diff() <= 1e-4).all())  # the first component carries the most
    # The drawn mouth knows one movement of its own; the face's sway is another. Both must be found.
    opening = torch.from_numpy(dataset.opening_T)[frames]
    r = torch.corrcoef(torch.cat([found[frames, :2].T, opening[None]]))[2, :2]
    assert float(r.square().sum()) > 0.95


def test_closed_lips_in_speech_count_three_times() -> None:
    target = torch.zeros(4, COMPONENTS + 1)
    target[:, -1] = torch.tensor([-1.0, 1.0, -1.0, 1.0])  # closed, open, closed in a pause, open in a pause
    gate = torch.tensor([1.0, 1.0, 0.0, 0.0])
    errors = [float(lip_error(target + torch.eye(4)[i, :, None], target, gate, torch.tensor(-0.5))) for i in range(4)]
    assert errors == pytest.approx([0.75, 0.25, 0.25, 0.25])


def test_the_encoder_learns_how_far_the_mouth_opens(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path
) -> None:
    data, sound = material
    torch.manual_seed(1)
    target = lip_parameters(data.dataset, data.windows("train", 1))
    untrained = evaluate_lips(LipModel(AudioEncoder(sound.encoder_config())), data, sound, "val", target)
    best = train(material, sync, tmp_path, dataclasses.replace(PRESET, steps=80))
    assert best["held_out"]["r"] > 0.5 and abs(untrained["r"]) < 0.5
    assert best["held_out"]["l1"] < 0.7 * untrained["l1"]


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(material, sync, tmp_path / "whole")
    steps = 0
    step = torch.optim.AdamW.step

    def killed(self: torch.optim.AdamW, *arguments: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps > 25:
            raise KeyboardInterrupt
        return step(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.AdamW, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            train(material, sync, tmp_path / "killed")
    assert load_checkpoint(tmp_path / "killed" / "last.pt")["step"] == 20
    resumed = train(material, sync, tmp_path / "killed")
    for name, value in whole["model"].items():
        assert torch.equal(value, resumed["model"][name]), name
    assert whole["held_out"] == resumed["held_out"]


def test_the_generator_starts_from_the_fitted_encoder(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path
) -> None:
    best = train(material, sync, tmp_path, dataclasses.replace(PRESET, steps=4, evaluate_every=2))
    generator = Generator.start_from(best, widths=(8, 8, 16, 16, 16))
    before = sync["model"]["audio.pool.weight"]
    assert torch.equal(generator.audio.pool.weight, best["model"]["audio.pool.weight"])
    assert not torch.equal(generator.audio.pool.weight, before)
