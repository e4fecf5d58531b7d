"""python -m presenter render | still | sheet | heldout: make videos and pictures of the synthetic presenter."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from presenter.defaults import END_SILENCE_S, PEOPLE, TEXT
from presenter.driving_sets import SETS
from recipe.articulation.visemes import SHAPES
from recipe.installed import NotInstalledError, missing_packages_are_said


def _frame_range(text: str) -> tuple[int, int]:
    first, _, stop = text.partition(":")
    if not (first.isdigit() and stop.isdigit() and int(first) < int(stop)):
        raise argparse.ArgumentTypeError(f"got {text!r}, expected FIRST:STOP such as 0:500")
    return int(first), int(stop)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m presenter", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    drawing = argparse.ArgumentParser(add_help=False)
    drawing.add_argument("--size", type=int, default=512, help="width and height of the picture in pixels")
    drawing.add_argument("--samples", type=int, default=4, choices=(0, 4), help="0: half the time, rougher hair")
    drawing.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that render")
    drawing.add_argument("--person", default=PEOPLE[0], choices=PEOPLE, help="who is rendered")
    drawing.add_argument("--seed", type=int, default=1, help="of everything that is not the mouth")
    render = commands.add_parser("render", parents=[drawing], help="a recording with ground truth")
    render.add_argument("--out", type=Path, required=True, help="video; sound and ground_truth.npz go beside it")
    render.add_argument("--minutes", type=float, default=5.0, help="length of the recording")
    render.add_argument("--text", type=Path, default=TEXT, help="what to say; paragraphs parted by empty lines")
    render.add_argument("--voice", default="flite:slt", help="flite:NAME or espeak:NAME")
    render.add_argument("--rate", type=float, default=1.0, help="speed of the speech")
    render.add_argument("--wav", type=Path, help="speak this sound instead of a text; needs --phones")
    render.add_argument("--phones", type=Path, help="lines of `start_s stop_s phone` for --wav")
    render.add_argument("--alphabet", choices=("arpabet", "ipa"), default="arpabet", help="of --phones")
    render.add_argument("--silence", type=float, default=END_SILENCE_S, help="closed mouth at both ends, seconds")
    render.add_argument("--frames", type=_frame_range, help="FIRST:STOP; render only this range now")
    still = commands.add_parser("still", parents=[drawing], help="one picture")
    still.add_argument("--out", type=Path, required=True)
    still.add_argument("--viseme", choices=list(SHAPES), default="sil", help="mouth shape")
    still.add_argument("--turn", type=float, nargs=3, default=(0, 0, 0), metavar="DEG", help="pitch, yaw, roll")
    still.add_argument("--blink", type=float, default=0.07, help="0 open to 1 closed")
    sheet = commands.add_parser("sheet", parents=[drawing], help="the mouth in every shape")
    sheet.add_argument("--out", type=Path, required=True)
    people = commands.add_parser("people", parents=[drawing], help="a portrait of everybody, and all on one sheet")
    people.add_argument("--out", type=Path, required=True, help="folder; NAME.png each, and sheet.png")
    held = commands.add_parser("heldout", parents=[drawing], help="driving sets with true frames for unseen speech")
    held.add_argument("--out", type=Path, required=True, help="folder; one sub-folder a set")
    held.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code, 0, 1 or 2."""
    arguments = _parser().parse_args(argv)
    try:
        with missing_packages_are_said("AVATAR328_EXTRAS=lab bash scripts/setup.sh"):
            from presenter.commands import run
    except NotInstalledError as error:
        sys.stderr.write(f"presenter: {error}\n")
        return 2
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
