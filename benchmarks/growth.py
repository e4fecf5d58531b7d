"""What grows with the load, and what must not: `python -m benchmarks.growth --name NAME --size 720x720`.

Three tables: sessions side by side in one process, longer and longer sound, more and more avatars on disk.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0])
    parser.add("--sessions", type=int, nargs="*", default=[1, 2, 4, 8])
    parser.add("--session_s", type=float, default=10.0, help="sound of every session, seconds")
    parser.add("--seconds", type=float, nargs="*", default=[10.0, 600.0], help="lengths of sound")
    parser.add("--long", action="store_true", help="an hour of sound as well")
    parser.add("--avatars", type=int, nargs="*", default=[1, 10, 100], help="avatars on disk")
    parser.add("--opens", type=int, default=4, help="avatars that are opened in each of these folders")
    options = parser.parse_args(arguments)
    return exit_code("growth", options)


if __name__ == "__main__":
    sys.exit(main())
