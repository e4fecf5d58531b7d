"""Models of others on the command line.

python -m services.models list
python -m services.models fetch hubert
python -m services.models clear hubert

Piper voices are named piper:NAME, as in `fetch piper:en_US-lessac-medium`; `engines` is what was compiled for this
machine: `clear engines`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import UserError
from recipe.places import at_home


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for bad input or no network, 130 after Ctrl-C."""
    options = _parse(arguments)
    from services.models.commands import run

    try:
        text = run(options)
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what came is kept, and the same command goes on\n")
        return 130
    sys.stdout.write(text)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m services.models", description="Models of others.")
    parser.add_argument("--folder", type=Path, default=at_home("cache/models"), help="default: cache/models")
    parser.add_argument("--voices_dir", type=Path, default=at_home("voices"), help="folder of the Piper voices")
    parser.add_argument("--engines_dir", type=Path, default=at_home("cache/tensorrt"), help="default: cache/tensorrt")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="what there is and what can be fetched, with sizes and licences")
    fetch = commands.add_parser("fetch", help="fetch a model, unless it is there")
    fetch.add_argument("name", help="one of `list`, or piper:NAME")
    clear = commands.add_parser("clear", help="remove a model, or what was fetched of it")
    clear.add_argument("name", help="one of `list`")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
