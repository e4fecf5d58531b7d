"""A server for tests: the real application around a toy avatar and a voice that hums, in a process of its own port."""

from __future__ import annotations

import base64
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

import config
from api import create_app
from config import Settings
from services.container import Services
from services.errors import SpeechError, TextRejectedError, VoiceNotFoundError
from services.types import AudioChunk, AvatarModel, SpeechStatus, Voice

RATE_HZ = 22_050
SECONDS_PER_WORD = 0.24  # six frames


class Humming:
    """Speech for tests: every word is six frames of a tone that its letters choose."""

    def __init__(self, most_characters: int = 5000) -> None:
        self.most_characters = most_characters
        self.closed = 0  # utterances whose generator was closed or ended
        self.fail_after_sentences: int | None = None

    def voices(self) -> Sequence[Voice]:
        return [Voice("hum:low", "hum", "en-US", "Low"), Voice("hum:high", "hum", "de-DE", "High")]

    def status(self) -> SpeechStatus:
        return SpeechStatus("hum", "hum:low", "no other engine in tests")

    def warm_up(self) -> None:
        """Nothing to load."""

    def check(self, text: str, voice: str | None = None, speed: float = 1.0) -> None:
        if not any(character.isalnum() for character in text):
            raise TextRejectedError("there is nothing to say in this text; send a sentence")
        if len(text) > self.most_characters:
            raise TextRejectedError(f"the text has {len(text)} characters; at most {self.most_characters} are spoken")
        if not 0.5 <= speed <= 2:
            raise TextRejectedError(f"speed {speed:g} is outside 0.5 to 2")
        if voice is not None and voice not in [known.name for known in self.voices()]:
            raise VoiceNotFoundError(f"no voice {voice[:40]!r}; there are hum:low and hum:high")

    def synthesize(
        self, text: str, voice: str | None = None, speed: float = 1.0, cancelled: threading.Event | None = None
    ) -> Generator[AudioChunk, None, None]:
        self.check(text, voice, speed)
        return self._speak(text, self.voices()[voice == "hum:high"], speed)

    def _speak(self, text: str, voice: Voice, speed: float) -> Generator[AudioChunk, None, None]:
        pitch = 2.0 if voice.name == "hum:high" else 1.0
        try:
            for number, sentence in enumerate(part.strip() for part in text.split(".") if part.strip()):
                if number == self.fail_after_sentences:
                    raise SpeechError("/home/somebody/voices/secret.onnx burst")
                yield AudioChunk(hum(sentence, pitch, speed), RATE_HZ, sentence, True, voice)
        finally:
            self.closed += 1


def hum(sentence: str, pitch: float = 1.0, speed: float = 1.0) -> np.ndarray:
    words = []
    for word in sentence.split():
        t = np.arange(round(RATE_HZ * SECONDS_PER_WORD / speed)) / RATE_HZ
        tone = 200 + 40 * (sum(map(ord, word)) % 10)
        words.append(0.4 * np.sin(2 * np.pi * pitch * tone * t) * np.hanning(len(t)))
    return np.concatenate(words).astype(np.float32)


class Gated:
    """A provider of models whose decoder waits: for one permission per frame, or a fixed time."""

    def __init__(self, inner: AvatarModel, before_frame: Callable[[], None]) -> None:
        self._inner = inner
        self._before_frame = before_frame

    def open(self, name: str) -> Any:
        return self

    def forget(self, recordings: Any) -> list[str]:
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def draw(self, indices: Any, embedding_BD: Any, held: Any = ()) -> Iterator[np.ndarray]:
        self._before_frame()
        return self._inner.draw(indices, embedding_BD, held)


def settings_for(avatars_dir: Path, work_dir: Path, **sections: dict[str, Any]) -> Settings:
    """Settings that touch nothing outside `work_dir`."""
    chosen: dict[str, dict[str, Any]] = {
        "models": {
            "avatars_dir": avatars_dir,
            "default_avatar": "toy",
            "device": "cpu",
            "threads": 1,
            "cache_dir": work_dir,
        },
        "tts": {"cache_dir": work_dir / "speech"},
        "debug": {"folder": work_dir / "debug"},
        "server": {"cache_dir": work_dir / "animations"},
        "create": {
            "jobs_dir": work_dir / "jobs",
            "dataset_dir": work_dir / "dataset",
            "checkpoint_dir": work_dir / "checkpoint",
        },
        "access": {"provenance_file": work_dir / "provenance.jsonl"},
        "limits": {"sessions": 4},
    }
    for section, values in sections.items():
        chosen[section] = {**chosen.get(section, {}), **values}
    return config.load_settings(**chosen)


def app_for(settings: Settings, services: Services, **parts: Any) -> FastAPI:
    return create_app(settings, replace(services, **{"tts": Humming(), **parts}))


@contextlib.contextmanager
def client_of(app: FastAPI) -> Iterator[TestClient]:
    """A client inside this process, when the server is warm; an error of the server is an answer, not an exception."""
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        wait_for(lambda: app.state.readiness.warm or app.state.readiness.problem)
        yield client


@contextlib.contextmanager
def served(app: FastAPI, send_buffer_bytes: int | None = None) -> Iterator[str]:
    """The address of a real server in a thread; its connections may be told to hold little that nobody reads."""
    with socket.socket() as listening:
        if send_buffer_bytes is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test server", daemon=True)
        thread.start()
        try:
            wait_for(lambda: server.started and (app.state.readiness.warm or app.state.readiness.problem))
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def wait_for(condition: Callable[[], object], within_s: float = 10.0) -> float:
    """Wait until something holds; returns how long that took."""
    started = time.perf_counter()
    while not condition():
        assert time.perf_counter() - started < within_s, f"not within {within_s} s"
        time.sleep(0.002)
    return time.perf_counter() - started


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """The messages of an NDJSON body."""
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


def of_type(messages: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [message for message in messages if message["type"] == kind]


def sound_of(messages: list[dict[str, Any]]) -> np.ndarray:
    """All samples of an utterance, int16."""
    return np.concatenate([np.frombuffer(base64.b64decode(m["audio"]), "<i2") for m in of_type(messages, "frame")])


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    """One client for real servers: making one loads the system's certificates, which takes a second."""
    with httpx.Client() as client:
        yield client
