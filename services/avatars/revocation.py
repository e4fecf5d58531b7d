"""Revoke an avatar: what was made of the person goes, and a tombstone keeps it from coming back by mistake."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from recipe.avatar_format import MANIFEST_FILE
from recipe.files import sha256
from recipe.locks import only_writer
from recipe.names import check_name
from recipe.tombstones import Tombstone, write_tombstone
from services.errors import AvatarNotFoundError

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_DATASET_MANIFEST: Final = "manifest.json"
_MOST_BYTES: Final = 1 << 24  # of a description that is searched for a hash


@dataclass(frozen=True, slots=True)
class Places:
    """Where the traces of an avatar lie."""

    avatars_dir: Path
    dataset_dir: Path
    checkpoint_dir: Path
    verdicts_dir: Path  # what was measured about networks
    engines_dir: Path  # what TensorRT compiled, weights and all
    animations_dir: Path  # what cache=true kept


@dataclass(frozen=True, slots=True)
class Revoked:
    """What was done."""

    removed: tuple[Path, ...]
    tombstones: tuple[Path, ...]
    others: tuple[str, ...]  # avatars of the same recording under other names: refused, but still there
    original: Path | None  # the recording outside, that the dataset linked to


def revoke(places: Places, name: str, by: str) -> Revoked:
    """Remove an avatar and all that it was made of. The tombstone comes first: whenever this is cut off, nothing is
    served any more, and a second call goes on.

    Args:
        places: where to look.
        name: of the avatar, its dataset and its checkpoints.
        by: who revokes it.
    Raises:
        BadNameError: no possible name.
        AvatarNotFoundError: nothing of that name is anywhere.
        InUseError: another process makes it, or trains; stop that first. Nothing was removed.
    """
    check_name(name)
    homes = [places.avatars_dir / name, places.dataset_dir / name, places.checkpoint_dir / name]
    there = [home for home in homes if home.exists()]
    if not there:
        raise AvatarNotFoundError(f"nothing is called {name!r} in {', '.join(str(home.parent) for home in homes)}")
    with ExitStack() as held:
        stages = [path for path in homes[2].iterdir() if path.is_dir()] if homes[2].is_dir() else []
        for folder in (*there, *stages):
            held.enter_context(only_writer(folder))
        original = _linked_to(homes[1], name)
        when = datetime.now(UTC).isoformat(timespec="seconds")
        hashes = sorted(_hashes(homes[0], homes[1], name))
        stones = [write_tombstone(places.avatars_dir, Tombstone(digest, name, when, by)) for digest in hashes]
        # While it was packaged by a process that was killed, an avatar lay under one of these names.
        aside = [homes[0].with_name(f".{name}.{kind}") for kind in ("part", "old")]
        doomed = [*_cached(places, name), *(path for path in aside if path.exists())]
        for path in doomed:
            _remove(path)
    for home in there:  # without the locks, which lie in the folder of checkpoints
        _remove(home)
    others = (
        path.parent.name
        for path in _files(places.avatars_dir, f"[!.]*/{MANIFEST_FILE}")
        if _described(path).get("source_sha256") in hashes
    )
    return Revoked((*there, *doomed), tuple(stones), tuple(others), original)


def _hashes(avatar: Path, dataset: Path, name: str) -> set[str]:
    """Of every recording that these were made of, as far as it is known; a broken description may still tell it."""
    told = [
        _described(avatar / MANIFEST_FILE).get("source_sha256"),
        (_described(dataset / _DATASET_MANIFEST).get("source") or {}).get("sha256"),
    ]
    recordings = {sha256(path) for path in _recordings(dataset, name)}
    return recordings | {text for text in told if isinstance(text, str) and _SHA256.fullmatch(text)}


def _recordings(dataset: Path, name: str) -> Iterator[Path]:
    """The recording, and those of the same name that it replaced."""
    if dataset.is_dir():
        yield from (path for path in dataset.iterdir() if path.name.startswith(f"{name}.") and path.is_file())


def _linked_to(dataset: Path, name: str) -> Path | None:
    return next((path.resolve() for path in _recordings(dataset, name) if path.is_symlink()), None)


def _described(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            return {}
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _cached(places: Places, name: str) -> Iterator[Path]:
    """What was measured about its networks; and what does not tell whose it is, so of all: engines and animations."""
    for path in _files(places.verdicts_dir, "*.json"):
        if Path(str(_described(path).get("network", ""))).parent.name == name:
            yield path
    yield from _files(places.engines_dir, "*-*")
    yield from (path for path in _files(places.animations_dir, "*") if _SHA256.fullmatch(path.name))


def _files(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
