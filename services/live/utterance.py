"""What is said in one epoch, while it is still being given: sound as it is heard, or text that a voice speaks.

Whoever gives it is in any thread; the session's thread takes the chunks and waits for them.

Axes: S audio samples at the giver's rate.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.spoken import PAUSE, later
from recipe.articulation.visemes import Phone
from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from services.errors import LiveOrderError, SpeechError, TextRejectedError, TooMuchError
from services.speech.sentence_stream import SentenceStream
from services.streaming.pump import Pump
from services.types import AudioChunk, TTSService

_FIRST_FRAME_S: Final = (SAMPLES_PER_FRAME + AUDIO_LOOKAHEAD_SAMPLES) / SAMPLE_RATE_HZ
_CHUNKS_AHEAD: Final = 8
_PATIENCE_S: Final = 0.25  # a sentence that comes later is preceded by a pause...
_PAUSE_S: Final = 0.48  # ...so long that the frames before it have heard and been told enough...
_LONGER_S: Final = 0.12  # ...and longer by so much whenever the watcher is about to have nothing to show


class Interrupted(Exception):  # noqa: N818  (nothing went wrong)
    """The utterance was cleared while its chunks were waited for."""


class Utterance(Protocol):
    """One epoch's source."""

    epoch: int
    asked_at: float  # time.perf_counter() when it began

    @property
    def is_ready(self) -> bool:
        """Whether there is enough for a first frame, or all there will ever be."""

    @property
    def is_open(self) -> bool:
        """Whether more may come."""

    def chunks(self) -> Iterator[AudioChunk]:
        """The sound, once; waits for it.

        Raises:
            Interrupted: it was cleared.
            UserError: it cannot be spoken.
        """

    def end(self) -> None:
        """Nothing more comes."""

    def clear(self) -> None:
        """Nobody wants the rest."""


class GivenSound:
    """Sound that is said as it is."""

    def __init__(self, epoch: int, rate_hz: int, most_s: float) -> None:
        """Nothing was heard yet.

        Args:
            epoch: of the utterance.
            rate_hz: of all its sound.
            most_s: of sound that may wait to be said.
        """
        self.epoch, self.rate_hz = epoch, rate_hz
        self.asked_at = time.perf_counter()
        self._most_s = most_s
        self._changed = threading.Condition()
        self._waiting: deque[NDArray[np.float32]] = deque()
        self._waiting_samples = self._samples = 0
        self._ended = self._cleared = False

    @property
    def is_ready(self) -> bool:
        return self._ended or self._cleared or self._samples >= _FIRST_FRAME_S * self.rate_hz

    @property
    def is_open(self) -> bool:
        return not (self._ended or self._cleared)

    def push(self, pcm_S: NDArray[np.float32], rate_hz: int) -> None:
        """More of it, any number of samples.

        Raises:
            LiveOrderError: it is at another rate.
            TooMuchError: too much waits already.
        """
        if rate_hz != self.rate_hz:
            raise LiveOrderError(
                f"sound at {rate_hz} Hz follows sound at {self.rate_hz} Hz; end the utterance before the rate changes"
            )
        with self._changed:
            if (self._waiting_samples + len(pcm_S)) > self._most_s * rate_hz:
                raise TooMuchError(f"more than {self._most_s:g} s of sound wait to be said; send it as it is played")
            self._waiting.append(pcm_S)
            self._waiting_samples += len(pcm_S)
            self._samples += len(pcm_S)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._cleared = True
            self._waiting.clear()
            self._changed.notify_all()

    def chunks(self) -> Iterator[AudioChunk]:
        while (pcm_S := self._next()) is not None:
            yield AudioChunk(pcm_S, self.rate_hz, "", False)

    def _next(self) -> NDArray[np.float32] | None:
        with self._changed:
            while not (self._waiting or self._ended or self._cleared):
                self._changed.wait()
            if self._cleared:
                raise Interrupted
            if not self._waiting:
                return None
            pcm_S = np.concatenate(self._waiting)
            self._waiting.clear()
            self._waiting_samples = 0
            return pcm_S


class GivenText:
    """Text that a voice speaks, sentence by sentence, while it is still being written."""

    def __init__(
        self,
        epoch: int,
        tts: TTSService,
        voice: str | None,
        speed: float,
        most_characters: int,
        on_ready: Callable[[], None],
        is_starving: Callable[[], bool],
    ) -> None:
        """Begin; the voice speaks in a thread of its own, from the first complete sentence on.

        Args:
            epoch: of the utterance.
            tts: speaks.
            voice, speed: see services.types.TTSService.
            most_characters: that may wait to be spoken.
            on_ready: called when the first sound is there, or when it is known that there will be none.
            is_starving: whether whoever watches will soon have shown all that was made.
        """
        self.epoch = epoch
        self.asked_at = time.perf_counter()
        self._tts, self._voice, self._speed = tts, voice, speed
        self._most_characters = most_characters
        self._on_ready, self._is_starving = on_ready, is_starving
        self._changed = threading.Condition()
        self._sentences = SentenceStream()
        self._waiting: deque[str] = deque()
        self._ended = self._ready = False
        self._cancelled = threading.Event()
        self._spoken = Pump(self._speak(), _CHUNKS_AHEAD, "live speech")

    @property
    def is_ready(self) -> bool:
        return self._ready or self._cancelled.is_set()

    @property
    def is_open(self) -> bool:
        return not (self._ended or self._cancelled.is_set())

    def append(self, text: str) -> None:
        """More of the text, cut anywhere.

        Raises:
            TooMuchError: too much waits already.
        """
        with self._changed:
            held = sum(map(len, self._waiting)) + self._sentences.held_characters
            if held + len(text) > self._most_characters:
                raise TooMuchError(
                    f"more than {self._most_characters} characters wait to be spoken; send them as they are spoken"
                )
            self._waiting.extend(self._sentences.push(text))
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            if not self._ended:
                self._waiting.extend(self._sentences.finish())
            self._ended = True
            self._changed.notify_all()

    def clear(self) -> None:
        with self._changed:
            self._cancelled.set()
            self._changed.notify_all()
        self._spoken.close()

    def chunks(self) -> Iterator[AudioChunk]:
        yield from self._spoken
        if self._cancelled.is_set():
            raise Interrupted

    def _speak(self) -> Generator[AudioChunk, None, None]:
        try:
            said = False
            for chunk in self._of_all_sentences():
                said = True
                self._tell_ready()
                yield chunk
            if not said and not self._cancelled.is_set():
                raise TextRejectedError("the text holds nothing that can be spoken: it needs a letter or digit")
        finally:
            self._tell_ready()

    def _tell_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._on_ready()

    def _of_all_sentences(self) -> Generator[AudioChunk, None, None]:
        """As one utterance, whose phones are told in seconds from its begin."""
        last: AudioChunk | None = None
        samples = 0
        while True:
            if last is None:
                self._wait_for_sentence(None)
            else:
                for silence in self._pause(last, samples):
                    last = silence
                    samples += len(silence.pcm_S)
                    yield silence
            if (sentence := self._next_sentence()) is None:
                return
            start = samples
            for chunk in self._tts.synthesize(sentence, self._voice, self._speed, self._cancelled):
                rate_hz = chunk.sample_rate_hz
                if last is not None and rate_hz != last.sample_rate_hz:
                    raise SpeechError(f"the voice changed its sample rate from {last.sample_rate_hz} to {rate_hz} Hz")
                phones = None if chunk.phones is None else later(chunk.phones, start / rate_hz)
                last = replace(chunk, phones=phones)
                samples += len(chunk.pcm_S)
                yield last

    def _pause(self, last: AudioChunk, samples: int) -> Iterator[AudioChunk]:
        """Silence until there is a next sentence: the frames before a pause hear what follows them, so they would wait
        for it, and then the picture would stand still. Never more of it than the watcher needs.
        """
        if self._wait_for_sentence(_PATIENCE_S):
            return
        yield _silence_after(last, samples, _PAUSE_S)
        samples += round(_PAUSE_S * last.sample_rate_hz)
        while not self._wait_for_sentence(_LONGER_S):
            if self._is_starving():
                yield _silence_after(last, samples, _LONGER_S)
                samples += round(_LONGER_S * last.sample_rate_hz)

    def _wait_for_sentence(self, patience_s: float | None) -> bool:
        """False where there is none yet, and more may come."""
        with self._changed:
            return self._changed.wait_for(
                lambda: bool(self._waiting) or self._ended or self._cancelled.is_set(), patience_s
            )

    def _next_sentence(self) -> str | None:
        with self._changed:
            return None if self._cancelled.is_set() or not self._waiting else self._waiting.popleft()


def _silence_after(chunk: AudioChunk, samples: int, duration_s: float) -> AudioChunk:
    rate_hz = chunk.sample_rate_hz
    pcm_S = np.zeros(round(duration_s * rate_hz), np.float32)
    phones = None
    if chunk.phones is not None:
        phones = (Phone(PAUSE[chunk.alphabet], samples / rate_hz, (samples + len(pcm_S)) / rate_hz),)
    return replace(chunk, pcm_S=pcm_S, starts_sentence=False, phones=phones)
