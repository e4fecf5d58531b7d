"""Names of datasets and avatars. No name leads out of the folder it is looked for in."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Final

from recipe.errors import BadNameError

_ALLOWED: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_name(name: str) -> str:
    """Return the name if it may name a dataset or an avatar.

    Raises:
        BadNameError: it may not.
    """
    if not _ALLOWED.fullmatch(name):
        raise BadNameError(
            f"{name!r} is not allowed as a name: use 1 to 64 of the letters A-Z and a-z, digits, '.', '_' and '-', "
            "starting with a letter or digit"
        )
    return name


def safe_name(stem: str) -> str:
    """Make an allowed name of a file's: accents are dropped, other characters become '-'.

    A name that nothing is left of (one in another script, say) becomes "recording-" and a hash of it.
    """
    plain = unicodedata.normalize("NFKD", stem).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:64].rstrip("-._")
    if sum(character.isalnum() for character in name) >= 2 or name == stem:
        return check_name(name)
    return f"recording-{hashlib.sha256(stem.encode()).hexdigest()[:8]}"
