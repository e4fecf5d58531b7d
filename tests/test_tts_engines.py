"""What the engines say, and when: espeak-ng, flite and Piper."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from config import Tts
from services.errors import SpeechError, TextRejectedError
from services.speech.engines import build_speech
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.speech.piper import PiperTTS
from services.tts_service import SpeechService
from services.types import Voice
from tests.conftest import REPOSITORY
from tests.piper_voice import write_piper_voice
from tests.tts_material import THREE, joined, needs_flite


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


def test_a_packaged_voice_is_the_default_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "somebodys_piper_voice"
    write_piper_voice(package / "data")
    (package / "__init__.py").write_text("raise SystemExit('it is not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("services.speech.piper.PACKAGES", ("nobodys_piper_voice", package.name))
    speech = build_speech(Tts(voices_dir=tmp_path / "voices", cache_mb=0))
    assert (speech.status().default_voice, speech.status().fallback_reason) == ("piper:en_US-toy-low", None)
    assert len(joined(list(speech.synthesize("Hello.")))) > 1000
    write_piper_voice(tmp_path / "voices", "en_US-own-low")
    assert [voice.name for voice in speech.voices()][:2] == ["piper:en_US-toy-low", "piper:en_US-own-low"]
    assert build_speech(Tts(voices_dir=tmp_path / "voices", cache_mb=0)).status().default_voice == "piper:en_US-own-low"


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
