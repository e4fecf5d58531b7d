"""What the log of a job says to people: stage, how far, how long yet, and the last lines."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_STAGE: Final = re.compile(r"=== (\d+)/(\d+) (.+?)  \[")
_BAR: Final = re.compile(r"(\d+)%\|.*?<((?:\d+:)?\d+:\d\d|\?)")
_ANY_BAR: Final = re.compile(r"\d+%\|")
_ERROR: Final = re.compile(r"^(?:[\w.]+: )?error: (.+)", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_PATH: Final = re.compile(r"(?<![\w.:/-])/(?:[^\s/:'\"(),;]+/)+")  # the folders of an absolute path
_MOST_BYTES: Final = 4 << 20
_LINES: Final = 8
_LINE_CHARACTERS: Final = 300


@dataclass(frozen=True, slots=True)
class Told:
    """How far a job is."""

    stage: str = ""  # as training_328.sh calls it; empty before the first
    number: int = 0  # of the stage, from 1
    stages: int = 1
    fraction: float = 0.0  # of the stage, as far as it tells
    left_s: int | None = None  # until the stage's present bar is full
    lines: tuple[str, ...] = ()
    problem: str = ""

    @property
    def progress(self) -> float:
        """From 0 to 1, every stage counted alike."""
        return max(0, self.number - 1 + self.fraction) / self.stages


def read_log(path: Path) -> Told:
    """What a log says so far; nothing where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _MOST_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return Told()
    stage, number, stages, fraction, problem = "", 0, 1, 0.0, ""
    left_s: int | None = None
    lines: list[str] = []
    for raw in re.split(r"[\r\n]+", text):
        line = _ESCAPE.sub("", raw).strip()
        if found := _STAGE.match(line):
            number, stages, stage, fraction, left_s = int(found[1]), int(found[2]), found[3], 0.0, None
        elif found := _BAR.search(line):
            fraction, left_s = int(found[1]) / 100, _seconds(found[2])
        if line and not _ANY_BAR.search(line):
            said = without_folders(line)[:_LINE_CHARACTERS]
            lines.append(said.strip("= ") if said.startswith("=== ") else said)
            if found := _ERROR.match(said):
                problem = found[1]
    return Told(stage, number, stages, min(fraction, 1.0), left_s, tuple(lines[-_LINES:]), problem)


def without_folders(line: str) -> str:
    """A line without where on this machine files lie: only their names stay."""
    return _PATH.sub("", line)


def _seconds(clock: str) -> int | None:
    if clock == "?":
        return None
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part)
    return seconds
