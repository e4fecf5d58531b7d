"""Training goes on exactly where it was, learns, and looks after its files."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from models.checkpoint import load_checkpoint
from tests.training_material import drawn_dataset, untrained_sync
from training.data import FaceData, step_generator
from training.distributed import Workers
from training.presets import PRESETS, SyncNetPreset, UNetPreset
from training.run_directory import RunDirectory
from training.schedule import Ema, learning_rate_factor
from training.sound import MelSound
from training.syncnet_stage import SyncModel, SyncNetRun, gate, train_syncnet
from training.unet_stage import GeneratorStage, Parents, train_generator

CPU = torch.device("cpu")
SYNC_PRESET = SyncNetPreset(steps=6, batch=16, warmup=2, evaluate_every=2, patience=9)
PRESET = dataclasses.replace(
    PRESETS["tiny"].unet,
    steps_a=2,
    steps_b=1,
    steps_c=2,
    steps_d=1,
    clips=2,
    widths=(8, 8, 16, 16, 16),
    critic_width=8,
    evaluate_every=6,
    checkpoint_every=3,
    r1_every=2,
    silence_share=0.3,
)


@pytest.fixture(scope="module")
def material() -> tuple[FaceData, MelSound]:
    dataset = drawn_dataset()
    return FaceData.load(dataset, CPU), MelSound(dataset, CPU)


@pytest.fixture(scope="module")
def sync(material: tuple[FaceData, MelSound]) -> dict[str, Any]:
    """What the stages before hand on, untrained, with an open gate so that the sync loss runs."""
    return untrained_sync(material[1], gate_open=True)


def train(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], folder: Path, preset: UNetPreset = PRESET,
    start: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The last state, after training to the end."""
    parents = Parents(sync, sync, start=start)
    train_generator(*material, parents, preset, 1, folder, Workers(), show_progress=False)
    return load_checkpoint(folder / "last.pt")


def stage_of(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], preset: UNetPreset = PRESET
) -> GeneratorStage:  # fmt: skip
    torch.manual_seed(1)
    return GeneratorStage(*material, Parents(sync, sync), preset, 1, Workers())


def take_step(stage: GeneratorStage, number: int) -> dict[str, float]:
    return stage.step(number, step_generator(1, number, 0), lambda: None)


def weights(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    critics = {f"critic.{k}": v for k, v in state["adversary"]["critics"].items()}
    averaged = {f"ema.{k}": v for k, v in state["ema"]["shadow"].items()}
    return {**state["generator"], **averaged, **critics}


def before_step(monkeypatch: pytest.MonkeyPatch, number: int, act: Callable[[], object]) -> None:
    """Something happens when this step of the generator begins."""
    step = GeneratorStage.step

    def acting(self: GeneratorStage, at: int, *rest: Any) -> dict[str, float]:
        if at == number:
            act()
        return step(self, at, *rest)

    monkeypatch.setattr(GeneratorStage, "step", acting)


def kill() -> None:
    raise KeyboardInterrupt


def test_a_killed_and_resumed_run_equals_an_uninterrupted_one(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path
) -> None:
    """Through all four stages: generator, averaged weights and discriminators, bit for bit."""
    whole = train(material, sync, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        before_step(patch, 4, kill)  # step 3 is lost
        train(material, sync, tmp_path / "killed")
    assert load_checkpoint(tmp_path / "killed" / "last.pt")["step"] == 3
    resumed = train(material, sync, tmp_path / "killed")
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(resumed)[name]), name
    assert whole["position"] == resumed["position"] and whole["position"]["best"] > 0


def test_a_run_that_starts_from_another_has_its_generator_and_nothing_else(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path
) -> None:
    train(material, sync, tmp_path / "first")
    best = load_checkpoint(tmp_path / "first" / "best.pt")
    torch.manual_seed(1)
    second = GeneratorStage(*material, Parents(sync, sync, start=best), PRESET, 1, Workers())
    for name, value in second.generator.state_dict().items():
        assert torch.equal(value, best["generator"][name]), name
        assert torch.equal(second.ema.shadow[name], value), name
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        before_step(patch, 4, kill)
        train(material, sync, tmp_path / "second", start=best)
    halfway = load_checkpoint(tmp_path / "second" / "last.pt")
    assert halfway["identity"]["parents"]["start"]["step"] == best["step"]
    train(material, sync, tmp_path / "second", start=best)  # resumed, not started again
    assert not (tmp_path / "second.old1").exists()
    other = best | {"unet_config": best["unet_config"] | {"widths": [8, 8, 8, 8, 8]}}
    with pytest.raises(ValueError, match="choose the preset"):
        train(material, sync, tmp_path / "third", start=other)


def test_what_a_run_leaves_behind(material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path) -> None:
    train(material, sync, tmp_path / "unet")
    with (tmp_path / "unet" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["6"]
    assert float(rows[0]["psnr_mouth"]) > 5 and float(rows[0]["silence_l1"]) >= 0
    names = {p.name for p in (tmp_path / "unet").iterdir()}
    assert {"last.pt", "best.pt", "metrics.csv", "options.json", "preview_000006.jpg", "events"} == names
    best = load_checkpoint(tmp_path / "unet" / "best.pt")
    assert best["unet_config"]["widths"] == PRESET.widths and best["recipe"]["crop_px"] == 328


def test_another_run_is_moved_aside_not_overwritten(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(material, sync, tmp_path / "unet")
    changed = train(material, sync, tmp_path / "unet", dataclasses.replace(PRESET, mouth=1.0))
    assert changed["identity"]["preset"]["mouth"] == 1.0
    assert load_checkpoint(tmp_path / "unet.old1" / "last.pt")["identity"]["preset"]["mouth"] == PRESET.mouth
    assert "of another run (preset.mouth: 4.0 -> 1.0)" in caplog.text


def test_metrics_beyond_the_checkpoint_are_dropped_on_resume(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path, ["loss"])
    directory.save_last({"identity": {}, "step": 20})
    for step in (10, 20, 30):
        directory.add_metrics(step, {"loss": 1.0})
    directory.close()
    assert RunDirectory(tmp_path, ["loss"]).resume({}) is not None
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "10", "20"]


def test_out_of_memory_halves_the_batch_and_says_so(
    material: tuple[FaceData, MelSound], sync: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    training = stage_of(material, sync)
    forward, calls = training._forward_backward, []

    def too_large_at_first(stage: str, number: int, check: Callable[[], None]) -> dict[str, float]:
        calls.append(training.micro_batches)
        if training.micro_batches == 1:
            raise torch.cuda.OutOfMemoryError
        return forward(stage, number, check)

    training._forward_backward = too_large_at_first  # type: ignore[method-assign]
    take_step(training, 0)
    assert calls == [1, 2] and "out of GPU memory: going on with 2 x 5 frames" in caplog.text
    training.micro_batches = 2
    training._forward_backward = lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError())  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="out of GPU memory with one clip"):
        take_step(training, 1)


def test_the_generator_learns_the_drawn_face(material: tuple[FaceData, MelSound], sync: dict[str, Any]) -> None:
    preset = dataclasses.replace(PRESET, steps_a=40, steps_b=0, steps_c=0, steps_d=0, learning_rate=2e-3, warmup=5)
    training = stage_of(material, sync, preset)
    for group in training.optimiser.param_groups:
        group["lr"] = group["base"] / 2
    losses = [take_step(training, number)["loss"] for number in range(40)]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_syncnet_resumes_exactly_and_its_best_describes_itself(
    material: tuple[FaceData, MelSound], tmp_path: Path
) -> None:
    run = SyncNetRun(SYNC_PRESET, 1)
    whole = train_syncnet(*material, run, tmp_path / "whole", Workers(), show_progress=False)
    short = dataclasses.replace(SYNC_PRESET, patience=1)
    stopped = train_syncnet(*material, SyncNetRun(short, 1), tmp_path / "short", Workers(), show_progress=False)
    early = load_checkpoint(tmp_path / "short" / "last.pt")
    assert early["step"] == 6 or early["position"]["ended_early"]
    assert load_checkpoint(tmp_path / "whole" / "last.pt")["step"] == 6
    again = train_syncnet(*material, run, tmp_path / "whole", Workers(), show_progress=False)
    assert all(torch.equal(v, again["model"][k]) for k, v in whole["model"].items())
    rebuilt = SyncModel.from_checkpoint(stopped)
    assert all(torch.equal(v, stopped["model"][k]) for k, v in rebuilt.state_dict().items())


def test_the_gate_opens_only_clearly_above_chance() -> None:
    assert gate({"accuracy": 0.61})["gate_open"] is True
    assert gate({"accuracy": 0.4})["gate_open"] is False
    assert gate({"accuracy": None})["gate_open"] is False


def test_schedule_holds_the_full_rate_while_asked_to() -> None:
    factors = [learning_rate_factor(step, 100, 10, hold=40) for step in range(100)]
    assert factors[10:41] == [1.0] * 31 and factors[70] == pytest.approx(0.5) and factors[-1] < 0.01


def test_schedule_warms_up_and_ends_at_zero() -> None:
    factors = [learning_rate_factor(step, 100, 10) for step in range(100)]
    assert factors[0] == pytest.approx(0.1) and max(factors) == 1.0 and factors[-1] < 1e-3
    assert factors[9:] == sorted(factors[9:], reverse=True)


def test_average_follows_quickly_at_first_and_slowly_later() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(model, 0.999)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for _ in range(30):
        ema.update(model)
    early = float(ema.shadow["weight"])
    assert early == pytest.approx(1.0, abs=0.01)
    ema.updates = 10_000
    with torch.no_grad():
        model.weight.fill_(0.0)
    ema.update(model)
    assert float(ema.shadow["weight"]) == pytest.approx(0.999 * early, abs=1e-6)
