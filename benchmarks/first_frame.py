"""How long the first frame takes, and the start: `python -m benchmarks.first_frame --name NAME --size 720x720`.

Three tables: the first frame of a warm session by stage, a cold start by stage (a process of its own that takes the
steps of `api.py` one by one, and `api.py` itself beside it), and the imports that take longest.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0])
    parser.add("--text", default="The quick brown fox jumps over the lazy dog. Then it sleeps.")
    parser.add("--rounds", type=int, default=5, help="first frames; the median counts")
    parser.add("--starts", type=int, default=3, help="cold starts; the median counts")
    parser.add("--no_server", dest="server", action="store_false", help="leave api.py itself out")
    options = parser.parse_args(arguments)
    return exit_code("first_frame", options)


if __name__ == "__main__":
    sys.exit(main())
