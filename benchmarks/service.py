"""How fast the server answers, and how steadily: `python -m benchmarks.service --name NAME --size 720x720`.

Starts `api.py` on a free port in a process of its own and measures as a client does: the start, first byte, first and
last frame of a short and a long text, then streams side by side: when every frame of each came, `/health` meanwhile,
and what the server needed for them.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0])
    parser.add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add("--words", type=int, nargs="*", default=[10, 100], help="lengths of the texts that are said alone")
    parser.add("--streams", type=int, nargs="*", default=[1, 2, 4], help="how many are served side by side")
    parser.add("--stream_words", type=int, default=100, help="length of the text of each of these")
    options = parser.parse_args(arguments)
    return exit_code("service", options)


if __name__ == "__main__":
    sys.exit(main())
