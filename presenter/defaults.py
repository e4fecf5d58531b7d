"""What a recording is unless something else is asked for."""

from __future__ import annotations

from pathlib import Path

END_SILENCE_S = 8.0
PEOPLE = (  # the names of presenter.looks.LOOKS
    "woman",
    "man",
    "man-window",
    "old-man",
    "old-woman",
    "woman-dark",
    "man-bald",
    "woman-soft",
    "man-glasses",
    "man-redbeard",
    "woman-blond",
    "man-overhead",
)
TEXT = Path(__file__).parent / "text.txt"
