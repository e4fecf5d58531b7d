"""python -m training.film NAME --seconds 5 15 60: how well ears hear a person after so much of the person's film."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said
from recipe.places import at_home
from training.waiting import wait_briefly


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line per length; exit codes: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m training.film", description=__doc__)
    parser.add_argument("name", help="the dataset dataset/NAME")
    parser.add_argument("--seconds", type=float, nargs="+", default=[5, 15, 60], help="of the training split")
    parser.add_argument("--preset", default="quick", help="as of train_328.py")
    parser.add_argument("--device", default="cpu", help="auto, cpu or cuda:N")
    parser.add_argument("--dataset_dir", type=Path, default=at_home("dataset"), help="default: dataset")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    wait_briefly()  # before anything loads torch
    try:
        with missing_packages_are_said():
            import torch  # noqa: F401  the first that is missing where only speaking was installed
        _print_table(options)
    except KeyboardInterrupt:
        return 130
    except (UserError, ValueError, OSError) as error:
        sys.stderr.write(f"training.film: {error}\n")
        return 2
    return 0


def _print_table(options: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from data_prep.dataset_328 import open_dataset
    from recipe.recipe_328 import FPS
    from training.device import choose_device
    from training.distributed import Workers
    from training.film.ears import Film, fit_ears, held_out_scores
    from training.presets import PRESETS
    from training.sound import MelSound

    dataset = open_dataset(options.dataset_dir / options.name)
    sound = MelSound(dataset, choose_device(options.device))
    film = Film.of(dataset)
    sys.stdout.write("| seconds | r | CCC | amplitude |\n| --- | --- | --- | --- |\n")
    for seconds in options.seconds:
        some = replace(film, frames=film.frames[: round(seconds * FPS)])
        with TemporaryDirectory() as folder:
            best = fit_ears(some, sound, PRESETS[options.preset].fit, 1, Path(folder), Workers())
        score = held_out_scores(best, film, sound)
        row = (f"{len(some.frames) / FPS:.0f}", *(f"{score[key]:.2f}" for key in ("r", "ccc", "amplitude")))
        sys.stdout.write(f"| {' | '.join(row)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
