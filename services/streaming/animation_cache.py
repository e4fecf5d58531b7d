"""Finished animations on disk, for texts that are said again and again; the oldest go when there are too many."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, Final

logger = logging.getLogger(__name__)

_PART: Final = ".part"
_KEPT: Final = re.compile(r"[0-9a-f]{64}")  # nothing else in the folder is touched
_LEFT_OVER: Final = re.compile(rf"[0-9a-f]{{64}}\.\d+\{_PART}")
_LEFT_OVER_S: Final = 3600.0  # of a process that was killed


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
        part = self._folder / f"{key}.{threading.get_ident()}{_PART}"
        size = 0
        file = None
        try:
            with closing(pieces):
                try:
                    self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # what was said is nobody else's
                    file = part.open("wb")
                except OSError as error:
                    logger.warning("animations cannot be kept: %s", error)
                for piece in pieces:
                    size += len(piece)
                    if file is not None and not self._write(file, piece, size):
                        with contextlib.suppress(OSError):
                            file.close()
                        file = None
                    yield piece
            if file is not None and still_right():
                self._finish(file, part, key)
        finally:
            with contextlib.suppress(OSError):
                if file is not None:
                    file.close()
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _finish(self, file: BinaryIO, part: Path, key: str) -> None:
        try:
            file.close()
            part.replace(self._folder / key)
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
            files = []
            for path in self._folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # another process made room
                    status = path.stat()
                    if _KEPT.fullmatch(path.name):
                        files.append((status, path))
                    elif _LEFT_OVER.fullmatch(path.name) and status.st_mtime < time.time() - _LEFT_OVER_S:
                        path.unlink()
            used = sum(status.st_size for status, _ in files)
            for status, path in sorted(files, key=lambda entry: entry[0].st_mtime_ns):
                if used <= self._budget_bytes:
                    break
                path.unlink(missing_ok=True)
                used -= status.st_size
