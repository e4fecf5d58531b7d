"""What all trained stages share: they stop between two steps, go on exactly, and keep others out of their folder."""

from __future__ import annotations

import csv
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from models.checkpoint import load_checkpoint
from recipe.errors import InUseError
from recipe.interrupt import sigterm_interrupts
from tests.conftest import REPOSITORY
from training.distributed import Workers
from training.interrupt import StopRequest, TrainingStopped
from training.loop import Check, Judgement, Plan, descend, train

PLAN = Plan(seed=1, steps=12, warmup=2, evaluate_every=4, checkpoint_every=3)
TARGET = torch.tensor([1.0, -2.0, 3.0])


class Line:
    """A stage that fits three numbers; a signal can be made to come at any moment."""

    columns: ClassVar[list[str]] = ["loss", "learning_rate", "step_ms", "distance"]
    device = torch.device("cpu")

    def __init__(self, interrupted_at: str = "", by: signal.Signals = signal.SIGTERM) -> None:
        torch.manual_seed(0)
        self.model = nn.Linear(3, 1, bias=False)
        groups = [{"params": list(self.model.parameters()), "base": 0.3}]
        self.optimiser = torch.optim.AdamW(groups, lr=0.3)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]
        self.interrupted_at, self.by = interrupted_at, by
        self.judged: list[int] = []

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        given = torch.randn(4, 3, generator=generator) + torch.randn(4, 3) / 10
        loss = (self.model(given)[:, 0] - given @ TARGET).square().mean()
        loss.backward()
        self._moment(f"within step {number}")
        check()
        descend(self.optimiser, self.model.parameters(), Workers())
        self._moment(f"after step {number}")
        return {"loss": loss.item()}

    def judge(self, number: int, check: Check) -> Judgement:
        self._moment(f"judging {number}")
        check()
        self.judged.append(number)
        distance = float((self.model.weight[0] - TARGET).detach().norm())
        return Judgement({"distance": distance}, -distance, {"model": self.model.state_dict()})

    def describe(self) -> dict[str, Any]:
        return {"made_of": "a line"}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _moment(self, name: str) -> None:
        if name == self.interrupted_at:
            signal.raise_signal(self.by)


def fit(stage: Line, folder: Path, plan: Plan = PLAN) -> dict[str, Any]:
    return train(stage, plan, folder, {"seed": plan.seed}, Workers(), show_progress=False)


def rows(folder: Path) -> list[tuple[str, str, str]]:
    with (folder / "metrics.csv").open() as file:
        return [(row["step"], row["loss"], row["distance"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("moment", "step"),
    [
        ("within step 5", 5),  # taken again: nothing was changed yet
        ("after step 5", 6),
        ("within step 7", 7),
        ("after step 7", 8),
        ("judging 8", 8),
        ("judging 12", 12),
    ],
)
def test_a_stopped_run_says_so_and_goes_on_exactly(moment: str, step: int, by: signal.Signals, tmp_path: Path) -> None:
    whole = Line()
    best = fit(whole, tmp_path / "whole")
    said = rf"stopped at step {step} of 12, saved in {tmp_path}/run: run the same command again to go on"
    with pytest.raises(TrainingStopped, match=said):
        fit(Line(moment, by), tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "last.pt")["step"] == step
    resumed = Line()
    again = fit(resumed, tmp_path / "run")
    assert torch.equal(resumed.model.weight, whole.model.weight)
    assert torch.equal(again["model"]["weight"], best["model"]["weight"]) and again["step"] == best["step"]
    assert rows(tmp_path / "run") == rows(tmp_path / "whole")


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    fit(Line(), tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.pt")}
    again = Line()
    assert fit(again, tmp_path)["step"] == 12
    assert again.judged == [] and before == {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.pt")}


def test_patience_ends_a_run_early_and_for_good(tmp_path: Path) -> None:
    plan = Plan(seed=1, steps=400, warmup=1, evaluate_every=2, checkpoint_every=2, patience=2)
    fit(Line(), tmp_path, plan)
    last = load_checkpoint(tmp_path / "last.pt")
    assert last["position"]["ended_early"] and last["step"] < 400
    distances = [float(distance) for _, _, distance in rows(tmp_path)]
    assert min(distances[-2:]) >= min(distances) == distances[-3]
    again = Line()
    fit(again, tmp_path, plan)
    assert again.judged == []


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    class Impatient(Line):
        def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("the second signal was not heard")

    with pytest.raises(KeyboardInterrupt) as stopped:
        fit(Impatient(), tmp_path)
    assert not isinstance(stopped.value, TrainingStopped) and not (tmp_path / "last.pt").exists()


def test_a_stop_that_comes_when_all_is_done_still_stops_what_follows() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest():
        signal.raise_signal(signal.SIGTERM)


def test_one_of_several_processes_does_not_stop_within_a_step() -> None:
    with pytest.raises(KeyboardInterrupt), StopRequest(alone=False) as stop:
        signal.raise_signal(signal.SIGTERM)
        stop.check()
        assert stop.requested


def test_who_was_told_to_ignore_ctrl_c_still_hears_sigterm(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        fit(Line("within step 2", signal.SIGINT), tmp_path / "ignored")
        with pytest.raises(TrainingStopped):
            fit(Line("within step 2", signal.SIGTERM), tmp_path / "run")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_sigterm_is_an_interrupt_for_a_while_only() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), sigterm_interrupts():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


SLOW = """
import sys, time
from pathlib import Path
from tests.test_training_loop import Line, fit
class Slow(Line):
    def step(self, number, generator, check):
        print(number, flush=True)
        time.sleep(0.2)
        return super().step(number, generator, check)
fit(Slow(), Path(sys.argv[1]))
"""


def test_a_second_training_of_one_name_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        while other.stdout.readline() != "1\n":
            assert other.poll() is None
        with pytest.raises(InUseError, match=rf"{folder} is being written by another process \({other.pid} on "):
            fit(Line(), folder)
        assert other.wait(timeout=60) == 0
    assert load_checkpoint(folder / "last.pt")["step"] == 12
    assert rows(folder)[-1][0] == "12"


def test_the_lock_stays_when_another_run_is_moved_aside(tmp_path: Path) -> None:
    """The folder itself is locked; renaming it would take the lock along."""
    folder = tmp_path / "run"
    folder.mkdir()
    fit(Line(), folder)
    inode = folder.stat().st_ino
    train(Line(), PLAN, folder, {"seed": 2}, Workers(), show_progress=False)
    assert folder.stat().st_ino == inode
    assert load_checkpoint(tmp_path / "run.old1" / "last.pt")["identity"] == {"seed": 1}
    assert {"best.pt", "events", "last.pt", "metrics.csv", "options.json"} <= {
        path.name for path in (tmp_path / "run.old1").iterdir()
    }


def test_progress_is_lines_in_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(Line(), PLAN, tmp_path / "line", {"seed": 1}, Workers())
    said = capsys.readouterr().err
    assert "\r" not in said and said.splitlines()[-1].startswith("line: 100%") and "12/12" in said
