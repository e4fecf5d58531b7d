"""What the ears would hear better with: `python -m benchmarks.front_ends --speech ALIGNED --whisper FOLDER`.

The same windows of the ears' material, in rooms and noise, go through each front end once; the same network is then
trained on what each gave, for so many steps, and judged by the voices that were kept apart, as `python -m
training.ears --judge` does. Prints a table. Run again, it takes up what it has computed.
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
    parser.add("--whisper", type=Path, help="a Whisper encoder: scripts/whisper_from_ctranslate2.py makes one")
    parser.add("--hama", action="store_true", help="phones of the package hama as well, if it is installed")
    parser.add("--only", nargs="+", help="front ends by their names in the table")
    parser.add("--pairs", type=int, default=72_000, help="pairs of frames to learn from")
    parser.add("--steps", type=int, default=3000, help="of 128 pairs")
    parser.add("--work", type=Path, required=True, help="folder for what is computed: 50 MB per 1000 pairs and more")
    parser.add("--json", type=Path, help="write the numbers here as well")
    return exit_code("front_ends", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
