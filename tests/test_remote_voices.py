"""Voices over OpenAI's protocol: another server's for our avatars, and ours for other clients."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx2
import numpy as np
import pytest
from fastapi import FastAPI

from config import Tts
from services.container import Services
from services.errors import SpeechError
from services.remote import Remote
from services.speech.engines import build_speech
from services.speech.remote import RemoteTTS
from tests.openai_server import KEY, Told, other, told  # noqa: F401
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work")), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


def test_another_server_s_voice_speaks_sentence_by_sentence(other: tuple[str, Told], told: Told) -> None:
    tts = build_speech(Tts(remote_url=other[0], remote_key=KEY, remote_voices="nova, alloy", cache_mb=0))
    assert tts.status().default_voice == "remote:nova"
    chunks = list(tts.synthesize("Good morning everybody. It is late.", speed=1.5))
    assert {chunk.sample_rate_hz for chunk in chunks} == {24_000}
    assert [asked["input"] for asked in told.speeches] == ["Good morning everybody.", "It is late."]
    asked = {"model": "tts-1", "voice": "nova", "response_format": "pcm", "speed": 1.5}
    assert told.speeches[0] == asked | {"input": "Good morning everybody."}
    heard = np.concatenate([chunk.pcm_S for chunk in chunks])
    first = (8000 * np.sin(np.arange(18_000) / 9)).astype("<i2") / np.float32(32768)
    np.testing.assert_allclose(heard[:18_000], first, atol=1e-4)


def test_a_voice_that_fails_is_replaced_unless_it_was_named(other: tuple[str, Told], told: Told) -> None:
    told.status = 503
    tts = build_speech(Tts(remote_url=other[0], remote_key=KEY, cache_mb=0))
    with pytest.raises(SpeechError, match="status 503"):
        list(tts.synthesize("Hello.", "remote:alloy"))
    assert next(tts.synthesize("Hello.")).voice.engine != "remote"  # type: ignore[union-attr]
    assert tts.status().degraded


def test_a_voice_stops_when_nobody_listens(other: tuple[str, Told], told: Told) -> None:
    engine = RemoteTTS(Remote(other[0], KEY, 5.0, "voice"), "tts-1", ["alloy"], "en-US")
    stop = threading.Event()
    heard = 0
    for piece in engine.speak("one two three four five six seven eight", "remote:alloy", 1.0, stop):
        heard += len(piece.pcm_S)
        stop.set()
    assert 0 < heard <= 4800


@pytest.mark.parametrize("form", ["mp3", "opus", "aac", "flac", "wav", "pcm"])
def test_our_voice_is_offered_as_openai_s(server: str, app: FastAPI, form: str) -> None:
    asked = {"model": "tts-1", "input": "Never a dull word. Today.", "voice": "alloy", "instructions": "Be kind."}
    with httpx2.Client() as client:
        answer = client.post(f"{server}/v1/audio/speech", json=asked | {"response_format": form})
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-ai-generated"] == "true"
    if form == "pcm":
        heard, rate_hz = np.frombuffer(answer.content, "<i2") / 32768, 24_000
    else:
        with av.open(io.BytesIO(answer.content)) as container:
            frames = list(container.decode(audio=0))
        rate_hz = frames[0].sample_rate
        heard = np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames]).astype(float)
        if frames[0].format.name.startswith("s16"):
            heard /= 32768
    assert len(heard) / rate_hz == pytest.approx(5 * 0.24, abs=0.12)
    spoken = np.concatenate([hum("Never a dull word"), hum("Today")])
    assert np.sqrt(np.square(heard).sum() / rate_hz) == pytest.approx(
        float(np.sqrt(np.square(spoken).sum() / RATE_HZ)), rel=0.1
    )
    wait_for(lambda: app.state.parts.animations.slots.used == 0)


@pytest.mark.parametrize(
    ("change", "status"),
    [({"input": "..."}, 422), ({"response_format": "midi"}, 422), ({"speed": 9}, 422), ({"voice": "hum:high"}, 200)],
)
def test_what_cannot_be_spoken_is_refused(server: str, change: dict[str, Any], status: int) -> None:
    with httpx2.Client() as client:
        answer = client.post(f"{server}/v1/audio/speech", json={"input": "Hello.", "voice": "alloy"} | change)
    assert answer.status_code == status
