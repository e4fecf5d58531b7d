"""training_328.sh with children that only say what they were asked: its order, and what it does with a signal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

STUB = """#!/usr/bin/env bash
case "$*" in
    *check_consent*) cd {repository} && exec {python} "$@" ;;
esac
echo "$*" >> {folder}/asked
case "$*" in
    *"--stage $STOP_AT"*)
        trap 'echo heard >> {folder}/asked; sleep 0.5; echo saved >> {folder}/asked; exit 130' TERM
        echo ready >> {folder}/asked
        for _ in $(seq 300); do sleep 0.1; done ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "training_328.sh", tmp_path)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "setup.sh").write_text("true\n")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(STUB.format(folder=tmp_path, repository=REPOSITORY, python=sys.executable))
    python.chmod(0o755)
    return tmp_path


def start(place: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["bash", "training_328.sh", "ada", "cpu"],
        cwd=place,
        env={"PATH": "/usr/bin:/bin", "STOP_AT": "none", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def asked(place: Path) -> list[str]:
    path = place / "asked"
    return path.read_text().splitlines() if path.exists() else []


def test_all_six_steps_in_their_order(place: Path) -> None:
    script = start(place, CONSENT="Ada Example, 2026-11-20, tests", PRESET="tiny")
    said, _ = script.communicate(timeout=60)
    assert script.returncode == 0 and "done in" in said
    assert asked(place) == [
        "-m data_prep ada --name ada",
        "train_328.py --name ada --stage film --preset tiny --device cpu",
        "train_328.py --name ada --stage package --picture film --consent Ada Example, 2026-11-20, tests",
        "train_328.py --name ada --stage syncnet --preset tiny --device cpu",
        "train_328.py --name ada --stage unet --preset tiny --device cpu",
        "train_328.py --name ada --stage package --keep_film --consent Ada Example, 2026-11-20, tests",
    ]


def test_without_a_gpu_the_film_is_the_avatar(place: Path) -> None:
    said, _ = start(place, SYNTHETIC="1").communicate(timeout=60)
    assert "done in" in said
    assert asked(place)[1:] == [
        "train_328.py --name ada --stage film --preset quick --device cpu",
        "train_328.py --name ada --stage package --picture film --synthetic",
    ]


@pytest.mark.parametrize("consent", ["Ada, today, all", "Ada, 2026-11-20, "])
def test_a_consent_is_checked_before_hours_are_spent(place: Path, consent: str) -> None:
    script = start(place, CONSENT=consent)
    said, complained = script.communicate(timeout=60)
    assert (script.returncode, said, asked(place)) == (2, "", [])
    assert "YYYY-MM-DD" in complained


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["film", "syncnet", "unet"])
def test_a_signal_reaches_the_training_and_is_waited_for(place: Path, stage: str, number: signal.Signals) -> None:
    """bash died of it and the training went on without anybody knowing."""
    script = start(place, STOP_AT=stage, PRESET="tiny")
    deadline = time.monotonic() + 30
    while "ready" not in asked(place):
        assert script.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(script.pid, number)
    _, complained = script.communicate(timeout=60)
    assert script.returncode == 130
    assert asked(place)[-2:] == ["heard", "saved"]
    assert "the same command continues from here" in complained


def test_a_failure_keeps_its_exit_code(place: Path) -> None:
    python = place / ".venv" / "bin" / "python"
    python.write_text('#!/usr/bin/env bash\n[[ "$*" != *syncnet* ]] || exit 2\n')
    script = start(place, PRESET="tiny")
    _, complained = script.communicate(timeout=60)
    assert script.returncode == 2
    assert "(exit code 2); mend what the error above names; then the same command continues" in complained
