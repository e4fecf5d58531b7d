"""Where the time of a generated frame goes: `python -m benchmarks.per_frame --name NAME --size 720x720`.

Every stage is timed by itself on the same frames, for every runtime and precision of this machine in turn, and the
whole generator beside it. All runs take turns in one process, and the machine's peak is measured between them, so
that a busy neighbour disturbs all of them alike.
"""

from __future__ import annotations

import sys

from benchmarks.options import RUNTIMES, base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0], runtime=False)
    parser.add("--frames", type=int, default=75)
    parser.add("--rounds", type=int, default=3, help="medians of so many")
    parser.add("--runtimes", nargs="+", choices=RUNTIMES, help="by default all that this machine has")
    options = parser.parse_args(arguments)
    return exit_code("per_frame", options)


if __name__ == "__main__":
    sys.exit(main())
