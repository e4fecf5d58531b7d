"""python -m evaluation NAME: measure an avatar, print a table, write metrics.json, report.html and videos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said
from recipe.places import at_home


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m evaluation", description=__doc__)
    parser.add_argument("name", help="the avatar; its dataset has the same name")
    parser.add_argument("--dataset_dir", type=Path, default=at_home("dataset"), help="folder of the datasets")
    parser.add_argument("--avatars_dir", type=Path, default=at_home("avatars"), help="folder of the avatars")
    parser.add_argument("--checkpoint_dir", type=Path, default=at_home("checkpoint"), help="folder of the checkpoints")
    parser.add_argument("--drive", type=Path, nargs="+", default=[], metavar="SOUND", help="sounds to be said as well")
    parser.add_argument(
        "--drive_against", type=Path, nargs="+", default=[], metavar="NPZ", help="truth of each --drive, in that order"
    )
    parser.add_argument(
        "--sets",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="driving sets of the presenter, with true frames",
    )
    parser.add_argument("--workers", type=int, default=1, help="sets measured at a time; each takes about 2.5 GB")
    parser.add_argument("--against", type=Path, metavar="NPZ", help="truth of the recording, if it was rendered")
    parser.add_argument("--out", type=Path, help="folder for the results (default: result/evaluation/NAME)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where the networks run")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        parser.error(f"--workers {options.workers}: at least 1")
    if options.drive_against and len(options.drive_against) != len(options.drive):
        parser.error(f"--drive_against has {len(options.drive_against)} files for {len(options.drive)} of --drive")
    if len({path.stem for path in options.drive}) < len(options.drive):
        parser.error("two files of --drive have the same name; rename one")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; returns the exit code, 0 or 2."""
    options = parse(arguments)
    try:
        with missing_packages_are_said():
            from evaluation.run import evaluate
        evaluate(options)
    except (UserError, ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
