"""Which voice speaks where none is named, and which one when it cannot."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from typing import Final

from services.errors import SpeechError, VoiceNotFoundError
from services.speech.engine import Engine
from services.types import Voice

logger = logging.getLogger(__name__)

_LANGUAGE: Final = "en"  # where nobody says another
_SHOWN: Final = 6  # voices that an error names


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


def primary_language(language: str) -> str:
    """de-DE -> de."""
    return language.split("-")[0].lower()
