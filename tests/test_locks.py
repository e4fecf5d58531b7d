"""A folder has one writer at a time, and the second is told who it is."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from pathlib import Path

import pytest

from recipe.errors import InUseError, OutputError
from recipe.locks import hold, only_writer
from tests.processes import running

HOLDER = """
import sys, pathlib
from recipe.locks import only_writer
with only_writer(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_second_process_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running(HOLDER, folder) as other:
        assert other.first_line == "held"
        told = (
            rf"run is being written by another process \({other.pid} on {socket.gethostname()}: .*, since 20.*stop it"
        )
        with pytest.raises(InUseError, match=told), only_writer(folder):
            pass
        other.finish()
    with only_writer(folder):
        assert not folder.exists()  # its name is held, not what it is made of
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_is_killed_holds_nothing(tmp_path: Path) -> None:
    with running(HOLDER, tmp_path / "run") as other:
        other.kill()
        other.wait()
        assert str(other.pid) in (tmp_path / ".run.lock").read_text()
        with only_writer(tmp_path / "run"):
            assert str(os.getpid()) in (tmp_path / ".run.lock").read_text()


def test_the_number_of_a_process_says_nothing(tmp_path: Path) -> None:
    """In another container the same number is another process: a note alone, of any number, holds nothing."""
    (tmp_path / ".run.lock").write_text(f"{os.getppid()} on elsewhere: python train_328.py, since 2026-01-01")
    with only_writer(tmp_path / "run"):
        pass


def test_two_threads_never_write_at_once_and_neither_do_two_processes(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tries = 300
    threads = [threading.Thread(target=_count, args=(folder, tries)) for _ in range(2)]
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(folder, tries)) for _ in range(2)]
    for worker in (*processes, *threads):
        worker.start()
    for worker in (*processes, *threads):
        worker.join(60)
    assert [process.exitcode for process in processes] == [0, 0]
    assert (tmp_path / "count").read_text() == str(4 * tries)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["count"]


def _count(folder: Path, times: int) -> None:
    """Add to a number in a file, which two at a time would get wrong."""
    count = folder.with_name("count")
    done = 0
    while done < times:
        try:
            with only_writer(folder):
                before = int(count.read_text()) if count.exists() else 0
                count.write_text(str(before + 1))
                done += 1
        except InUseError:
            continue


def test_where_no_lock_can_be_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"cannot be kept for one writer.*choose a folder"),
        only_writer(tmp_path / "file" / "run"),
    ):
        pass
    assert hold(tmp_path / "missing", create=False) is None
