"""How the live session does: `python -m benchmarks.live --name NAME`.

Starts `api.py` in a process of its own and talks to /ws with the Python client: the delay of the first frame, how fast
a cancel is answered, what each picture tier costs in bytes and processor time, sessions side by side that show their
frames in real time, what somebody sees and hears in headless Chromium (lips against sound, the machine otherwise idle
and with one core busy), and many utterances in one session, after which memory, handles and threads should be as they
were.
"""

from __future__ import annotations

import sys

from benchmarks.options import base_parser, exit_code


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = base_parser(__doc__.split("\n")[0])
    parser.add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add("--tiers", nargs="+", default=["patch", "jpeg"], choices=["patch", "jpeg", "h264"])
    parser.add("--rounds", type=int, default=20, help="first frames and cancels of each tier")
    parser.add("--words", type=int, default=60, help="length of what is said where that matters")
    parser.add("--streams", type=int, nargs="*", default=[1, 2, 4], help="how many sessions side by side")
    parser.add("--browser_s", type=float, default=60, help="seconds of speech in a browser; 0 leaves that out")
    parser.add("--soak", type=int, default=60, help="utterances in one session; 0 leaves that out")
    options = parser.parse_args(arguments)
    return exit_code("live", options)


if __name__ == "__main__":
    sys.exit(main())
