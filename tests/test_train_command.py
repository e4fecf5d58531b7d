"""train_328.py as a command: what it refuses before anything heavy is loaded, and how it ends."""

from __future__ import annotations

import logging
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import train_328
from recipe import check_consent
from tests.conftest import REPOSITORY
from training.interrupt import TrainingStopped

NAMED = ["--name", "ada"]


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        train_328.parse_options([*NAMED, *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("option", ["--consent=A, 2026-01-01, b", "--synthetic", "--licence=free", "--template_s=8",
                                    "--weights=float32", "--no_evaluation", "--avatars_dir=x"])  # fmt: skip
@pytest.mark.parametrize("stage", ["syncnet", "unet"])
def test_options_of_packaging_are_refused_at_other_stages(
    option: str, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = option.split("=")[0]
    said = refused(["--stage", stage, *option.split("=")], capsys)
    assert f"{name} is of --stage package: it would change nothing at --stage {stage}" in said


def test_options_of_training_are_refused_when_packaging(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--preset is of --stage film and syncnet and unet" in refused(
        ["--stage", "package", "--preset", "tiny"], capsys
    )
    assert "--start_from is of --stage unet" in refused(["--stage", "syncnet", "--start_from", "best.pt"], capsys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--stage", "package", "--consent", "Ada, today, all"], "who, YYYY-MM-DD, scope"),
        (["--stage", "package", "--consent", "Ada, 2026-01-01, all", "--synthetic"], "exclude each other"),
        (["--stage", "package", "--template_s", "0"], "--template_s 0.0 is no length of time"),
        (["--stage", "unet", "--device", "abacus"], "--device abacus is unknown; use auto, cpu or cuda:N"),
        (["--stage", "unet", "--threads", "-1"], "--threads -1 is negative"),
        (["--stage", "unet", "--start_from", "/no/best.pt"], "--start_from: there is no file /no/best.pt"),
        (["--stage", "unet", "--name", "../ada"], "'../ada' is not allowed as a name"),
        (["--stage", "unet", "--pre", "tiny"], "unrecognized arguments: --pre tiny"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said in refused(arguments, capsys)


def test_the_environment_may_hold_what_another_stage_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """scripts/build_demo.sh sets these for all stages of training_328.sh."""
    monkeypatch.setenv("AVATAR328_TEMPLATE_S", "8")
    monkeypatch.setenv("AVATAR328_LICENCE", "CC0 1.0; free")
    train_328.parse_options([*NAMED, "--stage", "unet"])
    options = train_328.parse_options([*NAMED, "--stage", "package"])
    assert (options.template_s, options.licence) == (8.0, "CC0 1.0; free")


def test_folders_lie_beside_the_program_wherever_it_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = train_328.parse_options([*NAMED, "--stage", "unet", "--checkpoint_dir", "mine"])
    assert (options.dataset_dir, options.avatars_dir) == (REPOSITORY / "dataset", REPOSITORY / "avatars")
    assert options.checkpoint_dir == Path("mine")


@pytest.mark.parametrize("arguments", [["--help"], [*NAMED, "--stage", "unet", "--consent", "x"]])
def test_help_and_mistakes_cost_no_torch(arguments: list[str]) -> None:
    program = f"""
import sys, train_328
try:
    train_328.main({arguments!r})
finally:
    sys.stderr.write(str(sorted({{"torch", "onnxruntime", "cv2", "numpy"}} & set(sys.modules))))
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert ran.stderr.endswith("[]")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.5


def test_a_stop_is_told_with_its_exit_code(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def stopped(options: Any) -> None:
        raise TrainingStopped("stopped at step 3 of 12, saved in x: run the same command again to go on")

    def terminated(options: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    for action, said in ((stopped, "stopped at step 3 of 12"), (terminated, "run the same command again to go on")):
        monkeypatch.setattr(train_328, "train", action)
        with caplog.at_level(logging.ERROR):
            assert train_328.main([*NAMED, "--stage", "unet"]) == 130
        assert said in caplog.records[-1].getMessage()


@pytest.mark.parametrize(
    ("own", "wanted"), [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")]
)
def test_waiting_threads_soon_sleep_unless_the_user_wants_otherwise(own: dict[str, str], wanted: str) -> None:
    program = """
import os, sys, train_328
def show(options):
    assert "torch" in sys.modules
    print(os.environ.get("GOMP_SPINCOUNT"))
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            assert {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & set(os.environ), "too late"
sys.meta_path.insert(0, Finder())
train_328.train = show
train_328.main(["--name", "ada", "--stage", "unet"])
"""
    environment = {"PATH": "/usr/bin:/bin", **own}
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.stdout.strip() == wanted, ran.stderr


def test_the_light_check_of_a_consent(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_consent.main(["Ada Example, 2026-11-20, our web site"]) == 0
    for wrong in ("Ada, today, all", "Ada, 2026-11-20, ", "Ada, 2026-02-31, all"):
        assert check_consent.main([wrong]) == 2
        assert "YYYY-MM-DD" in capsys.readouterr().err
