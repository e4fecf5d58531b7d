"""What more speech would bring the ears: `python -m benchmarks.ears_curves --speech ALIGNED --work FOLDER`.

The ears' network is trained for so many steps on parts of the material, with fewer hours, real speakers, voices or
languages, and judged by the voices that were kept apart. It hears by the log-mel spectrum, with `--whisper` by that
encoder. Prints a table; `--work` is that of benchmarks.front_ends.
"""

from __future__ import annotations

import sys

from benchmarks.options import ears_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = ears_parser((__doc__ or "").split("\n")[0], steps=1000)
    return exit_code("ears_curves", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
