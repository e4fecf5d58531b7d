"""Text to speech on the command line.

python -m services.speech voices
python -m services.speech say "Good morning." speech.wav
python -m services.speech download en_US-lessac-medium
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import UserError
from recipe.places import at_home
from services.speech.download import BASE_URL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input or no network, 130 after Ctrl-C."""
    options = _parse(arguments)
    from services.speech.commands import run

    try:
        text = run(options)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: nothing was written\n")
        return 130
    sys.stdout.write(text)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.speech", description="Text to speech.")
    parser.add_argument("--voices_dir", type=Path, default=at_home("voices"), help="folder of the Piper voices")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("voices", help="every voice of this machine, the default one first")
    say = commands.add_parser("say", help="speak a text into a WAV file")
    say.add_argument("text")
    say.add_argument("out", type=Path, help="the WAV file")
    say.add_argument("--overwrite", action="store_true", help="replace an earlier file; else a number is appended")
    say.add_argument("--voice", help="one of `voices`; default: the first one")
    say.add_argument("--speed", type=float, default=1.0, help="0.5 to 2; 1 is the voice's own")
    download = commands.add_parser("download", help="fetch a Piper voice")
    download.add_argument("voice", help="for example en_US-lessac-medium")
    download.add_argument("--base_url", default=BASE_URL, help="a copy of rhasspy/piper-voices")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
