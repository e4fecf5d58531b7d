"""Files that are whole or not there at all, and their hashes."""

from __future__ import annotations

import hashlib
from pathlib import Path


def same_content(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes."""
    return a.samefile(b) or (a.stat().st_size == b.stat().st_size and sha256(a) == sha256(b))


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
