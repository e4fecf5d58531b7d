"""What a training step costs, by stage: `python -m benchmarks.training_step --name NAME --preset quick`.

Needs a prepared dataset; the nets start untrained and nothing is written beside the temporary folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import configargparse

from benchmarks.options import exit_code
from recipe.places import at_home
from training.presets import PRESETS


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgParser(description=__doc__.split("\n")[0])
    parser.add("--name", required=True, help="the dataset")
    parser.add("--dataset_dir", type=Path, default=at_home("dataset"))
    parser.add("--preset", default="quick", choices=sorted(PRESETS))
    parser.add("--device", default="auto")
    parser.add("--threads", type=int, default=0)
    parser.add("--steps", type=int, default=6, help="measured steps per stage")
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    return exit_code("training_step", options)


if __name__ == "__main__":
    sys.exit(main())
