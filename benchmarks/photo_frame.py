"""What a frame of a photo avatar costs: `python -m benchmarks.photo_frame --photo tests/data/presenter.mp4`.

One thread, everything that is told changes from frame to frame: lips as in speech, head, lids, brows and gaze. Beside
it what making the avatar's arrays takes once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgumentParser(
        prog="python -m benchmarks.photo_frame", description=(__doc__ or "").split("\n")[0]
    )
    parser.add("--photo", type=Path, required=True, help="a photo, or a video whose best frame is taken")
    parser.add(
        "--sizes", type=int, nargs="+", default=[512, 720], help="sides of the frames; photos are enlarged to it"
    )
    parser.add("--frames", type=int, default=250)
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    return exit_code("photo_frame", options)


if __name__ == "__main__":
    sys.exit(main())
