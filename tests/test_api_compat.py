"""Clients of other systems, taken as they send it: OPEA's animation services, and portrait systems' forms."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path

import av
import httpx2 as httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from config import Models
from services.container import Services, build_services
from tests.bad_requests import wav
from tests.service_material import (
    Humming,
    app_for,
    client_of,
    http,  # noqa: F401
    lines_of,
    served,
    settings_for,
    wait_for,
)

# ruff: noqa: F811

COMPAT = {"opea": True, "form": True}


@pytest.fixture(scope="module")
def services(photo_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu", threads=1), Humming())


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work") / "outputs"


@pytest.fixture(scope="module")
def client(photo_avatars: Path, services: Services, outputs: Path) -> Iterator[TestClient]:
    compat = {**COMPAT, "results_dir": outputs}
    settings = settings_for(photo_avatars, outputs.parent, models={"default_avatar": "eve"}, compat=compat)
    with client_of(app_for(settings, services)) as client:
        yield client


def frames_of(video: Path | io.BytesIO) -> int:
    with av.open(str(video) if isinstance(video, Path) else video) as container:
        assert [stream.type for stream in container.streams] == ["video", "audio"]
        return sum(1 for _ in container.decode(video=0))


def test_the_engine_as_opeas_gateway_calls_it(client: TestClient, outputs: Path) -> None:
    assert client.get("/v1/health").status_code == 200
    sound = base64.b64encode(wav(1.6, 22_050)).decode()
    assert len(sound) > 64 << 10  # more than other bodies may have
    answer = client.post("/v1/wav2lip", content=json.dumps({"audio": sound}), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 200, answer.text
    path = Path(answer.json()["wav2lip_result"])
    assert path.parent == outputs and frames_of(path) == 40
    assert [one for one in outputs.iterdir() if one.name.startswith(".")] == []


def test_the_gateway_as_a_chatbot_calls_it(client: TestClient) -> None:
    answer = client.post("/v1/animation", json={"byte_str": base64.b64encode(wav(0.4)).decode()})
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == {"video_path", "wav2lip_result"} and len(set(answer.json().values())) == 1
    assert frames_of(Path(answer.json()["video_path"])) == 10


def test_what_the_gateway_cannot_use(client: TestClient, outputs: Path) -> None:
    before = sorted(outputs.iterdir()) if outputs.is_dir() else []
    for content, status, kind in [
        ('{"byte_str": "???"}', 422, "invalid-request"),
        ('{"audio": ""}', 422, "invalid-request"),
        ("no JSON", 400, "malformed-json"),
        (json.dumps({"byte_str": base64.b64encode(b"text").decode()}), 415, "upload-not-readable"),
        ('{"byte_str": ""}', 415, "upload-not-readable"),
    ]:
        answer = client.post("/v1/animation", content=content)
        assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), answer.json()
    assert (sorted(outputs.iterdir()) if outputs.is_dir() else []) == before


def test_a_client_that_leaves_costs_no_more_and_leaves_no_file(
    http: httpx.Client, photo_avatars: Path, services: Services, tmp_path: Path
) -> None:
    compat = {**COMPAT, "results_dir": tmp_path / "outputs"}
    app = app_for(settings_for(photo_avatars, tmp_path, models={"default_avatar": "eve"}, compat=compat), services)
    body = {"byte_str": base64.b64encode(wav(50)).decode()}  # ten seconds of work
    slots = app.state.parts.animations.slots
    with served(app) as address:
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{address}/v1/animation", json=body, timeout=1.5)
        assert wait_for(lambda: slots.used == 0, 3) < 1
    assert list((tmp_path / "outputs").iterdir()) == []


def test_the_form_of_portrait_systems(client: TestClient, photo_file: Path) -> None:
    files = {"image": ("face.png", photo_file.read_bytes(), "image/png"), "audio": ("a.wav", wav(0.4), "audio/wav")}
    answer = client.post("/generate", files=files)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "video/mp4"), answer.text
    assert answer.headers["x-avatar-consent"] == "none" and answer.headers["x-ai-generated"] == "true"
    assert frames_of(io.BytesIO(answer.content)) == 10
    blank = np.full((300, 300, 3), 128, np.uint8).tobytes()
    refused = client.post("/generate", files={**files, "image": blank})
    assert (refused.status_code, refused.json()["type"]) == (422, "/problems/photo-refused")
    assert client.post("/generate", files={"audio": wav(0.4)}).json()["errors"][0]["field"] == "image"


def test_json_still_goes_where_it_went(client: TestClient) -> None:
    answer = client.post("/generate", json={"text": "Hello."})
    assert lines_of(answer.content)[-1]["type"] == "end"
    assert client.post("/generate", content="text=Hello").status_code == 415


def test_they_are_off_unless_switched_on(photo_avatars: Path, services: Services, tmp_path: Path) -> None:
    settings = settings_for(photo_avatars, tmp_path, models={"default_avatar": "eve"})
    with client_of(app_for(settings, services)) as client:
        assert client.post("/v1/animation", json={"byte_str": ""}).status_code == 404
        assert client.get("/v1/health").status_code == 404
        assert client.post("/generate", files={"image": b"x", "audio": b"x"}).status_code == 415
