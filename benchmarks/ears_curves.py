"""What more speech would bring the ears: `python -m benchmarks.ears_curves --speech ALIGNED --work FOLDER`.

The ears' network is trained for so many steps on parts of the material, with fewer hours, real speakers, voices or
languages, and judged by the voices that were kept apart. Prints a table; `--work` is that of benchmarks.front_ends.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgParser(description=(__doc__ or "").split("\n")[0])
    parser.add("--speech", type=Path, help="aligned real speech, as of training.ears")
    parser.add("--share", type=float, default=1.6, help="of the minutes of every synthetic voice")
    parser.add("--pairs", type=int, default=72_000, help="pairs of frames to learn from")
    parser.add("--steps", type=int, default=1000, help="of 128 pairs, whatever they are drawn from")
    parser.add("--work", type=Path, required=True, help="folder for what is computed: 15 MB per 1000 pairs and more")
    parser.add("--json", type=Path, help="write the numbers here as well")
    return exit_code("ears_curves", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
