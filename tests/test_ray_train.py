"""Many trainings on Ray: side by side, each by itself, resumable; with a stub for training_328.sh."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.service_material import wait_for

pytest.importorskip("ray", reason="the extra ray is not installed")
pytestmark = pytest.mark.slow

# Says what it was called with; bob fails, slow waits until it is stopped and saves.
STUB = """
cd "$(dirname "$0")"
echo "$1 $2 threads=$AVATAR328_THREADS" >>called
case $1 in
    bob) echo "bob's recording has no face" >&2; exit 3 ;;
    slow) trap 'echo saved >>saved; exit 130' TERM; touch waits; while :; do sleep 0.1; done ;;
esac
echo "avatars/$1 speaks"
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "training.sh"
    path.write_text(STUB)
    yield path


def started(program: Path, *names: str) -> subprocess.Popen[str]:
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")  # a short name: Ray's sockets lie there
    return subprocess.Popen(
        [sys.executable, "deploy/ray_train.py", *names, "--cpus", "1", "--program", program, "--logs", program.parent],
        cwd=REPOSITORY,
        env={**os.environ, "RAY_TMPDIR": folder},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_one_that_fails_does_not_stop_the_others_and_a_stopped_one_saves(program: Path) -> None:
    with started(program, "ada", "bob", "cleo", "slow") as process:
        wait_for(lambda: process.poll() is not None or (program.parent / "waits").exists(), 150)
        wait_for(lambda: process.poll() is not None or len(_called(program)) == 4, 30)
        time.sleep(1)  # for the others to end
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=90)
    assert process.returncode == 130, said
    assert _called(program) == sorted(f"{name} cpu threads=1" for name in ("ada", "bob", "cleo", "slow"))
    assert (program.parent / "saved").read_text() == "saved\n"
    rows = [line.split() for line in said.splitlines()]
    results = {row[0]: row[1] for row in rows if row and row[0] in {"ada", "bob", "cleo", "slow"}}
    assert results == {"ada": "done", "bob": "failed", "cleo": "done", "slow": "stopped"}
    assert "bob's recording has no face" in said and "avatars/cleo speaks" in said
    assert (program.parent / "bob.log").read_text() == "bob's recording has no face\n"


def _called(program: Path) -> list[str]:
    return sorted((program.parent / "called").read_text().splitlines())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["ada", "ada"], "ada: named more than once"),
        (["ada", "--cpus", "-1"], "expected 0 (a GPU each) or more"),
        (["ada", "--cpus", "1000"], "this machine has"),
    ],
)
def test_what_cannot_be_is_said_before_ray_starts(options: list[str], says: str) -> None:
    command = [sys.executable, "deploy/ray_train.py", *options]
    ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2 and says in ran.stderr
