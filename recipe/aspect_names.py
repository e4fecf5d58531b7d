"""The shapes in which a picture is shown; apart from `aspect`, so that a command line has them without numpy."""

from __future__ import annotations

from typing import Final, Literal, get_args

Aspect = Literal["original", "square", "portrait", "landscape"]
ASPECTS: Final[tuple[Aspect, ...]] = get_args(Aspect)
