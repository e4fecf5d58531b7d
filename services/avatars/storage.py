"""Avatars on shared storage: a folder of other machines, S3, or whatever else fsspec has a driver for.

    push(avatars_dir, "ada", "s3://bucket/avatars")     # s3://bucket/avatars/ada
    pull(avatars_dir, "ada", "s3://bucket/avatars")

Only whole avatars move: what is sent was checked before, its manifest is sent last; what is fetched is checked before
it takes its name. A storage is nobody to be trusted: nothing is read but the files that the manifest names.

Credentials are the driver's matter (for S3 the usual environment and files of AWS).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from recipe.avatar_format import MANIFEST_FILE, AvatarManifest, read_manifest
from recipe.errors import UserError
from recipe.files import built_aside
from recipe.installed import missing_packages_are_said
from recipe.names import check_name
from recipe.tombstones import check_not_revoked
from services.avatars.avatar import open_any, open_avatar

_LARGEST_BYTES: Final = 4 << 30  # of one file
_PIECE_BYTES: Final = 1 << 20


class StorageError(UserError):
    """A storage cannot be reached or used, or what lies there is no avatar."""


def push(avatars_dir: Path, name: str, storage: str) -> str:
    """Put an avatar there; one of that name which is there already is replaced.

    Args:
        avatars_dir: folder of the avatars.
        name: of the avatar.
        storage: URL of the folder of avatars there, in which it gets its name.
    Returns:
        The avatar's own URL.
    Raises:
        StorageError: the storage cannot be reached or written.
        UserError: see `open_avatar`.
    """
    avatar = open_avatar(avatars_dir, name)
    with _told(storage):
        system, place = _opened(storage, name)
        if system.exists(f"{place}/{MANIFEST_FILE}"):
            system.rm_file(f"{place}/{MANIFEST_FILE}")  # from here on until the end there is no avatar
        system.makedirs(place, exist_ok=True)
        for file in (*avatar.manifest.files, MANIFEST_FILE):
            system.put_file(str(avatar.folder / file), f"{place}/{file}")
    return f"{storage.rstrip('/')}/{name}"


def pull(avatars_dir: Path, name: str, storage: str) -> AvatarManifest:
    """Fetch an avatar; one of that name which is here already is replaced when the new one is whole and as packaged.

    Args:
        avatars_dir, name, storage: see `push`.
    Raises:
        StorageError: the storage cannot be reached, or there is no such avatar.
        RevokedError: the person wants no avatar any more.
        BrokenAvatarError: it is not as it was packaged.
    """
    with built_aside(avatars_dir / check_name(name)) as folder:
        with _told(storage):
            system, place = _opened(storage, name)
            if not system.exists(f"{place}/{MANIFEST_FILE}"):
                raise StorageError(f"there is no avatar {name!r} in {storage}; see what its folder holds, or push one")
            _fetch(system, f"{place}/{MANIFEST_FILE}", folder / MANIFEST_FILE)
        manifest = read_manifest(folder)
        check_not_revoked(avatars_dir, manifest.source_sha256)
        with _told(storage):
            for file in manifest.files:
                _fetch(system, f"{place}/{file}", folder / file)
        open_any(folder, name)
    return manifest


def _fetch(system: Any, source: str, target: Path) -> None:
    """In pieces, and no more than a file of an avatar can have."""
    taken = 0
    with system.open(source, "rb") as there, target.open("wb") as here:
        while piece := there.read(_PIECE_BYTES):
            taken += len(piece)
            if taken > _LARGEST_BYTES:
                raise StorageError(f"{source} has more than {_LARGEST_BYTES >> 30} GiB: that is no file of an avatar")
            here.write(piece)


def _opened(storage: str, name: str) -> tuple[Any, str]:
    """A driver, and the avatar's place in its terms."""
    with missing_packages_are_said("pip install -e '.[storage]'"):
        import fsspec
    system, place = fsspec.core.url_to_fs(storage)
    return system, f"{place.rstrip('/')}/{check_name(name)}"


@contextlib.contextmanager
def _told(storage: str) -> Iterator[None]:
    """What a driver raises has no common class; here it gets one, with the storage's name."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(
            f"{storage} cannot be used ({reason}); give a folder or a URL such as s3://bucket/avatars, and what its "
            "driver needs to be let in"
        ) from error
