"""Who had which avatar say what, and when: a line of JSON for each utterance, appended, never changed.

    {"utterance": "u-1f0c...", "time": "2026-11-26T18:00:00+00:00", "who": "web", "avatar": "demo", "kind": "text",
     "input_sha256": ..., "output_sha256": ..., "output_bytes": ..., "ended": "whole"}

It holds hashes alone: whoever has a video or a text can look it up, nobody can read here what was said. `ended` is
"whole", "left" (the client went, or was cut off) or "failed". What cannot be written is said in the log of the server.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
import weakref
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final, Literal

logger = logging.getLogger(__name__)

Ended = Literal["whole", "left", "failed"]
_OWNER_ONLY: Final = 0o600


@dataclass(slots=True)
class Asked:
    """What is known of an utterance when it begins; `heard` gets what is said."""

    utterance: str
    who: str  # name of a key, "local", or "anyone" where others may ask without a key
    avatar: str
    kind: Literal["text", "sound"]
    heard: Any = field(default_factory=hashlib.sha256)


class ProvenanceLog:
    """The file; safe to use from several threads of one process."""

    def __init__(self, path: Path | None, file_bytes: int = 0, files: int = 0) -> None:
        """Open it.

        Args:
            path: None writes nothing.
            file_bytes: a file that would grow beyond is kept as path.1, path.2 ...
            files: so many of them, besides the one that is written; the oldest goes.
        Raises:
            OSError: it cannot be written.
        """
        self._handler: _Handler | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._handler = _Handler(path, maxBytes=file_bytes, backupCount=files, encoding="utf-8")
            weakref.finalize(self, self._handler.close)  # also of a server that was never started

    def close(self) -> None:
        """Close the file."""
        if self._handler is not None:
            self._handler.close()

    def watch(self, asked: Asked, pieces: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        """Pass an answer on, and write its line when it is over."""
        if self._handler is None:
            yield from pieces
            return
        output, size, ended = hashlib.sha256(), 0, "failed"
        try:
            with closing(pieces):
                for piece in pieces:
                    output.update(piece)
                    size += len(piece)
                    yield piece
            ended = "whole"
        except GeneratorExit:
            ended = "left"
            raise
        finally:
            self.write(asked, output.hexdigest(), size, ended)

    def write(self, asked: Asked, output_sha256: str, output_bytes: int, ended: str) -> None:
        """Write a line."""
        if self._handler is None:
            return
        line = {
            "utterance": asked.utterance,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "who": asked.who,
            "avatar": asked.avatar,
            "kind": asked.kind,
            "input_sha256": asked.heard.hexdigest(),
            "output_sha256": output_sha256,
            "output_bytes": output_bytes,
            "ended": ended,
        }
        self._handler.handle(logging.makeLogRecord({"msg": json.dumps(line, ensure_ascii=False)}))


class SessionProvenance:
    """The lines of a live session, one for each of its utterances; safe to use from several threads."""

    def __init__(self, log: ProvenanceLog, session: str, who: str, avatar: str) -> None:
        """Remember what all of them have in common; `session` is a name that opens nothing."""
        self._log, self._session, self._who, self._avatar = log, session, who, avatar
        self._open: dict[int, tuple[Asked, Any, list[int]]] = {}  # by epoch: what is heard, what is sent, its bytes
        self._changing = threading.Lock()

    def given(self, epoch: int, kind: Literal["text", "sound"], content: bytes) -> None:
        """A part of what is to be said."""
        with self._changing:
            self._of(epoch, kind)[0].heard.update(content)

    def sent(self, epoch: int, messages: Sequence[bytes | str]) -> None:
        """A part of the answer."""
        with self._changing:
            if epoch not in self._open:
                return  # the silence before the first word
            _, output, size = self._open[epoch]
            for message in messages:
                content = message.encode() if isinstance(message, str) else message
                output.update(content)
                size[0] += len(content)

    def ended(self, epoch: int, ended: Ended) -> None:
        """An utterance is over."""
        with self._changing:
            found = self._open.pop(epoch, None)
        if found is not None:
            self._log.write(found[0], found[1].hexdigest(), found[2][0], ended)

    def close(self) -> None:
        """The session is over, and with it what was not said to its end."""
        for epoch in list(self._open):
            self.ended(epoch, "left")

    def _of(self, epoch: int, kind: Literal["text", "sound"]) -> tuple[Asked, Any, list[int]]:
        if epoch not in self._open:
            asked = Asked(f"{self._session}-{epoch}", self._who, self._avatar, kind)
            self._open[epoch] = (asked, hashlib.sha256(), [0])
        return self._open[epoch]


class _Handler(RotatingFileHandler):
    """Files that only their owner reads, and errors that are told in the log instead of on a terminal."""

    def _open(self) -> TextIOWrapper:
        handle = os.open(self.baseFilename, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _OWNER_ONLY)
        return os.fdopen(handle, "a", encoding=self.encoding)

    def handleError(self, record: logging.LogRecord) -> None:  # its name in logging
        logger.exception("a line of provenance cannot be written to %s", self.baseFilename)
