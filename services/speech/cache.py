"""Sentences that were spoken before, on disk: FLAC files named by what was asked for, within a number of bytes.

A file ends with the SHA-256 of what stands before it, so that damage is found; players do not mind. Its comment holds
the phones, where the engine told them. The sound of an utterance can be somebody's secret: the folder is readable by
its owner alone.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import threading
from dataclasses import astuple
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from recipe.articulation.visemes import Phone
from recipe.files import written_aside
from recipe.sound import from_pcm16, to_pcm16
from services.speech.engine import Sound

logger = logging.getLogger(__name__)

_FORMAT: Final = "2"  # of the files; another one makes every older file unused
_DIGEST_BYTES: Final = 32
_KEPT_SHARE: Final = 0.9  # room is made for several files at a time: it costs a look at the whole folder


def to_16_bits(pcm_S: NDArray[np.float32]) -> NDArray[np.float32]:
    """The nearest samples that a 16-bit file can hold, so that a remembered sentence equals the first one."""
    return from_pcm16(to_pcm16(pcm_S))


class SpeechCache:
    """Whole sentences; what was used last stays. Safe to use from several threads and processes.

    A disk that is full or cannot be written costs time, never speech: it is logged once.
    """

    def __init__(self, folder: Path, budget_bytes: int) -> None:
        """Remember where; the folder is made when there is something to store.

        Args:
            folder: for these files alone.
            budget_bytes: of all files; 0 stores nothing.
        """
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._used_bytes: int | None = None  # as far as this process knows
        self._lock = threading.Lock()
        self._complained = False

    def get(self, *asked: str) -> Sound | None:
        """The sound of what was asked for, if it is there and sound."""
        path = self._path(asked)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._complain(error)
            return None
        payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
        try:
            if hashlib.sha256(payload).digest() != digest:
                raise ValueError("its hash is another one")
            with soundfile.SoundFile(io.BytesIO(payload)) as file:
                found = Sound(file.read(dtype="float32"), int(file.samplerate), *_phones_in(file.comment))
        except (ValueError, RuntimeError) as error:
            logger.warning("%s is damaged (%s); the sentence is made again", path, error)
            self._remove(path)
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return found

    def put(self, sound: Sound, *asked: str) -> None:
        """Store a whole sentence, already `to_16_bits`."""
        if self._budget_bytes <= 0 or not len(sound.pcm_S):
            return
        buffer = io.BytesIO()
        with soundfile.SoundFile(buffer, "w", sound.rate_hz, 1, "PCM_16", format="FLAC") as file:
            if sound.phones is not None:
                file.comment = json.dumps(
                    {"alphabet": sound.alphabet, "phones": [astuple(one) for one in sound.phones]}
                )
            file.write(to_pcm16(sound.pcm_S))
        payload = buffer.getvalue()
        content = payload + hashlib.sha256(payload).digest()
        if len(content) > self._budget_bytes:
            return
        try:
            self._write(self._path(asked), content)
            self._make_room(len(content))
        except OSError as error:
            self._complain(error)

    def _path(self, asked: tuple[str, ...]) -> Path:
        key = "\0".join((_FORMAT, *asked)).encode("utf-8", "surrogatepass")
        return self._folder / f"{hashlib.sha256(key).hexdigest()}.flac"

    def _write(self, path: Path, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # what was said is nobody else's
        with written_aside(path) as part:
            part.write_bytes(content)

    def _make_room(self, added_bytes: int) -> None:
        with self._lock:
            if self._used_bytes is not None:
                self._used_bytes += added_bytes
                if self._used_bytes <= self._budget_bytes:
                    return
            files = []
            for path in self._folder.glob("*.flac"):
                with contextlib.suppress(FileNotFoundError):  # another process made room
                    stat = path.stat()
                    files.append((stat.st_mtime_ns, stat.st_size, path))
            self._used_bytes = sum(size for _, size, _ in files)
            if self._used_bytes <= self._budget_bytes:
                return
            for _, size, path in sorted(files):
                if self._used_bytes <= self._budget_bytes * _KEPT_SHARE:
                    break
                self._remove(path)
                self._used_bytes -= size

    def _remove(self, path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._complain(error)

    def _complain(self, error: OSError) -> None:
        if not self._complained:
            self._complained = True
            logger.warning("speech is not remembered: %s cannot be used (%s)", self._folder, error)


def _phones_in(comment: str) -> tuple[tuple[Phone, ...] | None, str]:
    if not comment:
        return None, ""
    told = json.loads(comment)
    return tuple(Phone(*phone) for phone in told["phones"]), told["alphabet"]
