"""What this machine is and what it reaches at most: `python -m benchmarks.machine`.

Figures of two machines can be told apart only by this: the class of the processor, its cores, and the rate of a matrix
product in every number format, on one thread and on all. How well the rates of all threads add up tells whether the
cores are shared with somebody.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgParser(
        prog="python -m benchmarks.machine", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add("--rounds", type=int, default=5, help="the best of so many")
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    return exit_code("machine", options)


if __name__ == "__main__":
    sys.exit(main())
