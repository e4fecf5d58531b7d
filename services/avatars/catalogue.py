"""The avatars of this server: which can be used, which are broken and why. Files are hashed once per change."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from recipe.avatar_format import AvatarManifest
from recipe.errors import UserError
from recipe.names import check_name
from services.avatars.avatar import AvatarEntry, entry_of, open_avatar
from services.errors import AvatarNotFoundError

# Name, modification time and size of every file of a folder.
Stamp = tuple[tuple[str, int, int], ...]

_UNREADABLE: Stamp = (("", 0, 0),)


@dataclass(frozen=True, slots=True)
class _Known:
    stamp: Stamp
    entry: AvatarEntry


class AvatarCatalogue:
    """What is in the folder of avatars; safe to use from several threads."""

    def __init__(self, avatars_dir: Path) -> None:
        self._avatars_dir = avatars_dir
        self._known: dict[str, _Known] = {}
        self._refreshing = threading.Lock()

    def known(self) -> list[AvatarEntry]:
        """What the last refresh found; costs nothing."""
        return [known.entry for _, known in sorted(self._known.items())]

    def manifest(self, name: str) -> AvatarManifest:
        """What an avatar says of itself, without loading it; its files are read only where they changed.

        Raises:
            BadNameError, AvatarNotFoundError, BrokenAvatarError: see `open_avatar`.
        """
        folder = self._avatars_dir / check_name(name)
        if folder.is_dir():
            with self._refreshing:
                known = self._looked_at(folder)
                self._known = {**self._known, name: known}
            if known.entry.manifest is not None:
                return known.entry.manifest
        return open_avatar(self._avatars_dir, name).manifest  # which says what is wrong

    def refresh(self) -> list[AvatarEntry]:
        """Look again; only an avatar whose files changed is read."""
        with self._refreshing:
            self._known = dict(self._look())
        return self.known()

    def _look(self) -> list[tuple[str, _Known]]:
        if not self._avatars_dir.is_dir():
            return []
        found = []
        for folder in self._avatars_dir.iterdir():
            if not folder.is_dir() or folder.name.startswith("."):
                continue
            found.append((folder.name, self._looked_at(folder)))
        return found

    def _looked_at(self, folder: Path) -> _Known:
        try:
            stamp = _stamp(folder)
            known = self._known.get(folder.name)
            return known if known and known.stamp == stamp else _Known(stamp, self._entry(folder.name))
        except OSError as error:  # a link to nowhere, or not to be read by this user
            return _Known(
                _UNREADABLE, AvatarEntry(folder.name, None, f"{folder.name} cannot be read ({error.strerror})")
            )

    def _entry(self, name: str) -> AvatarEntry:
        try:
            return entry_of(open_avatar(self._avatars_dir, name))
        except AvatarNotFoundError:
            return AvatarEntry(name, None, "it was removed")
        except UserError as error:
            return AvatarEntry(name, None, without_folder(str(error), self._avatars_dir))


def without_folder(text: str, folder: Path) -> str:
    """A message for somebody who need not know where on this machine the files lie."""
    for spelling in (str(folder.resolve()), str(folder)):
        path = rf"(?<![\w./-]){re.escape(spelling)}"  # the folder may be called "a", or be "."
        text = re.sub(rf"{path}/(?=\w)", "", text)
        text = re.sub(rf"{path}(?![\w/-])", "this server's avatars", text)
    return text


def _stamp(folder: Path) -> Stamp:
    stamps = []
    for path in sorted(folder.iterdir()):
        status = path.stat()
        stamps.append((path.name, status.st_mtime_ns, status.st_size))
    return tuple(stamps)
