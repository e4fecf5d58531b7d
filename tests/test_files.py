"""Files and folders appear whole or not at all."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from recipe.errors import InUseError, OutputError
from recipe.files import built_aside, result_path, written_aside
from recipe.locks import only_writer
from tests.processes import running


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
    """By the lock, not by the number of the process: that says nothing about another container's."""
    program = "import sys, pathlib; from recipe.files import PartFile\n"
    program += "part = PartFile(pathlib.Path(sys.argv[1])); print(part.path, flush=True); sys.stdin.read()"
    path, other_path = tmp_path / "a [1].json", tmp_path / "b.json"
    with running(program, path) as killed, running(program, path) as living, running(program, other_path) as others:
        killed.kill()
        killed.wait()
        with written_aside(path) as part:
            part.write_text("new")
        left = {file.name for file in tmp_path.iterdir()}
        assert left == {path.name, Path(living.first_line).name, Path(others.first_line).name}
        assert path.read_text() == "new"


def test_a_name_as_long_as_a_file_system_allows_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ü" * 120 + ".json")
    for text in ("one", "two"):
        with written_aside(path) as part:
            part.write_text(text)
    assert path.read_text() == "two" and list(tmp_path.iterdir()) == [path]


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


def test_a_folder_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    final = tmp_path / "ada"
    for text in ("first", "second"):
        with built_aside(final) as folder:
            (folder / "a").write_text(text)
            with pytest.raises(InUseError, match="ada is being written"), built_aside(final):
                pass
        assert (final / "a").read_text() == text
    with pytest.raises(KeyboardInterrupt), built_aside(final) as folder:
        (folder / "a").write_text("half")
        raise KeyboardInterrupt
    assert (final / "a").read_text() == "second" and list(tmp_path.iterdir()) == [final]


def test_a_folder_that_was_being_replaced_when_the_process_was_killed_comes_back(tmp_path: Path) -> None:
    final, old, part = tmp_path / "ada", tmp_path / ".ada.old", tmp_path / ".ada.part"
    for folder in (old, part):
        folder.mkdir()
    (old / "avatar.json").write_text("earlier")
    with pytest.raises(RuntimeError), built_aside(final):
        assert (final / "avatar.json").read_text() == "earlier"
        raise RuntimeError
    assert (final / "avatar.json").read_text() == "earlier" and list(tmp_path.iterdir()) == [final]


def test_no_folder_is_built_while_another_writes_it(tmp_path: Path) -> None:
    with only_writer(tmp_path / "ada"), pytest.raises(InUseError), built_aside(tmp_path / "ada"):
        pass
    assert list(tmp_path.iterdir()) == []


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
