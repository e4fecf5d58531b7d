"""What an avatar does while nobody speaks, as clients get it."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2 as httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from services.avatars.loaded import LoadedAvatar
from services.avatars.template import turning_frames
from services.container import Services
from services.frame_generation_service import FrameGenerationService
from services.streaming.jpeg import encode_jpeg
from tests.service_material import (
    Gated,
    app_for,
    client_of,
    http,  # noqa: F401
    lines_of,
    of_type,
    served,
    settings_for,
    wait_for,
)
from tests.toy_avatar import FRAMES, NAME, SIZE, build_toy_avatar, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


# --- idle -----------------------------------------------------------------------------------------
def test_idle_frames_are_what_silence_looks_like(client: TestClient, toy_model: LoadedAvatar) -> None:
    answer = client.get("/avatar/frames", params={"first": 10, "count": 5})
    messages = lines_of(answer.content)
    low, high = turning_frames(toy_model.avatar.motion_T)
    facts = {"fps": 25, "width": SIZE, "height": SIZE, "frames": FRAMES, "low": low, "high": high}
    assert messages[0] == {
        "type": "header",
        "version": 1,
        "avatar": NAME,
        "media": "image/jpeg",
        **facts,
        "ai_generated": True,
    }
    service = FrameGenerationService()
    silence_S = np.zeros(5 * 640, np.float32)
    drawn = list(service.generate(toy_model, [silence_S], start_frame=10))
    assert [frame.gate for frame in drawn] == [0.0] * 5
    assert [(m["template_index"], base64.b64decode(m["image"])) for m in of_type(messages, "frame")] == [
        (frame.template_index, encode_jpeg(frame.frame_rgb_HWC, 85)) for frame in drawn
    ]
    assert messages[-1] == {"type": "end"}


def test_idle_frames_end_with_the_template_and_are_kept_by_browsers(client: TestClient) -> None:
    answer = client.get("/avatar/frames", params={"first": FRAMES - 2, "count": 25})
    assert [m["template_index"] for m in of_type(lines_of(answer.content), "frame")] == [FRAMES - 2, FRAMES - 1]
    known = {"If-None-Match": answer.headers["etag"]}
    assert client.get("/avatar/frames", params={"first": FRAMES - 2, "count": 2}, headers=known).status_code == 304
    assert client.get("/avatar/frames", params={"first": 0, "count": 2}, headers=known).status_code == 200


def test_idle_frames_are_drawn_once(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    drawn: list[int] = []
    models = Gated(toy_services.models.open(NAME), lambda: drawn.append(1))
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services, models=models)) as client:
        first = client.get("/avatar/frames", params={"count": 8})
        assert len(drawn) == 8
        assert client.get("/avatar/frames", params={"count": 8}).content == first.content
        assert len(drawn) == 8


def test_idle_streams_have_places_of_their_own(
    http: httpx.Client, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, limits={"idle_streams": 1}, server={"queue_frames": 1})
    slow = Gated(toy_services.models.open(NAME), lambda: time.sleep(0.02))
    with served(app_for(settings, toy_services, models=slow)) as address:
        with http.stream("GET", f"{address}/avatar/frames?count=60") as answer:
            next(answer.iter_raw())
            refused = http.get(f"{address}/avatar/frames?count=1")
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/busy")
            assert http.get(f"{address}/generate?text=one").status_code == 200
        wait_for(lambda: http.get(f"{address}/avatar/frames?count=1").status_code == 200, 2)
