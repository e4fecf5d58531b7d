"""Against the published peer: `python -m benchmarks.peer --name NAME --size 720x720`.

The peer's network (benchmarks/peer_network.py, random weights) in its own kind of loop, one frame at a time in eager
PyTorch: read a JPEG, crop, network, resize and paste with a hard edge, write Motion JPEG; then its second pass to
H.264 with sound. Ours are the services as they are, from sound to the finished file, on the same frames. Both take
turns in one process on the same number of threads.

glibc gives large blocks back to the kernel at once, and eager PyTorch then spends much of its time on page faults:
`--malloc both` runs everything twice, as glibc is set up by default and with its thresholds raised.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0])
    parser.add("--frames", type=int, default=25)
    parser.add("--rounds", type=int, default=3, help="medians of so many")
    parser.add("--malloc", default="both", choices=("both", "as_is"), help="as_is: as this process was started")
    options = parser.parse_args(arguments)
    return exit_code("peer", options, sys.argv[1:] if arguments is None else arguments)


if __name__ == "__main__":
    sys.exit(main())
