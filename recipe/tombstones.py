"""Recordings and photos whose person wants no avatar any more: a tombstone keeps one from being made or shown again.

    avatars/.revoked/SHA-256.json: {"source_sha256": ..., "name": ..., "revoked": ..., "by": ...}

It lies beside the avatars and goes where they go; no tombstone holds anything of the recording but its hash.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from recipe.errors import RevokedError
from recipe.files import written_aside

_FOLDER: Final = ".revoked"
_NAME: Final = re.compile(r"([0-9a-f]{64})\.json")


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is known of an avatar that was revoked."""

    source_sha256: str  # of the recording or the photo
    name: str
    revoked: str  # when, ISO 8601
    by: str  # who revoked it


def write_tombstone(avatars_dir: Path, stone: Tombstone) -> Path:
    """Write one, over an earlier one of the same recording; returns its file."""
    path = _path(avatars_dir, stone.source_sha256)
    with written_aside(path) as part, part.open("w", encoding="utf-8") as file:
        json.dump(asdict(stone), file, ensure_ascii=False, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return path


def revoked_recordings(avatars_dir: Path) -> frozenset[str]:
    """The hashes of all that were revoked; whether a tombstone can be read does not matter."""
    folder = avatars_dir / _FOLDER
    if not folder.is_dir():
        return frozenset()
    return frozenset(match[1] for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def check_not_revoked(avatars_dir: Path, source_sha256: str) -> None:
    """Refuse a recording or photo that was revoked.

    Args:
        avatars_dir: where its avatar lies, or is to lie.
        source_sha256: its hash.
    Raises:
        RevokedError: says who revoked it and when.
    """
    path = _path(avatars_dir, source_sha256)
    if not path.exists():
        return
    raise RevokedError(
        f"the avatar of this recording or photo (SHA-256 {source_sha256[:12]}...) was revoked{_said(path)} and "
        f"is neither made nor shown; only if the person agreed anew, remove {_FOLDER}/{path.name} from the avatars"
    )


def _path(avatars_dir: Path, source_sha256: str) -> Path:
    return avatars_dir / _FOLDER / f"{source_sha256}.json"


def _said(path: Path) -> str:
    """Who and when; nothing where the tombstone cannot be read, which revokes all the same."""
    try:
        stone = json.loads(path.read_text(encoding="utf-8"))
        return f" by {stone['by']} on {stone['revoked']} (it was called {stone['name']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""
