"""Finished animations on disk, for texts that are said again and again; the oldest go when there are too many."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

from recipe.files import PartFile, remove_left_overs

logger = logging.getLogger(__name__)

_KEPT: Final = re.compile(r"[0-9a-f]{64}")  # nothing else in the folder is touched


def animation_key(**facts: str | int | float | None) -> str:
    """A hash of everything the bytes of an animation depend on."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


class AnimationCache:
    """Files named by their key; a file is there only when it is whole."""

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Choose the place; it is made when something is kept.

        Args:
            folder: holds nothing else.
            budget_bytes: for all files together; 0 keeps nothing.
        """
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._tidying = threading.Lock()

    def find(self, key: str) -> Path | None:
        """The file of a key, which becomes the most recently used one."""
        path = self._folder / key
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def clear(self) -> None:
        """Remove all files: their names do not tell who is shown."""
        with self._tidying:
            for path in self._folder.glob("*"):
                if _KEPT.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def keep(
        self, key: str, pieces: Generator[bytes, None, None], still_right: Callable[[], bool]
    ) -> Generator[bytes, None, None]:
        """Pass an animation on, and keep it if it is passed on to its end.

        A disk that is full or cannot be written costs the copy, never the animation.

        Args:
            key: of what was asked for.
            pieces: the animation.
            still_right: asked at the end: whether it is what the key says.
        """
        if not self._budget_bytes:
            yield from pieces
            return
        size = 0
        part: PartFile | None = None
        file: BinaryIO | None = None
        try:
            with closing(pieces):
                try:
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what was said is nobody else's
                    part = PartFile(self._folder / key)
                    file = part.path.open("wb")
                except OSError as error:
                    logger.warning("animations cannot be kept: %s", error)
                for piece in pieces:
                    size += len(piece)
                    if file is not None and not self._write(file, piece, size):
                        with contextlib.suppress(OSError):
                            file.close()
                        file = None
                    yield piece
            if part is not None and file is not None and still_right():
                self._finish(file, part)
        finally:
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
            with contextlib.suppress(OSError):
                if part is not None:
                    part.close()

    def _finish(self, file: BinaryIO, part: PartFile) -> None:
        try:
            file.close()
            part.keep()
            self._tidy()
        except OSError as error:
            logger.warning("an animation is not kept: %s", error)

    def _write(self, file: BinaryIO, piece: bytes, size: int) -> bool:
        if size > self._budget_bytes:
            logger.warning("an animation is not kept: it is larger than the whole cache")
            return False
        try:
            file.write(piece)
        except OSError as error:
            logger.warning("an animation is not kept: %s", error)
            return False
        return True

    def _tidy(self) -> None:
        """Remove the files used longest ago until the rest fits."""
        with self._tidying:
            remove_left_overs(self._folder)
            files = []
            for path in self._folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another process made room
                    status = path.stat()
                    if _KEPT.fullmatch(path.name):
                        files.append((status, path))
            used = sum(status.st_size for status, _ in files)
            for status, path in sorted(files, key=lambda entry: entry[0].st_mtime_ns):
                if used <= self._budget_bytes:
                    break
                path.unlink(missing_ok=True)
                used -= status.st_size
