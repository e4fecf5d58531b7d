"""Phones come with the sound, from the engines that know them, and stay with it to the last chunk.

Axes: T video frames (25/s), S audio samples, U mouth units.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recipe.articulation import espeak, flite
from recipe.articulation.coarticulation import segments_of
from recipe.articulation.mouth_units import lips_meet, opening_mm, spoken_units
from recipe.articulation.speakers import speaker
from recipe.articulation.spoken import without_gaps
from recipe.articulation.visemes import Phone, shapes_of_phone
from recipe.recipe_328 import FPS
from services.speech.cache import SpeechCache
from services.speech.engine import Sound
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.tts_service import SpeechService
from services.types import AudioChunk, Voice

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")
VOICES = [pytest.param("flite:slt", marks=needs_flite), "espeak:en-us"]
THREE = "Bob made five cheap maps. People came by! Would Papa mind, maybe?"


class TellingEngine:
    """Says a tone of 1.5 s a sentence in pieces of 0.3 s, each of two phones, or tells none."""

    name = "a"

    def __init__(self, rate_hz: int, tells: bool = True) -> None:
        self.rate_hz, self.tells = rate_hz, tells
        self.begun = 0

    def voices(self) -> Sequence[Voice]:
        return [Voice("a:en", "a", "en", "en")]

    def absence(self) -> str:
        return "it is here"

    def version(self, voice: str) -> str:
        return "1"

    def unspoken(self, sentence: str, voice: str) -> str:
        return ""

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        self.begun += 1
        tone_S = np.sin(np.arange(round(0.3 * self.rate_hz)) * 0.1).astype(np.float32)
        for _ in range(5):
            phones = (Phone("m", 0.0, 0.1), Phone("aa", 0.1, len(tone_S) / self.rate_hz)) if self.tells else None
            yield Sound(tone_S, self.rate_hz, phones, "arpabet" if self.tells else "")


def told(chunks: Sequence[AudioChunk]) -> list[Phone]:
    return [phone for chunk in chunks for phone in chunk.phones or ()]


def duration_s(chunks: Sequence[AudioChunk]) -> float:
    return sum(len(chunk.pcm_S) for chunk in chunks) / chunks[0].sample_rate_hz


def assert_they_cover(phones: Sequence[Phone], duration: float) -> None:
    assert phones[0].start_s == 0.0
    assert phones[-1].stop_s == pytest.approx(duration, abs=2e-4)
    for before, after in pairwise(phones):
        assert before.stop_s == pytest.approx(after.start_s, abs=2e-4)


@pytest.mark.parametrize("rate_hz", [16_000, 22_051])  # the second is resampled, its chunks are other pieces
def test_phones_cover_the_utterance_at_any_rate(rate_hz: int) -> None:
    chunks = list(SpeechService([TellingEngine(rate_hz)]).synthesize(THREE))
    phones = told(chunks)
    assert [phone.name for phone in phones] == ["m", "aa"] * 15
    assert_they_cover(phones, duration_s(chunks))
    np.testing.assert_allclose([p.start_s for p in phones[::2]], np.arange(15) * 0.3, atol=2e-4)
    assert {chunk.alphabet for chunk in chunks} == {"arpabet"}
    assert None not in [chunk.phones for chunk in chunks]


def test_phones_come_no_later_than_their_sound() -> None:
    heard_s = known_s = 0.0
    for chunk in SpeechService([TellingEngine(22_051)]).synthesize(THREE):
        known_s = max([known_s, *(phone.stop_s for phone in chunk.phones or ())])
        heard_s += len(chunk.pcm_S) / chunk.sample_rate_hz
        assert known_s >= heard_s - 2e-4


def test_an_engine_that_tells_no_phones_is_not_made_to() -> None:
    chunks = list(SpeechService([TellingEngine(16_000, tells=False)]).synthesize(THREE))
    assert {(chunk.phones, chunk.alphabet) for chunk in chunks} == {(None, "")}


@pytest.mark.parametrize("tells", [True, False])
def test_a_remembered_sentence_has_its_phones(tmp_path: Path, tells: bool) -> None:
    engine = TellingEngine(16_000, tells)
    first, again = (
        list(SpeechService([engine], cache=SpeechCache(tmp_path, 1 << 20)).synthesize(THREE)) for _ in range(2)
    )
    assert engine.begun == 3
    assert told(again) == told(first)
    assert bool(told(first)) is tells
    assert {chunk.alphabet for chunk in again} == {chunk.alphabet for chunk in first}


@pytest.mark.parametrize("voice", VOICES)
def test_the_engines_tell_when_they_say_what(voice: str) -> None:
    """Vowels are loud and pauses silent at the told times, in the last sentence as in the first."""
    chunks = list(SpeechService([FliteTTS(), EspeakTTS()]).synthesize(THREE, voice))
    phones, alphabet = told(chunks), chunks[0].alphabet
    assert_they_cover(phones, duration_s(chunks))
    pcm_S, rate_hz = np.concatenate([chunk.pcm_S for chunk in chunks]), chunks[0].sample_rate_hz
    starts = np.cumsum([0, *(len(c.pcm_S) for c in chunks)])[:-1][[c.starts_sentence for c in chunks]] / rate_hz
    closed = [sum(shapes_of_phone(p.name, alphabet).count("PP") for p in _between(phones, *s)) for s in _spans(starts)]
    assert closed == [6, 4, 5]  # Bob made cheap maps; People came by; Papa mind maybe

    def loudness(shapes: set[str], start_s: float, stop_s: float) -> float:
        inside = [p for p in _between(phones, start_s, stop_s) if set(shapes_of_phone(p.name, alphabet)) <= shapes]
        middles = [round((p.start_s + p.stop_s) / 2 * rate_hz) for p in inside if p.stop_s - p.start_s > 0.06]
        return float(np.mean([np.abs(pcm_S[max(m - rate_hz // 100, 0) : m + rate_hz // 100]).mean() for m in middles]))

    quiet = loudness({"sil"}, 0.0, np.inf)
    for span in _spans(starts):
        assert loudness({"aa", "ae", "ah", "E", "O", "IY", "I", "U", "UH"}, *span) > 8 * quiet


def _spans(starts: Sequence[float]) -> list[tuple[float, float]]:
    return list(pairwise([*starts, np.inf]))


def _between(phones: Sequence[Phone], start_s: float, stop_s: float) -> list[Phone]:
    return [phone for phone in phones if start_s - 1e-3 <= phone.start_s < stop_s - 1e-3]


@pytest.mark.parametrize("voice", VOICES)
def test_they_make_a_track_of_lips(voice: str) -> None:
    chunks = list(SpeechService([FliteTTS(), EspeakTTS()]).synthesize(THREE, voice))
    segments = segments_of(told(chunks), chunks[0].alphabet)
    frames = -(-round(duration_s(chunks) * 1000) * FPS // 1000)
    opening_T, meet_T = opening_mm(spoken_units(segments, frames)), lips_meet(segments, frames)
    assert meet_T.sum() >= 14
    assert opening_T[meet_T].max() < 0.5 < 4 < np.percentile(opening_T, 90)


@pytest.mark.parametrize("voice", VOICES)
def test_training_hears_the_same_phones(voice: str) -> None:
    """Ears learn from `speaker`, listeners hear the service: one reader of phones behind both."""
    sentence = "Maybe people mind."
    service = told(list(SpeechService([FliteTTS(), EspeakTTS()]).synthesize(sentence, voice)))
    learnt = speaker(voice)(sentence)
    assert [p.name for p in service] == [p.name for p in learnt.phones]


@needs_flite
def test_flites_phrases_follow_one_another() -> None:
    """Times of the second phrase are told from its own begin."""
    spoken = flite.speak("Hello there. My name is Bob, maybe? Yes.", "slt")
    assert spoken is not None
    assert_they_cover(spoken.phones, len(spoken.pcm_S) / spoken.rate_hz)
    pause, my = next(pair for pair in pairwise(spoken.phones) if pair[0].name == "pau" and pair[1].name == "m")
    assert spoken.phones[0].start_s < pause.start_s < my.start_s
    assert my.start_s - pause.start_s == pytest.approx(0.224, abs=0.01)  # flite's own pause before a phrase
    assert my.start_s > 1.0
    whole = flite.speak("Hello there. My name is Bob, maybe? Yes.", "slt", one_phrase=True)
    assert whole is not None and len(whole.pcm_S) != len(spoken.pcm_S)


def test_every_language_of_espeak_has_shapes_for_its_phones() -> None:
    languages = ["en-gb", "de", "fr-fr", "es", "pl", "hi", "ar", "cmn", "ja", "tr", "ta", "ky"]
    assert set(languages) <= {voice.language for voice in espeak.voices()}
    for language in languages:
        spoken = espeak.speak("1 2 3 4 5 6 7 8 9 10 11 12 20 100", language, 175)
        assert len(segments_of(spoken.phones, spoken.alphabet)) > 30, language


def test_marks_cover_a_sound() -> None:
    assert without_gaps([], 1.0, "ipa") == (Phone("_", 0.0, 1.0),)
    marks = [("m", 0.2), ("aa", 0.5), ("x", 0.5), ("late", 1.0)]
    found = without_gaps(marks, 0.9, "arpabet")
    assert found == (Phone("pau", 0.0, 0.2), Phone("m", 0.2, 0.5), Phone("x", 0.5, 0.9))
