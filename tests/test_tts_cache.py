"""Sentences that were spoken before."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from services.errors import SpeechError
from services.speech.cache import SpeechCache
from services.speech.engine import Sound
from services.tts_service import SpeechService
from tests.tts_material import FakeEngine, joined


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
