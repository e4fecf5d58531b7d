"""python -m services.access new NAME: make, list and revoke the keys of a server that others can reach."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.errors import UserError
from recipe.places import at_home
from services.access.keys import SCOPES, new_key, read_keys, revoke_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="python -m services.access", description=__doc__)
    parser.add_argument(
        "--file",
        type=Path,
        default=at_home("keys.txt"),
        help="AVATAR328_ACCESS__KEYS_FILE of the server (default: keys.txt)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    new = commands.add_parser("new", help="make a key and show it, once")
    new.add_argument("name", help="whose it is, for the log and for revoking it")
    new.add_argument("--scopes", nargs="+", choices=SCOPES, default=["speak"], help="what it may do (default: speak)")
    commands.add_parser("list", help="names and scopes")
    commands.add_parser("revoke", help="refuse a key from now on").add_argument("name")
    options = parser.parse_args(arguments)
    try:
        if options.command == "new":
            sys.stdout.write(new_key(options.file, options.name, tuple(dict.fromkeys(options.scopes))) + "\n")
        elif options.command == "revoke":
            revoke_key(options.file, options.name)
        else:
            for key in read_keys(options.file):
                sys.stdout.write(f"{key.name}: {', '.join(scope for scope in SCOPES if scope in key.scopes)}\n")
    except (UserError, OSError) as error:
        sys.stderr.write(f"services.access: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
