"""Files appear whole or not at all, and a folder has one writer at a time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recipe.errors import InUseError, OutputError
from recipe.files import only_writer, result_path, written_aside
from tests.conftest import REPOSITORY


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "track.npz"
    with written_aside(path) as part:
        part.write_text("half")
        assert part.suffix == ".npz" and not path.exists()
    assert path.read_text() == "half" and list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), written_aside(path) as part:
        part.write_text("ne")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", "pass"])
    dead.wait()
    left, living = tmp_path / f".a.{dead.pid}-1.part.json", tmp_path / f".a.{os.getppid()}-1.part.json"
    others = tmp_path / f".b.{dead.pid}-1.part.json"
    for path in (left, living, others):
        path.touch()
    with written_aside(tmp_path / "a.json") as part:
        part.touch()
    assert not left.exists() and living.exists() and others.exists()


def test_two_threads_write_one_file_without_mixing(tmp_path: Path) -> None:
    """Two trainings of one name damaged last.pt dozens of times: they shared one temporary name."""
    path = tmp_path / "last.pt"
    texts = ["a" * 400_000, "b" * 400_000]
    found: set[str] = set()

    def write(text: str) -> None:
        for _ in range(20):
            with written_aside(path) as part:
                part.write_text(text)

    threads = [threading.Thread(target=write, args=[text]) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            found.add(path.read_text())
    assert found <= set(texts) and path.read_text() in texts


def test_the_second_writer_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program = "import sys, pathlib; from recipe.files import only_writer\n"
    program += "with only_writer(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(InUseError, match=rf"another process \({other.pid}: .*only_writer"), only_writer(folder):
            pass
        other.communicate()
    with only_writer(folder):
        assert folder.is_dir()


def test_a_result_goes_where_it_was_asked_to_and_over_nothing(tmp_path: Path) -> None:
    asked = tmp_path / "result" / "a.mp4"
    assert result_path(asked) == asked and asked.parent.is_dir()
    asked.touch()
    (tmp_path / "result" / "a-2.mp4").touch()
    assert result_path(asked) == tmp_path / "result" / "a-3.mp4"
    assert result_path(asked, overwrite=True) == asked
    for missing in (tmp_path / "no" / "such" / "a.mp4", Path("/slip-of-the-pen/a.mp4")):
        with pytest.raises(OutputError, match="does not exist"):
            result_path(missing)
        assert not missing.parent.exists()
