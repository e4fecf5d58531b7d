"""Train the ears that ship with the product: python -m training.ears --speech FOLDER

Speaks an hour in many synthetic voices, adds the aligned real speech of FOLDER, trains, and writes the network. Run the
same command again to go on after a stop. Sets training.ears.material's held-out voices apart and prints what the ears
make of them.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import configargparse

from recipe.errors import UserError
from recipe.installed import missing_packages_are_said
from recipe.interrupt import sigterm_interrupts
from recipe.places import home
from training.waiting import wait_briefly

log = logging.getLogger("training.ears")
INTERRUPTED = 130


def parse_options(arguments: Sequence[str] | None = None) -> configargparse.Namespace:
    """Read the command line."""
    parser = configargparse.ArgumentParser(
        prog="python -m training.ears",
        description=__doc__,
        formatter_class=configargparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--speech", type=Path, help="aligned real speech: utterances.jsonl and audio/ID.opus")
    parser.add_argument("--steps", type=_count, default=13_500, help="length of the training (default: %(default)s)")
    parser.add_argument("--pairs", type=_count, default=256, help="pairs of frames of a step (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness (default: %(default)s)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda:N")
    parser.add_argument(
        "--share", type=_factor, default=1.0, help="of the minutes of every synthetic voice; small for a trial"
    )
    parser.add_argument("--run", type=Path, default=home() / "checkpoint" / "_ears", help="folder of the run")
    parser.add_argument("--out", type=Path, default=home() / "models" / "ears.onnx", help="the network that is written")
    parser.add_argument("--start", type=Path, help="trained ears (.onnx) to set out from")
    parser.add_argument(
        "--mean",
        choices=("start", "last"),
        help="OUT is the mean of the best weights and those of START or of the last step (default: the best alone)",
    )
    parser.add_argument("--whisper", type=Path, help="a Whisper encoder, the trunk of ears that are trained anew")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="at its highest (default: %(default)s)")
    parser.add_argument("--judge", action="store_true", help="train nothing: print what OUT makes of the voices apart")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train; exit codes: 0 done, 2 bad input, 130 interrupted (resume with the same command)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse_options(arguments)
    wait_briefly()
    with sigterm_interrupts():
        try:
            with missing_packages_are_said():
                from training.ears.commands import judge, run, store_of
                from training.ears.stage import EarsPreset

            if options.judge:
                options.run.parent.mkdir(parents=True, exist_ok=True)
                judge(options.speech, options.share, store_of(options.run), options.out)
                return 0
            preset = EarsPreset.of(options.steps, options.pairs, options.learning_rate)
            run(
                options.speech,
                preset,
                options.seed,
                options.share,
                options.device,
                options.run,
                options.out,
                options.start,
                options.whisper,
                options.mean,
            )
        except KeyboardInterrupt as stop:
            log.error("%s", str(stop) or "interrupted: run the same command again to go on")
            return INTERRUPTED
        except (UserError, ValueError, OSError) as error:
            log.error("error: %s", error)
            return 2
    return 0


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _factor(text: str) -> float:
    factor = float(text)
    if not 0 < factor <= 10:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 10")
    return factor


if __name__ == "__main__":
    sys.exit(main())
