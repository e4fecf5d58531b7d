"""Who speaks, who takes over, and what stays of an utterance that nobody listens to any more."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from services.errors import SpeechError, TextRejectedError, VoiceNotFoundError
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.tts_service import SpeechService
from services.types import TTSService
from tests.tts_material import THREE, FakeEngine, joined, needs_flite, sentence_sound


# --- chunks ---------------------------------------------------------------------------------------
def test_chunks_carry_the_sound_of_every_sentence() -> None:
    speech: TTSService = SpeechService([FakeEngine("a")])
    chunks = list(speech.synthesize(THREE))
    assert [c.sentence for c in chunks if c.starts_sentence] == ["First sentence.", "Second one!", "And a third?"]
    for sentence in {c.sentence for c in chunks}:
        mine = [c for c in chunks if c.sentence == sentence]
        assert [c.starts_sentence for c in mine] == [True] + [False] * (len(mine) - 1)
        np.testing.assert_allclose(joined(mine), sentence_sound(sentence, 24_000), atol=1 / 32768)
    assert all(c.pcm_S.dtype == np.float32 and 0 < len(c.pcm_S) <= c.sample_rate_hz for c in chunks)
    assert len(joined(list(speech.synthesize("Hello.", speed=2.0)))) == 12_000


@pytest.mark.parametrize(("rate_hz", "expected_hz"), [(11_025, 11_025), (22_050, 22_050), (22_051, 22_050)])
def test_rates_are_frame_exact(rate_hz: int, expected_hz: int) -> None:
    chunks = list(SpeechService([FakeEngine("a", rate_hz=rate_hz)]).synthesize("Hello there."))
    assert {chunk.sample_rate_hz for chunk in chunks} == {expected_hz}
    assert len(joined(chunks)) / expected_hz == pytest.approx(1.5, abs=0.001)


def test_what_is_wrong_is_raised_at_the_call() -> None:
    speech = SpeechService([FakeEngine("a")], max_characters=20)
    for call in (speech.check, speech.synthesize):
        with pytest.raises(TextRejectedError, match="21 characters, at most 20"):
            call("a" * 21)
        with pytest.raises(TextRejectedError, match="speed"):
            call("Hello.", speed=3)
        with pytest.raises(VoiceNotFoundError, match=r"no voice 'a:de' on this machine; there are a:en-US"):
            call("Hello.", voice="a:de")
    speech.check("Hello.", "a:en-US", 2.0)


# --- who takes over -------------------------------------------------------------------------------
def test_a_failing_engine_is_replaced_once_and_for_all(caplog: pytest.LogCaptureFixture) -> None:
    first, second = FakeEngine("a"), FakeEngine("b")
    speech = SpeechService([first, second])
    assert speech.status().fallback_reason is None and not speech.status().degraded
    assert [voice.name for voice in speech.voices()] == ["a:en-US", "b:en-US"]
    first.fail_after = 0
    with caplog.at_level(logging.INFO):
        assert joined(list(speech.synthesize("Hello."))).any()
        assert joined(list(speech.synthesize("Again."))).any()
    status = speech.status()
    assert (status.engine, status.default_voice) == ("b", "b:en-US")
    assert status.fallback_reason == "a broke" and status.degraded
    assert [record.message for record in caplog.records] == ["b:en-US speaks instead of a:en-US: a broke"]
    assert first.begun == ["Hello."]
    assert second.begun == ["Hello.", "Again."]
    assert [voice.name for voice in speech.voices()] == ["b:en-US", "a:en-US"]
    with pytest.raises(SpeechError, match="a broke"):  # a voice that is named is never replaced
        list(speech.synthesize("Hello.", voice="a:en-US"))


def test_after_the_first_chunk_nobody_takes_over() -> None:
    first, second = FakeEngine("a"), FakeEngine("b")
    first.fail_after = 2
    speech = SpeechService([first, second])
    spoken = speech.synthesize(THREE)
    assert len(next(spoken).pcm_S) == 4800
    with pytest.raises(SpeechError, match="a broke"):
        list(spoken)
    assert second.begun == []


def test_when_nobody_can_speak_all_reasons_are_named() -> None:
    speech = SpeechService([FakeEngine("a", languages=()), FakeEngine("b", languages=())])
    assert speech.voices() == []
    assert speech.status().engine == "none"
    with pytest.raises(SpeechError, match="a is not here; b is not here"):
        list(speech.synthesize("Hello."))
    broken = FakeEngine("c")
    broken.fail_after = 0
    for _ in range(2):
        with pytest.raises(SpeechError, match="c broke"):
            list(SpeechService([broken]).synthesize("Hello."))


@pytest.mark.parametrize(
    ("wanted", "speaker", "reason"),
    [
        (None, "b:en-US", "a is not here"),
        ("c:de", "c:de", None),
        ("b:en-US", "b:en-US", None),
        ("piper:de_DE-nobody-low", "c:de", "the configured voice piper:de_DE-nobody-low is not on this machine"),
        ("piper:xx_XX-nobody-low", "b:en-US", "the configured voice piper:xx_XX-nobody-low is not on this machine"),
    ],
)
def test_who_speaks_by_default(
    wanted: str | None, speaker: str, reason: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    engines = [FakeEngine("a", languages=()), FakeEngine("b"), FakeEngine("c", languages=("af", "de", "en-GB"))]
    speech = SpeechService(engines, wanted)
    with caplog.at_level(logging.INFO):
        assert speech.voices()[0].name == speech.status().default_voice == speaker
    found = speech.status().fallback_reason
    assert found is None if reason is None else found is not None and found.startswith(reason)
    assert len(caplog.records) == (reason is not None)


# --- listeners ------------------------------------------------------------------------------------
def test_the_next_sentence_is_made_meanwhile_but_not_the_whole_text() -> None:
    engine = FakeEngine("a", seconds=4.0)
    spoken = SpeechService([engine]).synthesize("One. " * 50)
    next(spoken)
    deadline = time.monotonic() + 5
    while len(engine.begun) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert 2 <= len(engine.begun) <= 4
    spoken.close()
    deadline = time.monotonic() + 5
    while threading.active_count() > 1 and any(t.name == "speech" for t in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(engine.begun) <= 4


@pytest.mark.parametrize("voice", ["espeak:en-gb", pytest.param("flite:slt", marks=needs_flite)])
def test_many_listeners_at_once_each_hear_their_own(voice: str) -> None:
    speech = SpeechService([FliteTTS(), EspeakTTS()])
    texts = [f"Number {'very ' * i}high. And low." for i in range(6)]
    alone = [joined(list(speech.synthesize(text, voice))) for text in texts]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda text: joined(list(speech.synthesize(text, voice))), texts))
    for one, other in zip(alone, together, strict=True):
        if voice == "flite:slt":
            np.testing.assert_array_equal(one, other)
        # espeak-ng varies its pitch by chance: never twice the same samples, but the same words.
        assert len(one) == pytest.approx(len(other), rel=0.01)
        assert np.abs(one).mean() == pytest.approx(np.abs(other).mean(), rel=0.05)
    lengths = sorted(map(len, alone))
    assert all(longer > 1.03 * shorter for shorter, longer in pairwise(lengths))


@needs_flite
def test_closing_ends_the_running_program(tmp_path: Path) -> None:
    """A program that never ends, in the place of flite: it is gone at once."""
    started = tmp_path / "started"
    slow = tmp_path / "slow"
    slow.write_text(
        f"#!/bin/sh\n[ $1 = --version ] && exit 0\necho $$ >> {started}\n"
        f'if [ -e {started}.2 ]; then exec sleep 600; fi\ntouch {started}.2\nexec flite "$@"\n'
    )
    slow.chmod(0o755)
    spoken = SpeechService([FliteTTS(str(slow))]).synthesize("One. Two.")
    next(spoken)
    deadline = time.monotonic() + 5
    while len(started.read_text().split()) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process = int(started.read_text().split()[1])
    assert Path(f"/proc/{process}").exists()
    begun = time.monotonic()
    spoken.close()
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() - begun < 0.5
        time.sleep(0.002)


@needs_flite
def test_a_listener_who_leaves_ends_the_program_that_makes_the_first_sound(tmp_path: Path) -> None:
    """The generator is waiting for its first chunk then: no other thread could close it."""
    started, slow = tmp_path / "started", tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\n[ $1 = --version ] && exit 0\necho $$ > {started}.part\n"
                    f"mv {started}.part {started}\nexec sleep 600\n")  # fmt: skip
    slow.chmod(0o755)
    cancelled = threading.Event()
    spoken = SpeechService([FliteTTS(str(slow))]).synthesize("One. Two.", cancelled=cancelled)
    ended: list[tuple[BaseException, float]] = []

    def listen() -> None:
        try:
            next(spoken)
        except BaseException as error:
            ended.append((error, time.monotonic()))

    listener = threading.Thread(target=listen)
    listener.start()
    deadline = time.monotonic() + 5
    while not started.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process = int(started.read_text())
    left_at = time.monotonic()
    cancelled.set()
    listener.join(5)
    assert isinstance(ended[0][0], GeneratorExit)
    assert ended[0][1] - left_at < 0.2
    while Path(f"/proc/{process}").exists():
        assert time.monotonic() - left_at < 0.5
        time.sleep(0.002)
