"""Text to speech: which engine speaks, and what happens when it cannot.

Where none is asked for, the best voice of the machine speaks: Piper's, else flite's, else espeak-ng's. When that
voice is missing or fails, another one takes over for the rest of the process; it is logged once and shown by `status`.
A voice that a request names is never replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Final

from recipe.articulation.spoken import later
from services.errors import SpeechError, TextRejectedError
from services.speech.ahead import made_ahead
from services.speech.cache import SpeechCache
from services.speech.choice import VoiceChoice
from services.speech.chunks import joined, regular_sound
from services.speech.engine import Engine, Sound
from services.speech.text import sentences_to_speak
from services.types import AudioChunk, SpeechStatus, Voice

_WARM_UP: Final = "Hello."


class SpeechService:
    """Implements `services.types.TTSService`."""

    def __init__(
        self,
        engines: Sequence[Engine],
        default_voice: str | None = None,
        cache: SpeechCache | None = None,
        max_characters: int | None = None,
    ) -> None:
        """Remember the engines; none is started.

        Args:
            engines: the best first.
            default_voice: speaks where a request names none; None takes the best engine's.
            cache: of sentences; None remembers none.
            max_characters: of a text; None takes any length.
        """
        self._choice = VoiceChoice(engines, default_voice)
        self._cache = cache
        self._max_characters = max_characters

    def voices(self) -> Sequence[Voice]:
        """Every voice of this machine, the default one first."""
        found = self._choice.voices()
        try:
            default = self._choice.default()
        except SpeechError:
            return found
        return [default, *(voice for voice in found if voice.name != default.name)]

    def status(self) -> SpeechStatus:
        """Which engine speaks; engine "none" where nothing can."""
        try:
            default = self._choice.default()
        except SpeechError as error:
            return SpeechStatus("none", "", str(error), degraded=True)
        return SpeechStatus(default.engine, default.name, self._choice.reason, self._choice.degraded)

    def check(self, text: str, voice: str | None = None, speed: float = 1.0) -> None:
        """Raise what `synthesize` would raise at the call; see `services.types.TTSService`."""
        self._checked(text, voice, speed)

    def synthesize(
        self, text: str, voice: str | None = None, speed: float = 1.0, cancelled: threading.Event | None = None
    ) -> Generator[AudioChunk, None, None]:
        """Speak, sentence by sentence, in chunks of at most a second; see `services.types.TTSService`."""
        sentences, named = self._checked(text, voice, speed)
        return self._speak(sentences, named, round(speed, 3), cancelled)

    def _checked(self, text: str, voice: str | None, speed: float) -> tuple[list[str], Voice | None]:
        sentences = sentences_to_speak(text, self._max_characters, speed)
        named = None if voice is None else self._choice.named(voice)
        try:
            self._choice.spoken(sentences, named or self._choice.default())
        except SpeechError:
            if named is not None:
                raise  # else another voice takes over when it is to speak
        return sentences, named

    def warm_up(self) -> None:
        """Load the default voice, so that the first listener does not wait; finds out whether it works.

        Raises:
            SpeechError: nothing on this machine can speak.
        """
        while True:
            voice = self._choice.default()
            try:
                self._choice.spoken([_WARM_UP], voice)  # reads the language's words for units and money
                for _ in self._choice.engine(voice).speak(_WARM_UP, voice.name, 1.0, threading.Event()):
                    pass
                return
            except SpeechError as error:
                self._choice.give_up(voice, error)

    def _speak(
        self, sentences: Sequence[str], named: Voice | None, speed: float, cancelled: threading.Event | None
    ) -> Generator[AudioChunk, None, None]:
        started = False
        while not started:
            voice = named or self._choice.default()
            try:
                lines = self._choice.spoken(sentences, voice)
                with closing(made_ahead(partial(self._utterance, lines, voice, speed), cancelled)) as chunks:
                    for chunk in chunks:
                        started = True
                        yield chunk
            except SpeechError as error:
                if named is not None or started:
                    raise
                self._choice.give_up(voice, error)
                continue
            if not started:
                raise TextRejectedError(
                    f"the voice {voice.name} ({voice.language}) has no sound for this text; "
                    "name a voice of its language"
                )

    def _utterance(
        self, lines: Sequence[tuple[str, str]], voice: Voice, speed: float, stop: threading.Event
    ) -> Generator[AudioChunk, None, None]:
        version = self._choice.engine(voice).version(voice.name)
        rate_hz = samples = 0
        for sentence, said in lines:
            starts, start = True, samples
            for sound in self._sentence(said, voice, speed, version, stop):
                rate_hz = rate_hz or sound.rate_hz
                if sound.rate_hz != rate_hz:
                    raise SpeechError(f"{voice.name} changed its sample rate from {rate_hz} to {sound.rate_hz} Hz")
                phones = None if sound.phones is None else later(sound.phones, start / rate_hz)
                yield AudioChunk(sound.pcm_S, rate_hz, sentence, starts, voice, phones, sound.alphabet)
                starts = False
                samples += len(sound.pcm_S)
            if stop.is_set():
                return

    def _sentence(
        self, sentence: str, voice: Voice, speed: float, version: str, stop: threading.Event
    ) -> Iterator[Sound]:
        """From the cache, or from the engine and into the cache once it is whole."""
        asked = (version, voice.name, f"{speed:g}", sentence)
        remembered = self._cache.get(*asked) if self._cache else None
        if remembered is not None:
            yield from regular_sound([remembered])
            return
        pieces: list[Sound] = []
        for sound in regular_sound(self._choice.engine(voice).speak(sentence, voice.name, speed, stop)):
            if self._cache:
                pieces.append(sound)
            yield sound
        if self._cache and pieces and not stop.is_set():
            self._cache.put(joined(pieces), *asked)
