"""Where the time of a film avatar's frame goes: `python -m benchmarks.film_frame --name demo`.

Every stage by itself on one thread, then the whole on one thread and on all: to pictures, JPEG, mouth patches and an
H.264 file, the template new and seen. Processor time is given beside the clock, and as a share of what the float32
decoder of a trained avatar takes for a frame in the same run, so that figures of two machines can be compared.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0], runtime=False)
    parser.add("--frames", type=int, default=200)
    parser.add("--rounds", type=int, default=3, help="medians of so many")
    parser.add("--yardstick", default="demo-unet", help="a trained avatar, whose decoder in float32 is the unit")
    options = parser.parse_args(arguments)
    return exit_code("film_frame", options)


if __name__ == "__main__":
    sys.exit(main())
