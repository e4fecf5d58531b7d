"""Bad input: each case its status, its kind of problem and what it says, and nothing of this machine in it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from services.container import Services
from services.speech.espeak import EspeakTTS
from services.tts_service import SpeechService
from tests.bad_requests import (
    CASES,
    INNER,
    JSON,
    LONGEST_S,
    Case,
    encoded,
    two_hours_without_saying_so,
    video,
    wav,
)
from tests.service_material import Humming, app_for, client_of, lines_of, settings_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    settings = settings_for(toy_avatars, work, limits={"upload_s": LONGEST_S, "upload_mb": 2})
    with client_of(app_for(settings, toy_services)) as client:
        yield client


def answered(client: TestClient, case: Case, tmp_path: Path) -> Any:
    send = dict(case.send)
    if case.upload is not None:
        send["files"] = {"file": ("speech.wav", case.upload(tmp_path), "audio/wav")}
    return client.request(case.method, case.path, **send)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(client: TestClient, tmp_path: Path, case: Case) -> None:
    answer = answered(client, case, tmp_path)
    assert answer.headers["content-type"] == "application/problem+json", answer.text[:300]
    problem = answer.json()
    assert (answer.status_code, problem["type"]) == (case.status, f"/problems/{case.type}"), problem
    assert case.says in problem["detail"]
    assert problem["status"] == case.status
    assert problem["instance"] == unquote(case.path.split("?")[0])
    assert problem["title"]
    assert [word for word in INNER if word in answer.text.replace("config.py", "")] == []
    assert answer.headers["x-content-type-options"] == "nosniff"


ACCEPTED = [
    ("an MP3 named .wav", lambda _: encoded("mp3", "libmp3lame", 1, 16_000), 25),
    ("a FLAC named .wav", lambda _: encoded("flac", "flac", 1, 22_050), 25),
    ("a video with sound", lambda tmp: video(tmp, sound=True), 10),
    ("a WAV cut off in its sound", lambda _: wav(2)[: 44 + 16_000], 25),
    ("a WAV at 8 kHz", lambda _: wav(1), 25),
]


@pytest.mark.parametrize(("content", "frames"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_unusual_uploads_that_work(
    client: TestClient, tmp_path: Path, content: Callable[[Path], bytes], frames: int
) -> None:
    answer = client.post("/generate-from-audio", files={"file": ("speech.wav", content(tmp_path), "audio/wav")})
    assert answer.status_code == 200, answer.text
    messages = lines_of(answer.content)
    assert messages[-1]["type"] == "end"
    assert frames <= messages[-1]["frames"] <= frames + 3  # MP3 and AAC are a little longer than what went in


def test_a_length_that_the_header_hides_ends_the_stream(client: TestClient) -> None:
    answer = client.post("/generate-from-audio", files={"file": two_hours_without_saying_so()})
    if answer.status_code == 413:  # the container guessed the length after all
        return
    messages = lines_of(answer.content)
    assert messages[-1]["type"] == "error"
    assert messages[-1]["problem"]["status"] == 413
    assert messages[-2]["index"] <= LONGEST_S * 25


def test_a_body_without_a_length_is_counted_while_it_comes(client: TestClient) -> None:
    taken = []

    def endless() -> Iterator[bytes]:
        for _ in range(100):
            taken.append(1)
            yield b" " * 10_000

    answer = client.post("/generate", content=endless(), headers=JSON)
    assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")


def test_temporary_files_of_uploads_are_removed(
    client: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert client.post("/generate-from-audio", files={"file": wav(1)}).status_code == 200
    assert client.post("/generate-from-audio", files={"file": b"no sound"}).status_code == 415
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_tells_nothing(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    class Faulty:
        def open(self, name: str) -> None:
            raise RuntimeError("/home/somebody/secret.py burst")

    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, models=Faulty())) as client:
        answer = client.get("/generate", params={"text": "hello"})
        health = client.get("/health").json()
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal-error")
    assert "secret" not in answer.text
    assert "secret" not in json.dumps(health)
    assert health["status"] == "degraded"


def test_speech_that_fails_is_said_where_only_speech_was_asked_for(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    speech = Humming()
    speech.fail_after_sentences = 0
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=speech)) as client:
        answer = client.get("/get-tts-audio", params={"text": "hello"})
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/speech-failed")


def test_damaged_sound_is_left_out_or_refused_but_no_fault_of_the_server(client: TestClient) -> None:
    whole = encoded("adts", "aac", 3, 16_000)
    random = np.random.default_rng(1)
    for number in range(12):
        damaged = bytearray(whole)
        for place in random.integers(0, len(damaged), 50):
            damaged[place] = random.integers(256)
        answer = client.post("/generate-from-audio", files={"file": bytes(damaged)})
        assert answer.status_code in (200, 413, 415, 422), (number, answer.text[:200])
        if answer.status_code == 200:
            assert lines_of(answer.content)[-1]["type"] == "end", number


def test_sound_of_a_few_samples_a_second_does_not_swell(client: TestClient) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(50, np.int16), 1, format="FLAC")
    answer = client.post("/generate-from-audio", files={"file": buffer.getvalue()})
    assert (answer.status_code, answer.json()["type"]) == (415, "/problems/upload-not-readable")


@pytest.mark.parametrize("path", ["/get-tts-audio", "/generate"])
def test_letters_the_voice_cannot_say_are_the_callers_error(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, path: str
) -> None:
    speech = SpeechService([EspeakTTS()], "espeak:en-gb")
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, tts=speech)) as client:
        answer = client.get(path, params={"text": "Hello. 你好。 Bye."})
    assert answer.status_code == 422 and "Retry-After" not in answer.headers
    problem = answer.json()
    assert problem["type"] == "/problems/text-rejected"
    assert "has no sound for 你好; espeak:cmn" in problem["detail"]
    assert problem["voices"][0] == "espeak:cmn"
