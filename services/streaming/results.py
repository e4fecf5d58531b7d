"""Animations as files, for clients that want a path on a shared disk instead of a stream; old ones go by themselves."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Final

from services.errors import VideoWriteError

_WHOLE: Final = re.compile(r"u-[0-9a-f]{16}\.mp4")  # nothing else in the folder is touched...
_PART: Final = re.compile(r"\.u-[0-9a-f]{16}\.part")  # ...but what a process left that was killed


class ResultFolder:
    """Files named by their utterance; one is there only when it is whole."""

    def __init__(self, folder: Path, budget_bytes: int, keep_s: float) -> None:
        """Choose the place; it is made with the first result.

        Args:
            folder: clients see it too.
            budget_bytes: for all results together; the oldest go first, the newest always stays.
            keep_s: how long each is kept.
        """
        self.folder = folder.absolute()
        self._budget_bytes = budget_bytes
        self._keep_s = keep_s
        self._tidying = threading.Lock()

    def written(self, utterance: str, pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        """Write an animation; joined, what it yields is its path.

        An empty piece comes with everything that is written, because a generator can be closed only where it yields.

        Args:
            utterance: its name, from `new_utterance`.
            pieces: of an MP4.
        Raises:
            VideoWriteError: the disk is full, or the folder cannot be written.
        """
        path = self.folder / f"{utterance}.mp4"
        part = self.folder / f".{utterance}.part"
        try:
            with closing(pieces):
                first = next(pieces)  # what is wrong with the wish is found before anything is written
                self.folder.mkdir(parents=True, exist_ok=True)
                with part.open("wb") as file:
                    file.write(first)
                    for piece in pieces:
                        file.write(piece)
                        yield b""
            part.replace(path)
        except OSError as error:
            raise VideoWriteError(f"{path} cannot be written ({error.strerror}); make room there") from error
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
        self.tidy()
        yield os.fsencode(path)

    def tidy(self) -> None:
        """Remove what is too old, and the oldest until the rest fits."""
        with self._tidying, contextlib.suppress(FileNotFoundError):
            used, oldest = 0, time.time() - self._keep_s
            for status, path in sorted(self._files(), key=lambda entry: -entry[0].st_mtime_ns):
                whole = _WHOLE.fullmatch(path.name) is not None
                used += status.st_size if whole else 0
                too_much = whole and used > self._budget_bytes and used > status.st_size
                if too_much or status.st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def _files(self) -> Generator[tuple[os.stat_result, Path], None, None]:
        for path in self.folder.iterdir():
            if _WHOLE.fullmatch(path.name) or _PART.fullmatch(path.name):
                with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                    yield path.stat(), path
