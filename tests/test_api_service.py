"""Everything of the server that is not a stream of speech: avatars, idle pictures, health, cache, debug, protection."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from starlette.testclient import TestClient

from config import Models
from recipe.aspect_names import ASPECTS
from services.avatars.avatar import record_consent
from services.avatars.catalogue import without_folder
from services.container import Services, build_services
from services.streaming.jpeg import encode_jpeg
from services.types import AvatarModel
from tests.service_material import (
    Humming,
    app_for,
    client_of,
    http,  # noqa: F401
    lines_of,
    of_type,
    settings_for,
)
from tests.toy_avatar import FRAMES, NAME, SIZE, build_toy_avatar, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def client(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    with client_of(app_for(settings_for(toy_avatars, work), toy_services)) as client:
        yield client


# --- avatars --------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def mixed_avatars(tmp_path_factory: pytest.TempPathFactory, toy_avatars: Path, presenter_video: Path) -> Path:
    """A good one, one with a damaged file, one without avatar.json, and a person without a consent record."""
    folder = tmp_path_factory.mktemp("mixed")
    for name in ("toy", "unfinished"):
        shutil.copytree(toy_avatars / NAME, folder / name)
    build_toy_avatar(folder / "person", presenter_video, synthetic=False)
    build_toy_avatar(folder / "damaged", presenter_video)
    (folder / "damaged" / "unet_decoder.onnx").write_bytes(b"rubbish")
    (folder / "unfinished" / "avatar.json").unlink()
    return folder


def humming_services(avatars_dir: Path) -> Services:
    return build_services(Models(avatars_dir=avatars_dir, device="cpu", threads=1, runtime="onnxruntime"), Humming())


def test_avatars_are_listed_with_facts_and_broken_ones_with_the_reason(
    mixed_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    services = humming_services(mixed_avatars)
    with client_of(app_for(settings_for(mixed_avatars, tmp_path), services)) as client:
        listed = {avatar["name"]: avatar for avatar in client.get("/avatars").json()["avatars"]}
        broken = client.get("/generate", params={"text": "hello", "avatar": "damaged"})
        assert client.get("/generate", params={"text": "hello", "avatar": "person"}).status_code == 200
        health = client.get("/health").json()
    assert sorted(listed) == ["damaged", "person", "toy", "unfinished"]
    good = listed["toy"]
    created = good.pop("created")
    assert created.startswith("20")
    crops = good.pop("crops")  # left, top, width, height: tests/test_aspect.py
    assert set(crops) == set(ASPECTS) and crops["original"] == [0, 0, SIZE, SIZE]
    assert good == {
        "name": "toy",
        "status": "ok",
        "problem": None,
        "default": True,
        "width": SIZE,
        "height": SIZE,
        "frames": FRAMES,
        "fps": 25,
        "synthetic": True,
        "consent": False,
        "kind": "video",
        "licence": "CC0-1.0",
        "metrics": {"generated.psnr_mouth_db": 31.5, "generated.opening_r": 0.87},
        "poster": "/avatar?avatar=toy",
    }
    assert (listed["damaged"]["status"], listed["unfinished"]["status"]) == ("broken", "broken")
    assert listed["damaged"]["problem"].startswith("damaged/unet_decoder.onnx is not the file that was packaged")
    assert listed["unfinished"]["problem"].startswith("unfinished/avatar.json is missing")
    assert listed["person"]["status"] == "ok"  # only this machine can reach the server
    assert (broken.status_code, broken.json()["type"]) == (503, "/problems/avatar-broken")
    assert str(mixed_avatars) not in json.dumps([listed, health, broken.json()])
    assert health["status"] == "ok"
    assert [a["name"] for a in health["avatars"] if a["status"] == "broken"] == ["damaged", "unfinished"]


def test_others_see_only_avatars_that_may_be_shown(mixed_avatars: Path, tmp_path: Path) -> None:
    avatars = tmp_path / "avatars"
    shutil.copytree(mixed_avatars, avatars)
    settings = settings_for(avatars, tmp_path, server={"host": "0.0.0.0"}, access={"open_to_all": True})
    app = app_for(settings, humming_services(avatars))
    with client_of(app) as client:
        listed = {avatar["name"]: avatar["status"] for avatar in client.get("/avatars").json()["avatars"]}
        assert (listed["toy"], listed["person"]) == ("ok", "refused")
        for path in ("/generate?text=a&avatar=person", "/avatar?avatar=person", "/avatar/frames?avatar=person"):
            refused = client.get(path)
            assert (refused.status_code, refused.json()["type"]) == (403, "/problems/consent-missing"), path
        assert client.get("/generate?text=a&avatar=toy").status_code == 200
        assert client.post("/debug/config", json={"enabled": True}).status_code == 403
        record_consent(avatars, "person", "Ada Lovelace, 2026-11-20, tests")
        assert client.get("/generate?text=a&avatar=person").status_code == 200


def test_an_avatar_that_changes_on_disk_is_seen(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    avatars = tmp_path / "avatars"
    shutil.copytree(toy_avatars, avatars)
    with client_of(app_for(settings_for(avatars, tmp_path), toy_services)) as client:
        assert [a["status"] for a in client.get("/avatars").json()["avatars"]] == ["ok"]
        (avatars / NAME / "poster.jpg").write_bytes(b"another")
        assert [a["status"] for a in client.get("/avatars").json()["avatars"]] == ["broken"]


def test_still_picture(client: TestClient, toy_avatars: Path) -> None:
    answer = client.get("/avatar")
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content == (toy_avatars / NAME / "poster.jpg").read_bytes()
    again = client.get("/avatar", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    small = client.get("/avatar?width=100")
    picture_HWC = cv2.imdecode(np.frombuffer(small.content, np.uint8), cv2.IMREAD_COLOR)
    assert picture_HWC.shape[1] == 100 and small.headers["etag"] != answer.headers["etag"]
    assert client.get("/avatar?width=4000").content == answer.content, "never larger than it is"


def test_a_picture_loads_no_avatar(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    class NothingIsLoaded:
        def open(self, name: str) -> AvatarModel:
            raise AssertionError(f"{name} was loaded, and may have driven another one out of memory")

    avatars = tmp_path / "avatars"
    shutil.copytree(toy_avatars, avatars)
    settings = settings_for(avatars, tmp_path)
    services = replace(toy_services, models=NothingIsLoaded())  # type: ignore[arg-type]
    with TestClient(app_for(settings, services), base_url="http://localhost") as client:
        answer = client.get("/avatar?avatar=toy")
        assert (answer.status_code, answer.content) == (200, (avatars / NAME / "poster.jpg").read_bytes())
        (avatars / NAME / "poster.jpg").write_bytes(b"another")
        assert client.get("/avatar?avatar=toy").json()["type"] == "/problems/avatar-broken"


def test_a_missing_default_avatar_is_a_problem_that_says_what_there_is(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, models={"default_avatar": "demo"})
    with client_of(app_for(settings, toy_services)) as client:
        for path in ("/generate?text=hello", "/avatar", "/avatar/frames"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "no avatar 'demo' in this server's avatars (there: toy)" in answer.json()["detail"]
        ready = client.get("/readyz")
        assert (ready.status_code, ready.headers["retry-after"]) == (503, "10")
        assert "no avatar 'demo'" in ready.json()["detail"]
        assert client.get("/health").json()["status"] == "degraded"
        assert client.get("/generate?text=hello&avatar=toy").status_code == 200


# --- operation ------------------------------------------------------------------------------------
def test_health_tells_who_speaks_and_why(client: TestClient) -> None:
    health = client.get("/health").json()
    uptime_s = health.pop("uptime_s")
    assert 0 <= uptime_s < 600
    assert health == {
        "status": "ok",
        "version": "0.1.0",
        "reasons": [],
        "services": {"tts": True, "model": True, "frame_generation": True},
        "models": {"device": "cpu", "provider": "CPUExecutionProvider", "measured_ms": {}},
        "avatars": [{"name": "toy", "status": "ok", "problem": None}],
        "speech": {
            "engine": "hum",
            "default_voice": "hum:low",
            "fallback_reason": "no other engine in tests",
            "degraded": False,
        },
        "sessions": {"active": 0, "limit": 4, "source": "setting", "measured": None},
        "limits": {"text_characters": 5000, "upload_mb": 64, "upload_s": 600.0},
        "creation": {"enabled": True, "reason": None},
        "conversation": {"text": False, "speech": False},
    }
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == {"status": "ready"}


def test_voices(client: TestClient) -> None:
    assert client.get("/voices").json() == {
        "voices": [
            {"name": "hum:low", "engine": "hum", "language": "en-US", "label": "Low"},
            {"name": "hum:high", "engine": "hum", "language": "de-DE", "label": "High"},
        ],
        "default": "hum:low",
    }


def test_metrics_count_what_happened(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as client:
        client.get("/generate", params={"text": "one two"})
        client.get("/generate", params={"text": ""})
        text = client.get("/metrics").text
        assert client.get("/metrics").headers["content-type"].startswith("text/plain; version=0.0.4")
    numbers = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(numbers["avatar328_frames_total"]) == 12
    assert float(numbers["avatar328_utterances_total"]) == 1
    assert float(numbers["avatar328_sessions_active"]) == 0
    assert float(numbers["avatar328_sessions_limit"]) == 4
    assert float(numbers["avatar328_late_seconds_count"]) == 1
    assert float(numbers["process_resident_memory_bytes"]) > 1e7
    assert float(numbers["avatar328_first_frame_delay_seconds_count"]) == 1
    assert 0 < float(numbers["avatar328_real_time_factor_sum"]) < 50
    assert float(numbers['avatar328_errors_total{type="/problems/text-rejected"}']) == 1


def test_page_and_protection(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy
    assert "blob:" in policy
    assert client.get("/health", headers={"Origin": "http://localhost"}).status_code == 200
    assert "access-control-allow-origin" not in client.get("/health", headers={"Origin": "http://localhost"}).headers
    for host in ("127.0.0.1:8000", "[::1]:8000", "LOCALHOST:80"):
        assert client.get("/livez", headers={"Host": host}).status_code == 200
    for host in ("", "localhost.evil.example", "[::1", "127.0.0.1.evil.example"):
        assert client.get("/livez", headers={"Host": host}).status_code == 421
    for path in ("/generate?text=a", "/avatar", "/avatar/frames?count=1", "/get-tts-audio?text=a"):
        assert client.get(path).headers["x-ai-generated"] == "true"
    assert "x-ai-generated" not in client.get("/health").headers
    assert client.get("/redoc").status_code == 404


def test_allowed_hosts(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    settings = settings_for(
        toy_avatars, tmp_path, server={"allowed_hosts": "avatar.lan, other.lan"}, access={"open_to_all": True}
    )
    with client_of(app_for(settings, toy_services)) as client:
        assert client.get("/livez", headers={"Host": "other.lan:8000"}).status_code == 200
        assert client.get("/livez", headers={"Host": "third.lan"}).status_code == 421


def test_an_avatar_that_cannot_be_read_is_listed_as_broken(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    avatars = tmp_path / "avatars"
    shutil.copytree(toy_avatars, avatars)
    (avatars / "linked").mkdir()
    (avatars / "linked" / "frames.mp4").symlink_to(tmp_path / "nowhere")
    with client_of(app_for(settings_for(avatars, tmp_path), toy_services)) as client:
        answer = client.get("/avatars")
    assert {a["name"]: a["status"] for a in answer.json()["avatars"]} == {"linked": "broken", "toy": "ok"}


@pytest.mark.parametrize(
    ("folder", "text", "said"),
    [
        (".", "speed is 3; choose 0.5 to 2. Now.", "speed is 3; choose 0.5 to 2. Now."),
        ("a", "no avatar in a (there: b); a/b/x.onnx", "no avatar in this server's avatars (there: b); b/x.onnx"),
        ("/srv/avatars", "/srv/avatars/toy/x.onnx and /srv/avatars-old/y", "toy/x.onnx and /srv/avatars-old/y"),
    ],
)
def test_messages_name_no_folder_and_stay_readable(folder: str, text: str, said: str) -> None:
    assert without_folder(text, Path(folder)) == said


def test_jpeg_quality_is_as_set(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    settings = settings_for(toy_avatars, tmp_path, server={"jpeg_quality": 40})
    with client_of(app_for(settings, toy_services)) as client:
        frame = of_type(lines_of(client.get("/generate", params={"text": "one"}).content), "frame")[0]
        model = toy_services.models.open(NAME)
        index = frame["template_index"]
        assert len(base64.b64decode(frame["image"])) < 0.7 * len(encode_jpeg(model.template.frame(index), 85))
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(frame["image"]), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (SIZE, SIZE, 3)
