"""How an avatar of the presenter moves its lips to voices it never heard (`python -m benchmarks.unseen_voices`).

Prints a table. The presenter articulates every sentence exactly, so the true opening is known without rendering it;
the avatar's is found in its drawn frames as evaluation finds it.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code
from presenter.defaults import PEOPLE

SETS = ("same_voice", "voice_rms", "voice_awb", "voice_kal16", "voice_en_us", "voice_en_gb", "noisy", "reverberant")


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser((__doc__ or "").split("\n")[0])
    parser.add("--sets", nargs="+", default=list(SETS), help="of presenter.driving_sets")
    parser.add("--seconds", type=float, default=75.0, help="of each; 75 hold sixty to eighty p, b and m")
    parser.add("--told", action="store_true", help="tell what is said beside its sound, as a voice of a text does")
    parser.add("--person", default=PEOPLE[0], choices=PEOPLE, help="the look of the presenter that the avatar is of")
    parser.add("--seed", type=int, default=2, help="of the presenter's movements")
    return exit_code("unseen_voices", parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
