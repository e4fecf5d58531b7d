"""The options that every benchmark has; light, so that a command answers `--help` at once."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Final, get_args

import configargparse

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said
from recipe.places import at_home
from services.runtimes.names import RuntimeName

RUNTIMES: Final[tuple[RuntimeName, ...]] = get_args(RuntimeName)


def base_parser(description: str, runtime: bool = True) -> configargparse.ArgParser:
    """The options that every command has."""
    parser = configargparse.ArgParser(description=description)
    parser.add("--name", required=True, help="the avatar")
    parser.add("--avatars_dir", type=Path, default=at_home("avatars"))
    parser.add("--threads", type=int, default=0, help="CPU threads (0: all cores)")
    parser.add("--size", type=_size, help="WIDTHxHEIGHT of the output, e.g. 720x720; the avatar's own by default")
    parser.add("--json", type=Path, help="write the numbers here as well")
    if runtime:
        parser.add("--runtime", default="auto", choices=RUNTIMES)
    return parser


def ears_parser(description: str, steps: int) -> configargparse.ArgParser:
    """The options of what trains the ears' network anew, again and again."""
    parser = configargparse.ArgParser(description=description)
    parser.add("--speech", type=Path, help="aligned real speech, as of training.ears")
    parser.add("--share", type=float, default=1.6, help="of the minutes of every synthetic voice")
    parser.add("--whisper", type=Path, help="a Whisper encoder: scripts/whisper_from_ctranslate2.py makes one")
    parser.add("--pairs", type=int, default=72_000, help="pairs of frames to learn from")
    parser.add("--steps", type=int, default=steps, help="of 128 pairs")
    parser.add("--work", type=Path, required=True, help="folder for what is computed: 50 MB per 1000 pairs and more")
    parser.add("--json", type=Path, help="write the numbers here as well")
    return parser


def exit_code(measure: str, *given: object) -> int:
    """Measure by `benchmarks.measures.MEASURE.run(*given)`; 0, or 2 if that is not possible with what was asked for or
    is installed, which is said without a traceback."""
    try:
        with missing_packages_are_said():
            run = import_module(f"benchmarks.measures.{measure}").run
        run(*given)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal()) or int(width) % 2 or int(height) % 2:
        raise ValueError(f"{text!r} is not WIDTHxHEIGHT in even numbers of pixels")
    return int(width), int(height)
