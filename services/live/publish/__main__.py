"""An avatar on a streaming site: it moves all the time, and says what is typed.

python -m services.live.publish --name demo --publish rtmp://localhost/live/KEY
echo "Good morning." | python -m services.live.publish --name demo --publish talk.ts

Every line is said after the one before; an empty line interrupts. At the end of the lines the stream ends, unless
--stay keeps it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from recipe.errors import UserError
from recipe.places import at_home
from services.runtimes.names import Device


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until the lines end; returns the exit code: 0, 2 if it cannot be done, 130 after Ctrl-C."""
    options = _parse(arguments)
    from services.live.publish.run import run

    try:
        told = run(options, sys.stdin)
    except (UserError, ValueError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        return 130
    sys.stdout.write(told)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m services.live.publish",
        description="Publish an avatar that says the lines it is given; an empty line interrupts it.",
    )
    parser.add_argument("--name", required=True, help="the avatar")
    parser.add_argument(
        "--publish",
        required=True,
        metavar="TARGET",
        help="rtmp://, rtmps://, srt:// or udp://, or a file (.ts, .mkv, .flv, .mp4)",
    )
    parser.add_argument("--avatars_dir", type=Path, default=at_home("avatars"), help="folder of the avatars")
    parser.add_argument("--voices_dir", type=Path, default=at_home("voices"), help="folder of the Piper voices")
    parser.add_argument("--device", default="auto", choices=get_args(Device), help="what runs the networks")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads per network; 0 = one per core")
    parser.add_argument("--voice", help="of the lines, as `python -m services.speech voices` lists it")
    parser.add_argument("--speed", type=float, default=1.0, help="of the lines, 0.5 to 2")
    parser.add_argument("--kbit_s", type=int, default=2500, help="of the picture")
    parser.add_argument("--stay", action="store_true", help="go on, silent, when there are no more lines")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
