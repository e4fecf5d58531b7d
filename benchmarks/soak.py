"""Whether a server stays as it is: `python -m benchmarks.soak --name demo --minutes 60`.

A real server and mixed clients at the same time: streams that are listened to, streams that are left, files, uploads,
live sessions with interruptions, broken requests. Every few minutes its memory, handles and threads are read; the last
look is compared with the first one after the warm-up. Exit code 2 if something grew that should not.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Run and print."""
    parser = base_parser((__doc__ or "").split("\n")[0])
    parser.add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add("--minutes", type=float, default=60.0)
    parser.add("--looks", type=int, default=12, help="how often it is looked at")
    parser.set_defaults(streams=[4])  # places of the server
    return exit_code("soak", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
