"""espeak-ng out of the Python package espeakng-loader, with the phones it speaks and their times.

The library keeps one state for the whole process, so texts take turns. A sentence is made in about a hundredth of its
duration, and is given on whole. Its pitch varies a little by chance: the same text is never the same samples twice.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple

from recipe.articulation.spoken import SpeechError, Spoken, without_gaps
from recipe.sound import from_pcm16

ALPHABET: Final = "ipa"

# Of espeak-ng's speak_lib.h.
_SYNCHRONOUS: Final = 2
_PHONE_EVENTS_IN_IPA: Final = 1 | 2
_DO_NOT_EXIT: Final = 0x8000
_PHONE_EVENT: Final = 7
_UTF8: Final = 1
_RATE: Final = 1  # of the parameters: words a minute; it takes 80 to 450
_LONGEST_S: Final = 180  # of sound; a text that takes longer has gone wrong

_turn = threading.Lock()


class EspeakVoice(NamedTuple):
    """One voice file of the library."""

    language: str
    label: str


class _VoiceRecord(ctypes.Structure):
    """espeak_VOICE."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_char_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("xx1", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """espeak_EVENT."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_RECEIVER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    """The library, started."""

    def __init__(self) -> None:
        try:
            import espeakng_loader

            self.calls: Any = ctypes.CDLL(espeakng_loader.get_library_path())
            data_path = espeakng_loader.get_data_path()
        except (ImportError, OSError) as error:
            raise SpeechError(f"espeak-ng cannot be loaded ({error}); install the package espeakng-loader") from error
        options = _PHONE_EVENTS_IN_IPA | _DO_NOT_EXIT
        self.rate_hz = int(self.calls.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), options))
        if self.rate_hz <= 0:
            raise SpeechError(f"espeak-ng did not start (code {self.rate_hz}); its data should be at {data_path}")
        self.calls.espeak_Info.restype = ctypes.c_char_p
        self.version = self.calls.espeak_Info(None).decode()
        self.calls.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self.calls.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.calls.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
        self._files: dict[str, bytes] = {}  # of each language
        self.voices = tuple(self._list())

    def _list(self) -> Iterator[EspeakVoice]:
        records = self.calls.espeak_ListVoices(None)
        index = 0
        while records[index]:
            record = records[index].contents
            # A priority byte, then the language.
            language = record.languages[1:].decode("ascii", "replace")
            if not record.identifier.startswith((b"mb/", b"!v/")) and language not in self._files:
                self._files[language] = record.identifier
                yield EspeakVoice(language, record.name.decode())
            index += 1

    def _set_voice(self, voice: str) -> None:
        if self.calls.espeak_SetVoiceByName(self._files.get(voice, voice.encode("ascii", "replace"))) != 0:
            raise SpeechError(f"espeak-ng has no voice {voice!r}; examples: en-us, en-gb-scotland, en-us+f3, en-us+m5")

    def phonemes(self, text: str, voice: str) -> str:
        self._set_voice(voice)
        buffer = ctypes.create_string_buffer(text.encode("utf-8", "replace"))
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while rest.value:
            clauses.append((self.calls.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, 0) or b"").decode())
        return " ".join(clauses).strip(" _:")

    def speak(self, text: str, voice: str, words_per_minute: int, stop: threading.Event | None) -> Spoken:
        pcm = bytearray()
        marks: list[tuple[str, float]] = []

        def receive(samples: int | None, count: int, events: Any) -> int:
            if samples and count > 0:
                pcm.extend(ctypes.string_at(samples, 2 * count))
            marks.extend(_phones_of(events))
            return int((stop is not None and stop.is_set()) or len(pcm) > 2 * self.rate_hz * _LONGEST_S)  # 1 ends it

        receiver = _RECEIVER(receive)  # kept referenced while the library may call it
        self._set_voice(voice)
        self.calls.espeak_SetParameter(_RATE, words_per_minute, 0)
        self.calls.espeak_SetSynthCallback(receiver)
        spoken = text.encode("utf-8", "replace")
        code = self.calls.espeak_Synth(spoken, ctypes.c_size_t(len(spoken) + 1), 0, 1, 0, _UTF8, None, None)
        self.calls.espeak_Synchronize()
        if code != 0:
            raise SpeechError(f"espeak-ng refused a text (code {code})")
        pcm_S = from_pcm16(bytes(pcm))
        return Spoken(pcm_S, self.rate_hz, without_gaps(marks, len(pcm_S) / self.rate_hz, ALPHABET), ALPHABET)


def _phones_of(events: Any) -> Iterator[tuple[str, float]]:
    """Names and begins, in seconds from the start of the text; the list ends with an event of type 0."""
    index = 0
    while events[index].type:
        if events[index].type == _PHONE_EVENT:
            name = events[index].id.string.decode("utf-8", "ignore") or "_"
            yield name, events[index].audio_position_ms / 1000
        index += 1


@lru_cache(maxsize=1)
def _library() -> _Library:
    """The one library of this process; to be called while it is one's turn. A failure is tried again."""
    return _Library()


def voices() -> tuple[EspeakVoice, ...]:
    """One voice for each language.

    Raises:
        SpeechError: the library is missing or does not start.
    """
    with _turn:
        return _library().voices


def version() -> str:
    """The library's own words.

    Raises:
        SpeechError: the library is missing or does not start.
    """
    with _turn:
        return _library().version


def phonemes(text: str, voice: str) -> str:
    """What would be heard of a text, in the library's own letters; empty for a sign that it leaves out.

    Raises:
        SpeechError: the library is missing, or has no such voice.
    """
    with _turn:
        return _library().phonemes(text, voice)


def speak(text: str, voice: str, words_per_minute: int, stop: threading.Event | None = None) -> Spoken:
    """Speak a text.

    Args:
        text: one or more sentences.
        voice: a language of `voices`, or any name the library knows, such as "en-us+f2".
        words_per_minute: 80 to 450.
        stop: when it is set, the rest is not made.
    Returns:
        The sound with its phones; no samples where nothing in the text has a sound.
    Raises:
        SpeechError: the library is missing, has no such voice, or refused the text.
    """
    with _turn:
        return _library().speak(text, voice, words_per_minute, stop)
