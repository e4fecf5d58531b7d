"""What is told is what is drawn: the lips of a text are found again in the frames."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from benchmarks.measures.photo_bars import lip_rows


@pytest.mark.parametrize("voice", ["flite:slt", "espeak:en-us"])
def test_told_lips_are_found_in_the_drawn_frames(voice: str, photo_avatars: Path) -> None:
    if voice.startswith("flite") and shutil.which("flite") is None:
        pytest.skip("flite is not installed here")
    ((_, measured, _),) = lip_rows(photo_avatars, ["eve"], [voice])
    found = re.fullmatch(r"r (\S+); (\d+) of (\d+) closed", str(measured))
    assert found is not None and float(found[1]) > 0.96
    assert int(found[2]) == int(found[3]) == 27
