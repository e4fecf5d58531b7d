"""Who speaks, who takes over, and what stays of an utterance that nobody listens to any more."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from config import Tts
from services.errors import SpeechError, TextRejectedError, VoiceNotFoundError
from services.speech.cache import SpeechCache
from services.speech.engine import Sound
from services.speech.engines import build_speech
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.speech.piper import PiperTTS
from services.tts_service import SpeechService
from services.types import AudioChunk, TTSService, Voice
from tests.conftest import REPOSITORY
from tests.piper_voice import write_piper_voice

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")
THREE = "First sentence. Second one! And a third?"


class FakeEngine:
    """Says a ramp that depends on the sentence, in pieces of 0.3 s; fails when it is told to."""

    def __init__(self, name: str, languages: Sequence[str] = ("en-US",), rate_hz: int = 16_000, seconds: float = 1.5):
        self.name = name
        self.languages, self.rate_hz, self.seconds = languages, rate_hz, seconds
        self.fail_after: int | None = None  # pieces, over all sentences
        self.pieces = 0
        self.begun: list[str] = []
        self.stopped = 0

    def voices(self) -> Sequence[Voice]:
        return [Voice(f"{self.name}:{language}", self.name, language, language) for language in self.languages]

    def absence(self) -> str:
        return f"{self.name} is not here"

    def version(self, voice: str) -> str:
        return "1"

    def unspoken(self, sentence: str, voice: str) -> str:
        return ""

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        self.begun.append(sentence)
        pcm_S = sentence_sound(sentence, round(self.seconds * self.rate_hz / speed))
        step = round(0.3 * self.rate_hz)
        for start in range(0, len(pcm_S), step):
            if self.fail_after is not None and self.pieces >= self.fail_after:
                raise SpeechError(f"{self.name} broke")
            if stop.is_set():
                self.stopped += 1
                return
            self.pieces += 1
            yield Sound(pcm_S[start : start + step], self.rate_hz)


def sentence_sound(sentence: str, samples: int) -> np.ndarray:
    return (np.sin(np.arange(samples) * (0.01 + len(sentence) / 1000)) * 0.7).astype(np.float32)


def joined(chunks: Sequence[AudioChunk]) -> np.ndarray:
    return np.concatenate([chunk.pcm_S for chunk in chunks])


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


def test_espeak_gives_up_when_it_is_stopped() -> None:
    engine = EspeakTTS()
    stop = threading.Event()
    stop.set()
    assert list(engine.speak("A sentence that nobody waits for.", "espeak:en-gb", 1.0, stop)) == []
    spoken = list(engine.speak("Hello.", "espeak:en-gb", 1.0, threading.Event()))
    assert np.abs(spoken[0].pcm_S).max() > 0.1


# --- the engines ----------------------------------------------------------------------------------
@pytest.mark.parametrize("voice", ["espeak:en-gb", "espeak:de", "espeak:cmn"])
def test_espeak_speaks(voice: str) -> None:
    speech = SpeechService([EspeakTTS()])
    text = "你好，世界。" if voice == "espeak:cmn" else "Guten Morgen, 12 Leute."
    normal, fast = (joined(list(speech.synthesize(text, voice, speed))) for speed in (1.0, 2.0))
    assert len(normal) > 0.5 * 22_050
    assert len(fast) < 0.75 * len(normal)
    assert np.abs(normal).max() > 0.1


@needs_flite
@pytest.mark.parametrize("voice", ["slt", "rms", "awb", "kal16"])
def test_flite_speaks(voice: str) -> None:
    speech = SpeechService([FliteTTS()])
    chunks = list(speech.synthesize("Naïve — don’t you think?", f"flite:{voice}"))
    assert {chunk.sample_rate_hz for chunk in chunks} == {16_000}
    fast = list(speech.synthesize("Naïve — don’t you think?", f"flite:{voice}", 2.0))
    assert len(joined(fast)) == pytest.approx(len(joined(chunks)) / 2, rel=0.15)
    with pytest.raises(TextRejectedError, match=r"flite:.* has no sound for 你好"):
        list(speech.synthesize("你好", f"flite:{voice}"))


def test_a_program_that_fails_is_an_error_with_its_words(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_text("#!/bin/sh\necho no voice data >&2\nexit 3\n")
    bad.chmod(0o755)
    with pytest.raises(SpeechError, match="ended with code 3: no voice data"):
        list(SpeechService([FliteTTS(str(bad))]).synthesize("Hello.", "flite:slt"))
    assert FliteTTS("no-such-program").voices() == ()


def test_piper_speaks_before_the_others(tmp_path: Path) -> None:
    write_piper_voice(tmp_path)
    speech = build_speech(Tts(voices_dir=tmp_path, cache_mb=0))
    speech.warm_up()
    assert speech.status().engine == "piper"
    assert speech.voices()[0] == Voice("piper:en_US-toy-low", "piper", "en-US", "Toy, low (Piper)")
    chunks = list(speech.synthesize(THREE))
    assert {chunk.sample_rate_hz for chunk in chunks} == {22_050}
    first = joined([chunk for chunk in chunks if chunk.sentence == "First sentence."])
    np.testing.assert_allclose(first, np.sin(np.arange(len(first)) / 20), atol=2e-3)
    fast = list(speech.synthesize(THREE, speed=2.0))
    assert len(joined(fast)) == pytest.approx(len(joined(chunks)) / 2, abs=10)
    assert joined(list(speech.synthesize("[[ h ]] Hello."))).any()


def _damaged_model(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def _no_json(path: Path) -> None:
    Path(f"{path}.json").write_text("{}")


@pytest.mark.parametrize("damage", [_damaged_model, _no_json])
def test_a_broken_piper_voice_is_replaced(damage, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damage(write_piper_voice(tmp_path))
    speech = build_speech(Tts(voices_dir=tmp_path, voice="piper:en_US-toy-low", cache_mb=0))
    assert speech.status().engine == "piper"
    assert joined(list(speech.synthesize("Hello."))).any()
    status = speech.status()
    assert status.engine in ("flite", "espeak")
    assert status.fallback_reason is not None
    assert "en_US-toy-low.onnx cannot be used" in status.fallback_reason
    with pytest.raises(SpeechError, match="cannot be used"):
        list(speech.synthesize("Hello.", "piper:en_US-toy-low"))
    assert capfd.readouterr() == ("", "")


def test_a_voice_elsewhere_is_the_default_one(tmp_path: Path) -> None:
    path = write_piper_voice(tmp_path / "elsewhere", "mine")
    speech = build_speech(Tts(voices_dir=tmp_path, model_path=path, cache_mb=0))
    assert speech.status().default_voice == "piper:mine"
    assert len(joined(list(speech.synthesize("Hello.")))) > 1000
    path.unlink()
    missing = build_speech(Tts(voices_dir=tmp_path, model_path=path, cache_mb=0)).status()
    assert missing.engine != "piper"
    assert "piper:mine is not on this machine" in (missing.fallback_reason or "")


def test_a_voice_is_loaded_once(tmp_path: Path) -> None:
    write_piper_voice(tmp_path)
    engine = PiperTTS(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        models = list(pool.map(lambda _: engine._model("piper:en_US-toy-low"), range(8)))
    assert len({id(model) for model in models}) == 1


def test_without_a_voice_nothing_of_piper_is_imported(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\n"
        "from config import Tts\nfrom services.speech.engines import build_speech\n"
        f"speech = build_speech(Tts(voices_dir=Path({str(tmp_path)!r}), cache_mb=0))\n"
        "assert speech.voices() and sum(len(c.pcm_S) for c in speech.synthesize('Hello.'))\n"
        "assert not {'piper', 'onnxruntime', 'torch'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# --- the cache ------------------------------------------------------------------------------------
def test_a_remembered_sentence_is_the_same_sound(tmp_path: Path) -> None:
    engine = FakeEngine("a")
    speech = SpeechService([engine], cache=SpeechCache(tmp_path, 1 << 20))
    first = list(speech.synthesize("Hello. World."))
    second = list(speech.synthesize("Hello. World."))
    assert engine.begun == ["Hello.", "World."]
    np.testing.assert_array_equal(joined(first), joined(second))
    assert [c.sentence for c in second if c.starts_sentence] == ["Hello.", "World."]
    list(speech.synthesize("Hello.", speed=1.5))
    assert engine.begun[2:] == ["Hello."]
    playable, rate_hz = soundfile.read(sorted(tmp_path.glob("*.flac"))[0])
    assert (rate_hz, len(playable)) in ((16_000, 24_000), (16_000, 16_000))


def test_a_damaged_file_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine = FakeEngine("a")
    speech = SpeechService([engine], cache=SpeechCache(tmp_path, 1 << 20))
    first = joined(list(speech.synthesize("Hello.")))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    flipped = bytes([whole[500] ^ 1])
    for damaged in (b"", b"short", whole[:-50], whole[:500] + flipped + whole[501:]):
        file.write_bytes(damaged)
        caplog.clear()
        np.testing.assert_array_equal(joined(list(speech.synthesize("Hello."))), first)
        assert "is damaged" in caplog.text
        assert file.read_bytes() == whole
    assert len(engine.begun) == 5


def test_half_a_sentence_is_not_remembered(tmp_path: Path) -> None:
    engine = FakeEngine("a", seconds=60.0)
    speech = SpeechService([engine], cache=SpeechCache(tmp_path, 1 << 24))
    spoken = speech.synthesize("Hello.")
    next(spoken)
    spoken.close()
    engine.fail_after = engine.pieces + 2
    with pytest.raises(SpeechError):
        list(speech.synthesize("Hello."))
    assert list(tmp_path.iterdir()) == []


def test_the_folder_stays_within_its_bytes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    noise = (random.integers(-9000, 9000, 8000) / 32768).astype(np.float32)
    cache = SpeechCache(tmp_path, 100_000)  # six sentences of 16 kB
    for index in range(6):
        cache.put(Sound(noise, 16_000), str(index))
        time.sleep(0.005)
    assert cache.get("0") is not None  # used: it stays
    for index in range(6, 10):
        time.sleep(0.005)
        cache.put(Sound(noise, 16_000), str(index))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100_000
    assert cache.get("0") is not None
    assert cache.get("1") is None
    remembered = cache.get("9")
    assert remembered is not None
    np.testing.assert_array_equal(remembered.pcm_S, noise)
    cache.put(Sound(np.tile(noise, 20), 16_000), "too large")
    assert cache.get("too large") is None


def test_a_folder_that_cannot_be_written_costs_no_speech(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    speech = SpeechService([FakeEngine("a")], cache=SpeechCache(tmp_path / "file" / "cache", 1 << 20))
    for _ in range(2):
        assert joined(list(speech.synthesize("Hello. World."))).any()
    assert caplog.text.count("speech is not remembered") == 1
