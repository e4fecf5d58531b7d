"""Speech made while the speech before it is listened to, on a thread of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Final

from services.types import AudioChunk

_AHEAD_S: Final = 8.0  # with so much sound waiting no further piece is made
_LOOK_S: Final = 0.02  # how often it is looked whether anybody still listens
_PARTING_S: Final = 0.1  # an engine that cannot be stopped in the middle ends on its own


def made_ahead(
    make: Callable[[threading.Event], Generator[AudioChunk, None, None]], cancelled: threading.Event | None = None
) -> Generator[AudioChunk, None, None]:
    """The chunks of `make`, which runs ahead by about a sentence; closing the generator stops it.

    Args:
        make: gets an event that is set when nobody listens any more. Its errors come out here.
        cancelled: set by any thread when nobody wants the rest: a generator that waits for a chunk cannot be closed.
    """
    return _Ahead(make, cancelled or threading.Event()).chunks()


class _Ahead:
    def __init__(
        self, make: Callable[[threading.Event], Generator[AudioChunk, None, None]], cancelled: threading.Event
    ) -> None:
        self._make = make
        self._cancelled = cancelled
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._waiting: deque[AudioChunk] = deque()
        self._waiting_s = 0.0
        self._ended = False
        self._error: BaseException | None = None

    def chunks(self) -> Generator[AudioChunk, None, None]:
        thread = threading.Thread(target=self._work, name="speech", daemon=True)
        thread.start()
        try:
            yield from self._taken()
        finally:
            with self._changed:
                self._stop.set()
                self._changed.notify_all()
            thread.join(_PARTING_S)

    def _taken(self) -> Iterator[AudioChunk]:
        while True:
            with self._changed:
                while not (self._waiting or self._ended):
                    if self._cancelled.is_set():
                        raise GeneratorExit  # what is around this generator ends as if it were closed
                    self._changed.wait(_LOOK_S)
                if not self._waiting:
                    break
                chunk = self._waiting.popleft()
                self._waiting_s -= len(chunk.pcm_S) / chunk.sample_rate_hz
                self._changed.notify_all()
            yield chunk
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            with closing(self._make(self._stop)) as chunks:
                for chunk in chunks:
                    with self._changed:
                        self._waiting.append(chunk)
                        self._waiting_s += len(chunk.pcm_S) / chunk.sample_rate_hz
                        self._changed.notify_all()
                        self._changed.wait_for(lambda: self._waiting_s < _AHEAD_S or self._stop.is_set())
                    if self._stop.is_set():
                        break
        except BaseException as error:  # the outer edge of this thread: it is raised where the chunks are taken
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
