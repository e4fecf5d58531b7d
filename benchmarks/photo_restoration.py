"""Whether restoring helps: `python -m benchmarks.photo_restoration --photo tests/data/presenter.mp4`.

A good photo is made bad in known ways and restored; both are compared with the good one by SSIM in the box of the face.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgumentParser(
        prog="python -m benchmarks.photo_restoration", description=(__doc__ or "").split("\n")[0]
    )
    parser.add("--photo", type=Path, required=True, help="a good photo, or a video whose best frame is taken")
    parser.add("--restorer", type=Path, help="the ONNX file of a network to measure instead of what is built in")
    parser.add("--pictures", type=Path, help="write what was compared into this folder: good, bad and restored beside")
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    return exit_code("photo_restoration", options)


if __name__ == "__main__":
    sys.exit(main())
