"""Files and folders that are whole or not there at all, places for results, and hashes."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EEXIST, ENOSPC
from pathlib import Path
from typing import Final

from recipe.errors import OutputError
from recipe.locks import hold, only_writer

_NAMES_TRIED: Final = 10
_STEM_CHARACTERS: Final = 50


class PartFile:
    """A file under another name beside its own, which it gets when it is whole.

    It is locked for as long as it is written. So what nobody locks was left by a process that was killed, here or in
    another container, and the next one that writes the same file removes it.
    """

    def __init__(self, final: Path) -> None:
        """Make the empty file.

        Args:
            final: what it will be called; the folder is made.
        Raises:
            OSError: it cannot be written there, or the file system has no locks.
        """
        final.parent.mkdir(parents=True, exist_ok=True)
        remove_left_overs(final.parent, final)
        self._final = final
        for _ in range(_NAMES_TRIED):
            self.path = final.with_name(f".{_shortened(final)}.{secrets.token_hex(8)}.part{final.suffix}")
            handle = hold(self.path)
            if handle is not None:
                break  # else another writer took it for a left-over before it was locked, and removes it
        if handle is None:
            raise FileExistsError(EEXIST, os.strerror(EEXIST), str(self.path))
        self._handle: int | None = handle

    def keep(self) -> None:
        """Give it its name, over an older file."""
        self.path.replace(self._final)

    def close(self) -> None:
        """Remove it, if it was not kept, and end the lock; a second time does nothing."""
        if self._handle is None:
            return
        try:
            self.path.unlink(missing_ok=True)
        finally:
            os.close(self._handle)
            self._handle = None


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Write a file under another name beside it; it gets its own when the block ends well, and goes when it does not.

    Args:
        path: the file; its folder is made.
    Yields:
        The other name, with the same suffix: an empty file that nobody else writes. See `PartFile`.
    """
    part = PartFile(path)
    try:
        yield part.path
        part.keep()
    finally:
        part.close()


def remove_left_overs(folder: Path, final: Path | None = None) -> None:
    """Remove part files that nobody writes any more.

    Args:
        folder: where they lie.
        final: only those that were to become this file.
    """
    begins, ends = ("*", "") if final is None else (glob.escape(_shortened(final)), glob.escape(final.suffix))
    for left_over in folder.glob(f".{begins}.{'[0-9a-f]' * 16}.part{ends}"):
        try:
            handle = hold(left_over, create=False)
        except PermissionError:
            continue  # another user's, who will remove it
        if handle is not None:
            left_over.unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def built_aside(final: Path) -> Iterator[Path]:
    """Build a folder under another name beside its place; it takes it, whole, when the block ends well.

    An earlier folder there goes away only when the new one is complete; one that a killed process had just put out of
    the way comes back. Nobody else builds the same one meanwhile.

    Args:
        final: the folder; the one around it is made.
    Yields:
        An empty folder.
    Raises:
        InUseError: another builds or changes it; the message says who.
    """
    folder, old = (final.with_name(f".{final.name}.{kind}") for kind in ("part", "old"))
    with only_writer(final):
        if old.exists() and not final.exists():
            old.rename(final)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
            if final.exists():
                final.rename(old)
            try:
                folder.rename(final)
            except OSError:
                if old.exists():
                    old.rename(final)
                raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def why_not_written(error: Exception, folder: Path) -> str:
    """What to tell of an error of a program that writes below a folder: what a full disk means, or the error itself."""
    if isinstance(error, OSError) and error.errno in (ENOSPC, EDQUOT):
        return (
            f"the disk that holds {folder} is full; what was being written was taken back. Free some space there, or "
            "choose another folder, and run the same command again"
        )
    return str(error)


def result_path(asked: Path, overwrite: bool = False) -> Path:
    """Where a result that was asked for goes: never over an earlier one unasked, never into folders out of nowhere.

    Args:
        asked: the file; one missing folder is made for it, two or one in the root folder are a slip of the pen.
        overwrite: an earlier result is replaced; otherwise a number is appended to the name.
    Raises:
        OutputError: there is no such place.
    """
    path = asked.expanduser().absolute()
    folder = path.parent
    if not folder.is_dir():
        if not folder.parent.is_dir() or folder.parent == folder.parent.parent:
            raise OutputError(f"{folder} does not exist: make the folder, or choose another place for {path.name}")
        folder.mkdir(exist_ok=True)
    number = 1
    while path.exists() and not overwrite:
        number += 1
        path = folder / f"{asked.stem}-{number}{asked.suffix}"
    return path


def same_content(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes."""
    return a.samefile(b) or (a.stat().st_size == b.stat().st_size and sha256(a) == sha256(b))


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shortened(final: Path) -> str:
    """So much of the name that there is room for the rest: file systems allow 255 bytes."""
    return final.stem[:_STEM_CHARACTERS]
