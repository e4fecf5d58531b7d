"""Clients that leave while the speech is still being made, and voices that change while it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from http.client import HTTPConnection
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest

from services.container import Services
from services.errors import SpeechError
from services.speech.engine import Sound
from services.streaming.wav import spoken_wav
from services.tts_service import SpeechService
from services.types import Voice
from services.utterance import SpokenText
from tests.service_material import app_for, client_of, http, lines_of, served, settings_for, wait_for  # noqa: F401
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


class SlowEngine:
    """Makes the first sentences at once; the rest takes until it is stopped, or half a minute."""

    def __init__(self, name: str = "slow", sentences_at_once: int = 0, fails: bool = False) -> None:
        self.name = name
        self.working = threading.Event()
        self.stopped = threading.Event()
        self._left = sentences_at_once
        self._fails = fails

    def voices(self) -> Sequence[Voice]:
        return [Voice(f"{self.name}:en", self.name, "en-US", self.name)]

    def absence(self) -> str:
        return f"{self.name} is absent"

    def version(self, voice: str) -> str:
        return "1"

    def unspoken(self, sentence: str, voice: str) -> str:
        return ""

    def speak(self, sentence: str, voice: str, speed: float, stop: threading.Event) -> Iterator[Sound]:
        if self._fails and sentence != "Hello.":  # what a server warms up with
            raise SpeechError("the engine broke")
        if self._left <= 0 and sentence != "Hello.":
            self.working.set()
            if stop.wait(30):
                self.stopped.set()
                return
        self._left -= 1
        yield Sound(np.full(16_000, 0.1, np.float32), 16_000)


@pytest.mark.parametrize("sentences_at_once", [0, 1], ids=["before the first sound", "between two sentences"])
def test_a_client_that_leaves_while_speech_is_made_frees_everything_within_200_ms(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path, sentences_at_once: int
) -> None:
    engine = SlowEngine(sentences_at_once=sentences_at_once + 1)  # one is the warm-up
    settings = settings_for(toy_avatars, tmp_path, limits={"sessions": 1})
    app = app_for(settings, toy_services, tts=SpeechService([engine]))
    slots = app.state.parts.animations.slots
    with served(app) as address:
        wish = {"text": "First sentence. Second sentence."}
        if sentences_at_once:
            with http.stream("GET", f"{address}/generate", params=wish) as answer:
                next(answer.iter_raw())
                assert engine.working.wait(10)
                left_at = time.perf_counter()
        else:
            url = httpx.URL(f"{address}/generate", params=wish)
            client = HTTPConnection(url.host, url.port)
            client.request("GET", url.raw_path.decode())
            assert engine.working.wait(10)
            client.close()
            left_at = time.perf_counter()
        wait_for(lambda: slots.free == 1)
        assert time.perf_counter() - left_at < 0.2
        assert engine.stopped.wait(0.2)
        assert [t.name for t in threading.enumerate() if t.name in ("session", "speech")] == []
        assert "avatar328_cancelled_total 1.0" in http.get(f"{address}/metrics").text
        assert "avatar328_failed_total 0.0" in http.get(f"{address}/metrics").text


def test_the_header_names_the_voice_that_took_over(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    speech = SpeechService([SlowEngine("broken", fails=True), SlowEngine("spare", sentences_at_once=9)])
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=speech)) as client:
        assert client.get("/health").json()["speech"]["engine"] == "broken"  # it fails only now
        wish = {"text": "One sentence.", "cache": "true"}
        first = client.get("/generate", params=wish)
        header = lines_of(first.content)[0]
        assert (header["voice"], header["engine"]) == ("spare:en", "spare")
        kept = list((tmp_path / "animations").glob("*"))
        assert kept == []  # its key names the other voice
        assert client.get("/generate", params=wish).headers["x-cache"] == "miss"
        assert client.get("/generate", params=wish).headers["x-cache"] == "hit"


@pytest.mark.parametrize("sentences_at_once", [0, 1], ids=["before the first sound", "between two sentences"])
def test_a_client_that_leaves_before_its_wav_is_whole_stops_the_voice(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path, sentences_at_once: int
) -> None:
    engine = SlowEngine(sentences_at_once=sentences_at_once + 1)  # one is the warm-up
    settings = settings_for(toy_avatars, tmp_path, limits={"sessions": 1})
    app = app_for(settings, toy_services, tts=SpeechService([engine]))
    slots = app.state.parts.animations.slots
    with served(app) as address:
        with pytest.raises(httpx.ReadTimeout):
            http.get(f"{address}/get-tts-audio", params={"text": "First sentence. Second sentence."}, timeout=0.5)
        assert engine.working.wait(10)
        wait_for(lambda: slots.free == 1)
        assert engine.stopped.wait(5)  # by itself it would be silent for half a minute
        wait_for(lambda: not [t.name for t in threading.enumerate() if t.name in ("speech file", "speech")])


def test_a_server_that_stops_ends_a_wav_in_the_making(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    engine = SlowEngine(sentences_at_once=1)
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=SpeechService([engine]))
    animations = app.state.parts.animations
    with client_of(app):
        animations.speech(SpokenText("First sentence."), spoken_wav)
        assert engine.working.wait(10)
    assert engine.stopped.wait(5)
    assert animations.slots.used == 0
