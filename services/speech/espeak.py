"""espeak-ng out of the Python package espeakng-loader: a hundred languages, nothing to install or to download.

The library keeps one state for the whole process, so sentences take turns. A sentence is made in about a
hundredth of its duration, and is given on whole: a listener who pauses does not hold the others up.
Its pitch varies a little by chance: the same sentence is never the same samples twice, except out of the cache.

Axes: S audio samples at the engine's rate.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from recipe.sound import from_pcm16
from services.errors import SpeechError
from services.speech.engine import Sound
from services.speech.languages import foreign_letters, needs_a_sound, script_of, unique
from services.types import Voice

# Of espeak-ng's speak_lib.h.
_SYNCHRONOUS: Final = 2
_DO_NOT_EXIT: Final = 0x8000
_UTF8: Final = 1
_RATE: Final = 1
_WORDS_PER_MINUTE: Final = 175  # the library's own pace; it takes 80 to 450
_LONGEST_S: Final = 180  # a sentence that takes longer has gone wrong

_RARE: Final = "龘䶵"  # two ideographs: a language that says both alike only says what kind they are

_turn = threading.Lock()  # the library is the process's, however many engines there are


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


class _Library:
    """The library, started."""

    def __init__(self) -> None:
        try:
            import espeakng_loader

            self.calls: Any = ctypes.CDLL(espeakng_loader.get_library_path())
            data_path = espeakng_loader.get_data_path()
        except (ImportError, OSError) as error:
            raise SpeechError(f"espeak-ng cannot be loaded ({error}); install the package espeakng-loader") from error
        self.rate_hz = int(self.calls.espeak_Initialize(_SYNCHRONOUS, 0, data_path.encode(), _DO_NOT_EXIT))
        if self.rate_hz <= 0:
            raise SpeechError(f"espeak-ng did not start (code {self.rate_hz}); its data should be at {data_path}")
        self.calls.espeak_Info.restype = ctypes.c_char_p
        self.version = self.calls.espeak_Info(None).decode()
        self.calls.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))
        self.calls.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self.calls.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
        self._files: dict[str, bytes] = {}  # of each language
        self.voices = tuple(self._list())

    def _list(self) -> Iterator[Voice]:
        records = self.calls.espeak_ListVoices(None)
        index = 0
        while records[index]:
            record = records[index].contents
            # A priority byte, then the language.
            language = record.languages[1:].decode("ascii", "replace")
            if not record.identifier.startswith((b"mb/", b"!v/")) and language not in self._files:
                self._files[language] = record.identifier
                yield Voice(f"espeak:{language}", "espeak", bcp47(language), f"{record.name.decode()} (eSpeak NG)")
            index += 1

    def phonemes(self, text: str, language: str) -> str:
        """What would be heard of a text, in the library's own letters; empty for a sign that it leaves out."""
        self._set_voice(language)
        buffer = ctypes.create_string_buffer(text.encode("utf-8", "replace"))
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        clauses = []
        while rest.value:
            clauses.append((self.calls.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, 0) or b"").decode())
        return " ".join(clauses).strip(" _:")

    def _set_voice(self, language: str) -> None:
        if self.calls.espeak_SetVoiceByName(self._files.get(language, b"")) != 0:
            raise SpeechError(f"espeak-ng has no voice {language!r}")

    def synthesize(self, sentence: str, language: str, speed: float, stop: threading.Event) -> bytes:
        pcm = bytearray()

        def collect(samples: int | None, count: int, _events: int | None) -> int:
            if samples and count > 0:
                pcm.extend(ctypes.string_at(samples, 2 * count))
            return int(stop.is_set() or len(pcm) > 2 * self.rate_hz * _LONGEST_S)  # 1 ends it

        callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(collect)
        self._set_voice(language)
        self.calls.espeak_SetParameter(_RATE, round(_WORDS_PER_MINUTE * speed), 0)
        self.calls.espeak_SetSynthCallback(callback)
        spoken = sentence.encode("utf-8", "replace")
        code = self.calls.espeak_Synth(spoken, ctypes.c_size_t(len(spoken) + 1), 0, 1, 0, _UTF8, None, None)
        self.calls.espeak_Synchronize()
        if code != 0:
            raise SpeechError(f"espeak-ng refused a sentence (code {code})")
        return bytes(pcm)


@lru_cache(maxsize=1)
def _library() -> _Library:
    """The one library of this process; to be called while it is one's turn. A failure is tried again."""
    return _Library()


def unspoken_by_espeak(text: str, voice: str, language: str) -> str:
    """The characters of a text that espeak-ng leaves out, or only names ("Chinese letter"); each once.

    Args:
        text: as it would be spoken.
        voice: espeak-ng's name of a voice, "en-gb".
        language: of that voice, BCP 47.
    Raises:
        SpeechError: there is no such voice, or no library.
    """
    foreign = foreign_letters(text, language)
    asked = (c for c in text if not c.isascii() and c not in foreign and needs_a_sound(c))
    return foreign + unique(c for c in asked if not _has_a_sound(c, voice))


@lru_cache(maxsize=8192)
def _has_a_sound(character: str, voice: str) -> bool:
    script = script_of(character)
    if script and script != "CJK":
        return True  # a letter of the language; a sign for length has no sound of its own
    with _turn:
        library = _library()
        said = library.phonemes(character, voice)
        if script == "CJK":
            kind, other = (library.phonemes(rare, voice) for rare in _RARE)
            return said != kind or kind != other
        return bool(said)


class EspeakTTS:
    """Speech that is always there."""

    name: Final = "espeak"

    def voices(self) -> Sequence[Voice]:
        try:
            with _turn:
                found = _library().voices
        except SpeechError:
            return ()
        preferred = ("espeak:en-gb", "espeak:en-us")
        return sorted(found, key=lambda voice: (voice.name not in preferred, voice.name))

    def absence(self) -> str:
        try:
            with _turn:
                _library()
        except SpeechError as error:
            return str(error)
        return "espeak-ng knows no voices; install the package espeakng-loader again"

    def version(self, voice: str) -> str:
        with _turn:
            return _library().version

    def unspoken(self, sentence: str, voice: str) -> str:
        language = voice.removeprefix("espeak:")
        return unspoken_by_espeak(sentence, language, bcp47(language))

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        with _turn:
            library = _library()
            pcm = library.synthesize(sentence, voice.removeprefix("espeak:"), speed, stop)
        if pcm and not stop.is_set():
            yield Sound(from_pcm16(pcm), library.rate_hz)


def bcp47(language: str) -> str:
    """en-gb-x-rp -> en-GB-x-rp: a region is written in capitals."""
    head, *rest = language.split("-")
    private = rest.index("x") if "x" in rest else len(rest)
    return "-".join([head, *(p.upper() if i < private and len(p) == 2 else p for i, p in enumerate(rest))])
