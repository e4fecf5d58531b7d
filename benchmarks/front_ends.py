"""What the ears would hear better with: `python -m benchmarks.front_ends --speech ALIGNED --whisper FOLDER`.

The same windows of the ears' material, in rooms and noise, go through each front end once; the same network is then
trained on what each gave, for so many steps, and judged by the voices that were kept apart, as `python -m
training.ears --judge` does. Prints a table. Run again, it takes up what it has computed.
"""

from __future__ import annotations

import sys

from benchmarks.options import ears_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = ears_parser((__doc__ or "").split("\n")[0], steps=3000)
    parser.add("--hama", action="store_true", help="phones of the package hama as well, if it is installed")
    parser.add("--only", nargs="+", help="front ends by their names in the table")
    return exit_code("front_ends", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
