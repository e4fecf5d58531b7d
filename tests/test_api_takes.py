"""A take that a client kept becomes an MP4: the same pictures and sound, and what is wrong with it is said."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from data_prep.video import iter_rgb
from recipe.sound import load_audio
from services.container import Services
from tests.service_material import app_for, client_of, lines_of, of_type, settings_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


@pytest.fixture(scope="module")
def streamed(client: TestClient) -> list[dict[str, Any]]:
    return lines_of(client.get("/generate", params={"text": "one two three"}).content)


def kept(messages: list[dict[str, Any]]) -> tuple[dict[str, Any], list[bytes], bytes]:
    frames = of_type(messages, "frame")
    pictures = [base64.b64decode(frame["image"]) for frame in frames]
    facts = {name: messages[0][name] for name in ("avatar", "width", "height", "sample_rate")}
    sound = b"".join(base64.b64decode(frame["audio"]) for frame in frames)
    return facts | {"sizes": list(map(len, pictures))}, pictures, sound


def send(client: TestClient, facts: dict[str, Any] | str, pictures: bytes, sound: bytes) -> Any:
    take = facts if isinstance(facts, str) else json.dumps(facts)
    return client.post("/takes/mp4", data={"take": take}, files={"pictures": pictures, "sound": sound})


def test_it_is_the_take_that_was_streamed(client: TestClient, streamed: list[dict[str, Any]], tmp_path: Path) -> None:
    facts, pictures, sound = kept(streamed)
    answer = send(client, facts, b"".join(pictures), sound)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4")
    assert answer.headers["x-ai-generated"] == "true"
    coded, direct = tmp_path / "take.mp4", tmp_path / "direct.mp4"
    coded.write_bytes(answer.content)
    direct.write_bytes(client.get("/generate", params={"text": "one two three", "format": "mp4"}).content)
    found, wanted = (np.array(list(iter_rgb(path)), float) for path in (coded, direct))
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).mean() < 3  # coded twice
    heard, told = map(load_audio, (coded, direct))
    assert np.corrcoef(heard[: len(told)], told[: len(heard)])[0, 1] > 0.99
    assert client.get("/health").json()["sessions"]["active"] == 0


def test_a_place_is_needed(client: TestClient, streamed: list[dict[str, Any]]) -> None:
    facts, pictures, sound = kept(streamed)
    slots = client.app.state.parts.animations.slots  # type: ignore[attr-defined]
    for _ in range(slots.count):
        slots.take()
    try:
        assert send(client, facts, b"".join(pictures), sound).status_code == 503
    finally:
        for _ in range(slots.count):
            slots.give_back()


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"sizes": [1]}, 422, "send all of them"),
        ({"width": 48}, 422, "px; expected 48x"),
        ({"sample_rate": 16001}, 422, "no multiple of 25"),
        ({"width": 47}, 422, "both must be even"),
        ({"sizes": []}, 422, "take.sizes"),
        ("rubbish", 422, "take"),
    ],
)
def test_what_does_not_fit_is_refused(
    client: TestClient, streamed: list[dict[str, Any]], change: dict[str, Any] | str, status: int, says: str
) -> None:
    facts, pictures, sound = kept(streamed)
    answer = send(client, change if isinstance(change, str) else facts | change, b"".join(pictures), sound)
    assert answer.status_code == status
    assert says in answer.json()["detail"]


def test_damaged_pictures_and_too_much_sound_are_refused(client: TestClient, streamed: list[dict[str, Any]]) -> None:
    facts, pictures, sound = kept(streamed)
    whole = b"".join(pictures)
    assert "is no JPEG" in send(client, facts, bytes(len(whole)), sound).json()["detail"]
    assert "at most" in send(client, facts, whole, sound + bytes(2)).json()["detail"]
    head = pictures[0][:-200]
    cut = send(client, facts | {"sizes": [len(head)]}, head, b"")
    assert cut.status_code in (200, 422)  # some decoders fill up what is missing
