"""What a server does when somebody means it harm: `python -m benchmarks.attack --name demo`, in under ten minutes.

A real server in a process of its own is attacked in one way after the other; after each it has to answer a sentence as
it did before, in the memory that it had. Prints what was tried how often, and what happened. Exit code 2 if one attack
did harm.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Attack and print."""
    parser = base_parser((__doc__ or "").split("\n")[0], runtime=False)
    parser.add("--times", type=float, default=1.0, help="as often as this: .1 for a quick look")
    parser.add("--attacks", nargs="*", help="only these; all by default")
    return exit_code("attack", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
