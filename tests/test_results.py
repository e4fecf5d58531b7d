"""The folder of results: whole files under their names, the old ones gone, others' files untouched."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from services.errors import TextRejectedError, VideoWriteError
from services.streaming.results import ResultFolder


def pieces(*parts: bytes) -> Generator[bytes, None, None]:
    yield from parts


def name(number: int) -> str:
    return f"u-{number:016x}"


def test_a_result_appears_when_it_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "outputs"
    seen: list[list[str]] = []

    def watched() -> Generator[bytes, None, None]:
        yield b"one"
        seen.append([path.name for path in folder.iterdir()])
        yield b"two"

    path = b"".join(ResultFolder(folder, 1000, 60).written(name(1), watched()))
    assert Path(os.fsdecode(path)) == folder / f"{name(1)}.mp4"
    assert (folder / f"{name(1)}.mp4").read_bytes() == b"onetwo"
    assert seen == [[f".{name(1)}.part"]] and len(list(folder.iterdir())) == 1


def test_one_that_is_given_up_or_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Generator[bytes, None, None]:
        yield b"one"
        raise TextRejectedError("no")

    folder = ResultFolder(tmp_path, 1000, 60)
    with pytest.raises(TextRejectedError):
        list(folder.written(name(1), failing()))
    given_up = folder.written(name(3), pieces(b"one", b"two", b"three"))
    assert next(given_up) == b"" and len(list(tmp_path.iterdir())) == 1
    given_up.close()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(VideoWriteError, match="cannot be written"):
        list(ResultFolder(tmp_path / "file", 1000, 60).written(name(2), pieces(b"x")))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_oldest_go_when_there_are_too_many_and_all_when_their_time_is_over(tmp_path: Path) -> None:
    theirs = tmp_path / "holiday.mp4"
    theirs.write_bytes(b"x" * 5000)
    left = tmp_path / f".{name(9)}.part"
    left.write_bytes(b"x")
    for path, age_s in ((theirs, 1e6), (left, 100)):
        os.utime(path, (time.time() - age_s,) * 2)
    folder = ResultFolder(tmp_path, 250, 60)
    for number in range(4):
        list(folder.written(name(number), pieces(b"x" * 100)))
        os.utime(tmp_path / f"{name(number)}.mp4", (time.time() - 40 + number,) * 2)
    folder.tidy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.mp4", f"{name(2)}.mp4", f"{name(3)}.mp4"]
    list(folder.written(name(4), pieces(b"x" * 1000)))  # larger than the budget, but somebody waits for it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["holiday.mp4", f"{name(4)}.mp4"]
    os.utime(tmp_path / f"{name(4)}.mp4", (time.time() - 61,) * 2)
    folder.tidy()
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.mp4"]
