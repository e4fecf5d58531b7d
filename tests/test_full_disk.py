"""A disk that runs full: said in plain words, nothing half-written, and the same command works when there is room.

Needs the right to mount a small tmpfs; skipped where that is not given.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from data_prep.dataset_328 import Dataset328
from data_prep.video import iter_rgb
from tests.conftest import REPOSITORY
from tests.film_material import NAME

_LOGS = (".lock", ".csv", ".json")


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 160 kB, almost nothing of which is a program's to fill."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", folder], check=False)
    if mounted.returncode != 0:
        pytest.skip("no tmpfs can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False)


def check_full(ran: subprocess.CompletedProcess[str], small: Path) -> None:
    """It was told, and nothing is left that was not there."""
    told = ran.stdout + ran.stderr
    assert ran.returncode == 2, told
    assert "full" in told and "Traceback" not in told and str(small) in told, told
    assert [
        path
        for path in small.rglob("*")
        if path.is_file() and not path.name.startswith("events.out") and path.suffix not in _LOGS
    ] == []


def test_a_video(small: Path) -> None:
    wish = (
        "inference_328.py",
        "--name",
        "demo",
        "--text",
        "This is long enough to fill a small disk, and then some.",
        "--out",
        small / "a.mp4",
    )
    check_full(run(*wish), small)
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert run(*wish).returncode == 0 and (small / "a.mp4").stat().st_size > 160_000


def test_an_avatar_of_a_photo(small: Path, presenter_video: Path, tmp_path: Path) -> None:
    Image.fromarray(next(iter_rgb(presenter_video))).save(tmp_path / "photo.png")
    wish = ("photo_328.py", "eve", tmp_path / "photo.png", "--synthetic", "--avatars_dir", small / "avatars")
    check_full(run(*wish), small)
    subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
    assert run(*wish).returncode == 0 and (small / "avatars" / "eve" / "avatar.json").is_file()


def test_a_dataset(small: Path, presenter_video: Path) -> None:
    check_full(run("-m", "data_prep", presenter_video, "--name", "ann", "--dataset_dir", small / "dataset"), small)


def test_a_training(small: Path, film_dataset: Dataset328) -> None:
    places = ["--dataset_dir", film_dataset.folder.parent, "--checkpoint_dir", small / "checkpoint"]
    wish = ("train_328.py", "--name", NAME, "--stage", "film", "--preset", "tiny", "--device", "cpu", *places)
    check_full(run(*wish), small)
    subprocess.run(["mount", "-o", "remount,size=256m", small], check=True)
    assert run(*wish).returncode == 0 and (small / "checkpoint" / NAME / "film" / "best.pt").is_file()
