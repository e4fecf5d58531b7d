"""The command line, from a text to an MP4 that carries the voice's own sound."""

from __future__ import annotations

import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from config import Tts
from inference_328 import main, slug, speech
from services.container import Services
from services.errors import SpeechError
from services.speech.engines import build_speech
from services.speech.feed import SpeechFeed
from tests.piper_voice import write_piper_voice
from tests.test_inference import decoded
from tests.toy_avatar import NAME, toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

needs_flite = pytest.mark.skipif(shutil.which("flite") is None, reason="the program flite is not installed")


def infer(avatars_dir: Path, *more: str) -> int:
    return main(["--name", NAME, "--avatars_dir", str(avatars_dir), "--threads", "1", *more])


def test_a_text_becomes_an_mp4(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("recipe.places.home", lambda: tmp_path)
    write_piper_voice(tmp_path / "voices")
    text = "Good morning! I was here."
    assert infer(toy_avatars, "--text", text, "--start_frame", "9") == 0
    result = tmp_path / "result" / "toy_good-morning-i-was-here.mp4"
    assert list((tmp_path / "result").iterdir()) == [result]
    pictures, sound, facts = decoded(result)
    spoken_S = np.concatenate(
        [chunk.pcm_S for chunk in build_speech(Tts(voices_dir=tmp_path / "voices", cache_mb=0)).synthesize(text)]
    )
    frames = -(-len(spoken_S) // 882)
    assert len(pictures) == frames > 25
    assert facts["rate_hz"] == 22_050
    assert facts["video_s"] == facts["audio_s"] == Fraction(frames, 25)
    # The sound is the engine's, in place to the sample: any shift would fit less well.
    fits = [np.dot(sound[0, 2000 + lag : 20_000 + lag], spoken_S[2000:20_000]) for lag in range(-9, 10)]
    assert np.argmax(fits) == 9
    np.testing.assert_allclose(sound[0, 2000:20_000], spoken_S[2000:20_000], atol=0.2)
    # The pictures are those of the stream.
    feed = SpeechFeed(build_speech(Tts(voices_dir=tmp_path / "voices", cache_mb=0)).synthesize(text))
    streamed = list(toy_services.frames.generate(toy_services.models.open(NAME), feed, 9))
    for picture, frame in zip(pictures, streamed, strict=True):
        assert np.square(picture.astype(float) - frame.frame_rgb_HWC).mean() < 255**2 / 10**3.3  # 33 dB
    out = capsys.readouterr().out.splitlines()
    assert out[0] == str(result)
    assert out[2] == "  spoken by piper:en_US-toy-low"


@needs_flite
def test_voice_and_speed_are_those_asked_for(toy_avatars: Path, tmp_path: Path) -> None:
    durations_s = []
    for speed in ("1", "2"):
        out = tmp_path / f"{speed}.mp4"
        assert (
            infer(toy_avatars, "--text", "Good morning.", "--voice", "flite:rms", "--speed", speed, "--out", str(out))
            == 0
        )
        with av.open(str(out)) as container:
            stream = container.streams.audio[0]
            assert stream.rate == 16_000
            durations_s.append(float(stream.duration * stream.time_base))
    assert durations_s[1] == pytest.approx(durations_s[0] / 2, abs=0.08)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--text", "..."], "nothing that can be spoken"),
        (["--text", "Hello.", "--voice", "flite:nobody"], "no voice 'flite:nobody'"),
        (["--text", "Hello.", "--speed", "3"], "choose 0.5 to 2"),
        (["--text", "x" * 5001], "5001 characters, at most 5000"),
        (["--text", "Hello.", "--start_frame", "60"], "choose 0 to 59"),
    ],
)
def test_what_cannot_be_said_is_one_line(
    toy_avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert infer(toy_avatars, *arguments, "--out", str(tmp_path / "out.mp4")) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--text", "Hi.", "--audio_path", "a.wav"],
        ["--audio_path", "a.wav", "--voice", "flite:slt"],
        ["--audio_path", "a.wav", "--speed", "1"],
    ],
)
def test_a_text_or_a_recording_and_not_both(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--name", "toy", *arguments])
    assert raised.value.code == 2
    assert "error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Good morning! I was wondering about it.", "good-morning-i-was"),
        ("Don’t/../stop", "dont-stop"),
        ("Grüße, Welt 你好", "grüße-welt-你好"),
        ("...", "text"),
        ("x" * 50, "x" * 24),
    ],
)
def test_a_result_is_named_by_its_first_words(text: str, name: str) -> None:
    assert slug(text) == name


def test_a_voice_that_fails_in_the_middle_leaves_nothing(
    toy_avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaking:
        def synthesize(self, text: str, voice: str | None = None, speed: float = 1.0):  # type: ignore[no-untyped-def]
            yield next(build_speech().synthesize(text))
            raise SpeechError("the engine broke")

    monkeypatch.setattr("inference_328.speech", lambda tts, *rest: speech(Breaking(), *rest))
    assert infer(toy_avatars, "--text", "Hello there.", "--out", str(tmp_path / "out.mp4")) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: the engine broke"
    assert list(tmp_path.iterdir()) == []
