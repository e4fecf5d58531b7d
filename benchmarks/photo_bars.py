"""What photo avatars are held to, measured: `python -m benchmarks.photo_bars photo.jpg another.jpg`.

Prints Markdown: lips that a text asks for against those found again in the drawn frames, the time from a photo to an
avatar, a frame on one thread, how many listen at 25 fps, the first frame, and what bad photos are answered.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code

VOICES = ("flite:slt", "flite:rms", "espeak:en-us")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgumentParser(
        prog="python -m benchmarks.photo_bars", description=(__doc__ or "").split("\n")[0]
    )
    parser.add(
        "photos",
        type=Path,
        nargs="+",
        help="photos, or videos whose best frames are taken; bad ones are made of them",
    )
    parser.add("--voices", nargs="+", default=list(VOICES), help="that tell their phones")
    parser.add(
        "--streams", type=int, nargs="*", default=[1, 2, 4, 6, 8], help="listeners at the same time; none: no server"
    )
    parser.add("--frames", type=int, default=250, help="that are timed")
    options = parser.parse_args(arguments)
    return exit_code("photo_bars", options)


if __name__ == "__main__":
    sys.exit(main())
