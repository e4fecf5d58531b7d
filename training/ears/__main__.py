"""Train the ears that ship with the product: python -m training.ears --speech FOLDER

Speaks an hour in many synthetic voices, adds the aligned real speech of FOLDER, trains, and writes the network. Run the
same command again to go on after a stop. Sets training.ears.material's held-out voices apart and prints what the ears
make of them.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import configargparse

from recipe.errors import UserError
from recipe.places import home

log = logging.getLogger("training.ears")


def main() -> int:
    """Entry point; the exit status."""
    parser = configargparse.ArgumentParser(
        prog="python -m training.ears",
        description=__doc__,
        formatter_class=configargparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--speech", type=Path, help="aligned real speech: utterances.jsonl and audio/ID.opus")
    parser.add_argument("--steps", type=int, default=24_000, help="length of the training (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of all randomness (default: %(default)s)")
    parser.add_argument("--share", type=float, default=1.0, help="of the minutes of every synthetic voice; for a trial")
    parser.add_argument("--run", type=Path, default=home() / "checkpoint" / "ears", help="folder of the run")
    parser.add_argument("--out", type=Path, default=home() / "models" / "ears.onnx", help="the network that is written")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        from training.ears.commands import run

        run(options.speech, options.steps, options.seed, options.share, options.run, options.out)
    except UserError as error:
        sys.stderr.write(f"ears: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
