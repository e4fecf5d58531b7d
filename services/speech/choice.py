"""Which voice speaks where none is named, and which one when it cannot."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import Final

from services.errors import SpeechError, TextRejectedError, VoiceNotFoundError
from services.speech.engine import Engine
from services.speech.languages import likely_language, primary_language, script_of, scripts_of, unique
from services.speech.spoken.form import spoken_form
from services.types import Voice

logger = logging.getLogger(__name__)

_LANGUAGE: Final = "en"  # where nobody says another
_SHOWN: Final = 6  # voices that an error names
_SHOWN_CHARACTERS: Final = 20
_TRIED: Final = 12  # voices, for one that can say a sentence...
_ADVISED: Final = 2  # ...and those that are named


class VoiceChoice:
    """The voices of all engines, and the default one; safe to use from several threads."""

    def __init__(self, engines: Sequence[Engine], wanted: str | None) -> None:
        """Remember the engines, the best first, and the name of the voice that was configured, if one was."""
        self._engines = {engine.name: engine for engine in engines}
        self._wanted = wanted
        self._lock = threading.RLock()
        self._chosen: Voice | None = None
        self._failed: set[str] = set()  # engines
        self.reason: str | None = None  # why the preferred voice does not speak

    @property
    def degraded(self) -> bool:
        """Whether a voice that was configured is not there, or an engine failed."""
        return bool(self._failed) or (self._wanted is not None and self.reason is not None)

    def engine(self, voice: Voice) -> Engine:
        """The engine of a voice."""
        return self._engines[voice.engine]

    def voices(self) -> list[Voice]:
        """Every voice, engine by engine."""
        return [voice for engine in self._engines.values() for voice in engine.voices()]

    def named(self, name: str) -> Voice:
        """The voice of that name.

        Raises:
            VoiceNotFoundError: there is none.
        """
        engine = self._engines.get(name.split(":", 1)[0])
        for voice in engine.voices() if engine else ():
            if voice.name == name:
                return voice
        known = [voice.name for voice in self.voices()]
        shown = ", ".join(known[:_SHOWN]) + (f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else "")
        raise VoiceNotFoundError(f"no voice {name!r} on this machine; there are {shown or 'none at all'}")

    def able(self, sentence: str, than: Voice) -> list[str]:
        """Names of a few voices that can say all of a sentence that `than` cannot, the likeliest first."""
        scripts = {script for script in map(script_of, sentence) if script not in ("", "LATIN")}
        voices = self.voices()
        if scripts & scripts_of(than.language):  # it is of that language, and another one would misread it
            voices = [voice for voice in voices if primary_language(voice.language) == primary_language(than.language)]
        likely = {likely_language(script) for script in scripts} or {_LANGUAGE}
        voices = [voice for voice in voices if scripts <= scripts_of(voice.language)]
        voices.sort(key=lambda voice: primary_language(voice.language) not in likely)
        return [voice.name for voice in voices[:_TRIED] if not self._unspoken(sentence, voice)][:_ADVISED]

    def spoken(self, sentences: Sequence[str], voice: Voice) -> list[tuple[str, str]]:
        """Each sentence as it is written, and as the voice says it.

        Raises:
            TextRejectedError: the voice has no sound for some of its characters.
            SpeechError: the engine failed.
        """
        lines = [(sentence, spoken_form(sentence, voice.language)) for sentence in sentences]
        engine = self.engine(voice)
        lost = [(sentence, engine.unspoken(said, voice.name)) for sentence, said in lines]
        lost = [(sentence, characters) for sentence, characters in lost if characters]
        if lost:
            characters = unique("".join(characters for _, characters in lost))
            shown = characters if len(characters) <= _SHOWN_CHARACTERS else f"{characters[:_SHOWN_CHARACTERS]}…"
            able = self.able(" ".join(sentence for sentence, _ in lost), voice)
            kana = "HIRAGANA" in scripts_of(voice.language) and "CJK" in map(script_of, characters)
            otherwise = "write it in kana" if kana else "write it otherwise"
            advice = f"{' and '.join(able)} can" if able else f"nor has another voice here; {otherwise}"
            message = f"the voice {voice.name} ({voice.language}) has no sound for {shown}; {advice}"
            raise TextRejectedError(message, able)
        return lines

    def _unspoken(self, sentence: str, voice: Voice) -> str:
        try:
            return self.engine(voice).unspoken(spoken_form(sentence, voice.language), voice.name)
        except SpeechError:
            return sentence

    def default(self) -> Voice:
        """The voice that speaks where none is named: chosen once, and again only when it fails.

        Raises:
            SpeechError: nothing on this machine can speak.
        """
        with self._lock:
            if self._chosen is None:
                self._chosen = self._choose()
            return self._chosen

    def give_up(self, voice: Voice, error: SpeechError) -> None:
        """Let another engine speak from now on.

        Raises:
            SpeechError: there is no other.
        """
        with self._lock:
            if voice.engine in self._failed:
                return  # another listener found out first
            reason = f"{self.reason}; {error}" if self.reason else str(error)
            self._chosen = self._best(self.voices(), self._failed | {voice.engine}, [reason])
            self._failed.add(voice.engine)
            self.reason = reason
            logger.warning("%s speaks instead of %s: %s", self._chosen.name, voice.name, error)

    def _choose(self) -> Voice:
        known = self.voices()
        for voice in known:
            if voice.name == self._wanted:
                return voice
        reasons = [f"the configured voice {self._wanted} is not on this machine"] if self._wanted else []
        absences = {engine.name: engine.absence() for engine in self._engines.values() if not engine.voices()}
        chosen = self._best(known, self._failed, [*reasons, *absences.values()])
        order = list(self._engines)
        passed_over = order[: order.index(chosen.engine)]
        reasons += [absences[name] for name in passed_over if name in absences]
        if reasons:
            self.reason = "; ".join(reasons)
            level = logging.WARNING if self._wanted else logging.INFO
            logger.log(level, "%s speaks: %s", chosen.name, self.reason)
        return chosen

    def _best(self, known: Sequence[Voice], failed: set[str], reasons: Sequence[str]) -> Voice:
        """The best voice of an engine that has not failed; of the wanted language, if there is one."""
        usable = [voice for voice in known if voice.engine not in failed]
        if not usable:
            raise SpeechError(f"nothing on this machine can speak: {'; '.join(reasons) or 'there is no engine'}")
        language = self._language(known)
        fitting = [voice for voice in usable if primary_language(voice.language) == language]
        if self._wanted and fitting:
            return fitting[0]
        return next((voice for voice in fitting if voice.engine == usable[0].engine), usable[0])

    def _language(self, known: Sequence[Voice]) -> str:
        """Of the voice that was configured, as the voice or else its name says."""
        for voice in known:
            if voice.name == self._wanted:
                return primary_language(voice.language)
        found = re.match(r"(?:piper|espeak):([a-z]{2,3})(?:[_-]|$)", self._wanted or "")
        return found[1] if found else _LANGUAGE
