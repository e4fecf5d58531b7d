"""`python -m recipe.check_consent "who, YYYY-MM-DD, scope"`: is it one? Asked before hours are spent."""

from __future__ import annotations

import sys

from recipe.consent import parse_consent
from recipe.errors import ConsentFormatError


def main(arguments: list[str]) -> int:
    """Exit codes: 0 it is, 2 it is not, and the message on standard error says why."""
    try:
        parse_consent(" ".join(arguments), "")
    except ConsentFormatError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
