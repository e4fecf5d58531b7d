"""What makes two runs different: nothing that changes what is learned may share a checkpoint."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import load_checkpoint
from recipe.recipe_328 import recipe
from tests.training_material import drawn_dataset, untrained_sync
from training import lip_stage, syncnet_stage
from training.audio_augmentation import AudioAugmentation
from training.data import FaceData
from training.distributed import Workers
from training.lip_stage import train_lips
from training.presets import LipPreset, SyncNetPreset
from training.sound import MelSound
from training.syncnet_stage import SyncNetRun, train_syncnet

CPU = torch.device("cpu")
LIPS = LipPreset(steps=1, batch=8, warmup=1, evaluate_every=1)
SYNC = SyncNetRun(SyncNetPreset(steps=1, batch=8, warmup=1, evaluate_every=1), 1)

Material = tuple[FaceData, MelSound]


@pytest.fixture(scope="module")
def material() -> Material:
    dataset = drawn_dataset()
    return FaceData.load(dataset, CPU), MelSound(dataset, CPU)


def with_manifest(material: Material, change: Callable[[dict[str, Any]], object]) -> Material:
    manifest = copy.deepcopy(material[0].dataset.manifest)
    change(manifest)
    return dataclasses.replace(
        material[0], dataset=dataclasses.replace(material[0].dataset, manifest=manifest)
    ), material[1]


def fit_lips(material: Material, folder: Path) -> None:
    train_lips(*material, untrained_sync(material[1], gate_open=False), LIPS, 1, folder, Workers(), show_progress=False)


def fit_sync(material: Material, folder: Path) -> None:
    train_syncnet(*material, SYNC, folder, Workers(), show_progress=False)


def another_audio_model(manifest: dict[str, Any]) -> None:
    manifest["recipe"] = recipe() | {"audio_model": "another@123456789abc"}


def a_removed_offset(manifest: dict[str, Any]) -> None:
    manifest["av_offset"] = {"frames": 2, "removed": True}


@pytest.mark.parametrize("fit", [fit_lips, fit_sync])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (another_audio_model, "dataset.recipe.audio_model: '' -> 'another@123456789abc'"),
        (a_removed_offset, "dataset.av_offset_frames: 0 -> 2"),
    ],
)
def test_a_dataset_that_differs_in_one_fact_shares_no_checkpoint(
    material: Material,
    fit: Callable[[Material, Path], None],
    change: Callable[[dict[str, Any]], object],
    said: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fit(material, tmp_path / "run")
    fit(with_manifest(material, change), tmp_path / "run")
    assert (tmp_path / "run.old1" / "last.pt").is_file()
    assert load_checkpoint(tmp_path / "run" / "last.pt")["step"] == 1
    assert said in caplog.text


@pytest.mark.parametrize(
    ("fit", "module", "constant"),
    [
        (fit_lips, lip_stage, "_CLOSED_EXTRA"),
        (fit_lips, lip_stage, "_AUGMENT_SHARE"),
        (fit_sync, syncnet_stage, "_CONSISTENCY"),
    ],
)
def test_a_changed_constant_is_another_run(
    material: Material,
    fit: Callable[[Material, Path], None],
    module: Any,
    constant: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fit(material, tmp_path / "run")
    before = getattr(module, constant)
    monkeypatch.setattr(module, constant, 0.25)
    fit(material, tmp_path / "run")
    assert (tmp_path / "run.old1" / "last.pt").is_file()
    assert f"{constant}: {before!r} -> 0.25" in caplog.text


def test_another_augmentation_is_another_run(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fit_lips(material, tmp_path / "run")
    monkeypatch.setattr(
        AudioAugmentation.__init__, "__defaults__", (0.125, *AudioAugmentation.__init__.__defaults__[1:])
    )
    fit_lips(material, tmp_path / "run")
    assert "augmentation.pitch: 0.7 -> 0.125" in caplog.text


def test_the_same_again_is_the_same_run(material: Material, tmp_path: Path) -> None:
    fit_lips(material, tmp_path / "run")
    fit_lips(material, tmp_path / "run")
    fit_sync(material, tmp_path / "sync")
    fit_sync(material, tmp_path / "sync")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "sync"]
