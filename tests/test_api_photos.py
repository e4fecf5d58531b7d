"""A photo speaks in one call, or by a token: like the avatar that photo_328.py makes of it, and nothing stays."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import av
import httpx2 as httpx
import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from config import Models
from services.avatars.photo_studio import remove_left_overs
from services.container import Services, build_services
from services.http.app import build_app
from tests.bad_requests import wav
from tests.service_material import (
    Humming,
    app_for,
    client_of,
    http,  # noqa: F401
    lines_of,
    of_type,
    served,
    settings_for,
    wait_for,
)
from tests.test_face_restorer import network

# ruff: noqa: F811
CONSENT = "Eve Example, 2026-11-20, tests: of all kinds"


@pytest.fixture(scope="module")
def services(photo_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu", threads=1), Humming())


@pytest.fixture(autouse=True)
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go; what is left there was kept."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def client(photo_avatars: Path, services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    work = tmp_path_factory.mktemp("work")
    settings = settings_for(photo_avatars, work, models={"default_avatar": "eve"}, photos={"size_px": 512})
    with client_of(app_for(settings, services)) as client:
        yield client


@pytest.fixture(scope="module")
def photo(photo_file: Path) -> bytes:
    return photo_file.read_bytes()


class Copying:
    """Makes of every photo the avatar that lies there already; may be held up."""

    has_restorer = False

    def __init__(self, made: Path) -> None:
        self._made = made
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()
        self.count = self.at_once = self.most_at_once = 0
        self._counting = threading.Lock()

    def __call__(self, photo: Path, avatars_dir: Path, name: str, **_: Any) -> None:
        assert photo.read_bytes()
        with self._counting:
            self.count += 1
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        self.go_on.wait(20)
        shutil.copytree(self._made, avatars_dir / name)
        with self._counting:
            self.at_once -= 1


@pytest.fixture
def maker(photo_avatars: Path) -> Copying:
    return Copying(photo_avatars / "eve")


def app_with(maker: Copying | None, photo_avatars: Path, services: Services, work: Path, **sections: Any) -> Any:
    settings = settings_for(photo_avatars, work, **{"models": {"default_avatar": "eve"}, **sections})
    return build_app(settings, services, maker)


# --- one call -------------------------------------------------------------------------------------
def test_it_speaks_like_the_avatar_that_is_made_of_it(client: TestClient, photo: bytes, temporary: Path) -> None:
    before = client.get("/avatars").json()
    wish = {"text": "Hello there.", "synthetic": "true", "start_frame": "40", "direction": "-1"}
    answer = client.post("/animate", data=wish, files={"image": ("a.png", photo)})
    assert answer.status_code == 200, answer.text
    listed = client.post("/generate", json={"text": "Hello there.", "start_frame": 40, "direction": -1})
    header, *frames = lines_of(answer.content)
    assert (header["avatar"], header["consent"], header["voice"]) == ("photo", "synthetic", "hum:low")
    assert frames == lines_of(listed.content)[1:]
    assert answer.headers["x-avatar-consent"] == "synthetic" and answer.headers["x-ai-generated"] == "true"
    assert client.get("/avatars").json() == before
    assert list(temporary.iterdir()) == []


def test_a_recording_and_a_video_as_mp4(client: TestClient, presenter_video: Path, temporary: Path) -> None:
    files = {"video": ("a.mp4", presenter_video.read_bytes()), "audio": ("a.wav", wav(0.8))}
    answer = client.post("/animate", params={"format": "mp4", "download": "true"}, files=files)
    assert answer.status_code == 200, answer.text
    assert "attachment" in answer.headers["content-disposition"]
    with av.open(io.BytesIO(answer.content)) as video:
        assert video.metadata["comment"] == "AI-generated; no consent recorded"
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == 20 and max(pictures[0].shape) == 512
    assert pictures[0].mean() > 40 and np.abs(pictures[10].astype(int) - pictures[0]).max() > 20  # the mouth moved
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "state", "comment"),
    [
        ({"consent": CONSENT}, "recorded", "AI-generated"),
        ({"synthetic": "true"}, "synthetic", "AI-generated"),
        ({"consent": "Refused"}, "none", "AI-generated; no consent recorded"),
        ({}, "none", "AI-generated; no consent recorded"),
    ],
)
def test_what_is_known_of_consent_is_said_everywhere(
    photo_avatars: Path, services: Services, photo: bytes, tmp_path: Path, sent: Any, state: str, comment: str
) -> None:
    from data_prep.photo_maker import PhotoMaker

    with client_of(app_with(PhotoMaker(256, None), photo_avatars, services, tmp_path)) as client:
        token = client.post("/preload", data=sent, files={"image": photo}).json()
        assert token["consent"] == state
        asked = {"text": "Hello.", "avatar_token": token["token"]}
        lines = client.post("/animate", data=asked, files={"none": b""})
        assert lines_of(lines.content)[0]["consent"] == lines.headers["x-avatar-consent"] == state
        mp4 = client.post("/animate?format=mp4", data=asked, files={"none": b""})
    with av.open(io.BytesIO(mp4.content)) as video:
        assert video.metadata["comment"] == comment
        assert (video.streams.video[0].width, video.streams.video[0].height) == (256, 256)


def test_on_a_server_that_others_can_reach_consent_is_needed(
    photo_avatars: Path, services: Services, maker: Copying, photo: bytes, tmp_path: Path
) -> None:
    public = {"server": {"allowed_hosts": "avatar.lan"}, "access": {"open_to_all": True}}
    with client_of(app_with(maker, photo_avatars, services, tmp_path, **public)) as client:
        for path in ("/animate", "/preload"):
            data = {"text": "Hello."} if path == "/animate" else {}
            for consent in ("", "refused"):
                answer = client.post(path, data=data | {"consent": consent}, files={"image": photo})
                assert (answer.status_code, answer.json()["type"]) == (403, "/problems/consent-missing")
            assert maker.count == 0
            assert client.post(path, data=data | {"consent": CONSENT}, files={"image": photo}).status_code == 200
            maker.count = 0
        assert client.post("/preload/clear").status_code == 403


def test_a_network_that_restores_faces(
    photo_avatars: Path, services: Services, photo: bytes, picture: np.ndarray, tmp_path: Path
) -> None:
    settings = settings_for(
        photo_avatars,
        tmp_path,
        models={"default_avatar": "eve"},
        photos={"restorer": network(tmp_path / "bright.onnx", 0.4)},
    )
    shown = []
    with client_of(app_for(settings, services)) as client:
        for restore in ("off", "network"):
            wish = {"text": "one", "synthetic": "true", "restore": restore}
            answer = client.post("/animate?format=mp4", data=wish, files={"image": photo})
            with av.open(io.BytesIO(answer.content)) as video:
                shown.append(next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert shown[1][256, 256].mean() > shown[0][256, 256].mean() + 20  # the nose
    assert np.abs(shown[1][:30] - shown[0][:30]).mean() < 2  # the wall


# --- tokens ---------------------------------------------------------------------------------------
def test_a_token_speaks_until_it_is_dropped(client: TestClient, photo: bytes, temporary: Path) -> None:
    kept = client.post("/preload", data={"consent": CONSENT}, files={"image": photo}).json()
    left = datetime.fromisoformat(kept["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(minutes=61)
    assert (kept["width"], kept["height"], kept["consent"]) == (512, 512, "recorded") and kept["bytes"] > 1e6
    assert list(temporary.iterdir()) == []
    said = {"audio": ("a.wav", wav(0.4))}
    by_form = client.post("/animate", data={"avatar_token": kept["token"]}, files=said)
    by_address = client.post("/animate", params={"avatar_token": kept["token"]}, files=said)
    whole = client.post("/animate", data={"consent": CONSENT}, files={"image": photo, **said})
    expected = of_type(lines_of(whole.content), "frame")
    assert len(expected) == 10
    assert of_type(lines_of(by_form.content), "frame") == of_type(lines_of(by_address.content), "frame") == expected
    assert [entry["name"] for entry in client.get("/avatars").json()["avatars"]] == ["eve"]
    assert client.delete(f"/preload/{kept['token']}").status_code == 204
    for answer in (
        client.delete(f"/preload/{kept['token']}"),
        client.post("/animate", data={"avatar_token": kept["token"]}, files=said),
    ):
        assert (answer.status_code, answer.json()["type"]) == (404, "/problems/token-not-found")


def test_one_that_is_cleared_speaks_to_its_end(
    http: httpx.Client, photo_avatars: Path, services: Services, maker: Copying, tmp_path: Path
) -> None:
    with served(app_with(maker, photo_avatars, services, tmp_path, server={"queue_frames": 1})) as address:
        token = http.post(f"{address}/preload", files={"image": b"x"}).json()["token"]
        wish = {"avatar_token": token, "text": "one two three four five six seven"}
        with http.stream("POST", f"{address}/animate", data=wish, files={"none": b""}) as answer:
            pieces = answer.iter_raw()
            first = next(pieces)
            assert http.post(f"{address}/preload/clear").json() == {"dropped": 1}
            assert http.post(f"{address}/preload/clear").json() == {"dropped": 0}
            messages = lines_of(first + b"".join(pieces))
        assert messages[-1]["type"] == "end" and messages[-1]["frames"] == 42


# --- refusals -------------------------------------------------------------------------------------
def as_png(picture: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("path", ["/animate", "/preload"])
def test_a_photo_that_cannot_be_used_is_refused_with_the_reason(
    client: TestClient, picture: np.ndarray, temporary: Path, path: str
) -> None:
    data = {"text": "Hello."} if path == "/animate" else {}
    two = np.concatenate([picture, picture], axis=1)
    for sent, says in [
        (as_png(two), "shows 2 faces, expected one"),
        (as_png(picture[:200]), "no face was found in the photo"),
        (b"text", "the photo is no picture of a kind that is read"),
        (b"", "empty"),
    ]:
        answer = client.post(path, data=data, files={"image": ("secret.png", sent)})
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (422, "/problems/photo-refused"), problem
        assert says in problem["detail"] and "/" not in problem["detail"].replace("jpg/", "")
    assert list(temporary.iterdir()) == []
    assert "sessions" in client.get("/health").text and client.get("/health").json()["sessions"]["active"] == 0


@pytest.mark.parametrize(
    ("data", "files", "status", "kind", "says"),
    [
        ({"text": "Hello."}, {"none": b""}, 422, "invalid-request", "send one of image, video, avatar_token; 0 of"),
        ({"text": "Hello.", "avatar_token": "x"}, {"image": b"x"}, 422, "invalid-request", "2 of them came"),
        ({}, {"image": b"x"}, 422, "invalid-request", "send one of text, audio; 0 of them"),
        ({"text": "Hello."}, {"image": b"x", "audio": b"x"}, 422, "invalid-request", "2 of them came"),
        ({"text": "...", "synthetic": "true"}, {"image": b"x"}, 422, "text-rejected", "nothing to say"),
        ({"text": "Hello.", "consent": "yes"}, {"image": b"x"}, 422, "consent-not-readable", "who, YYYY-MM-DD"),
        ({"text": "Hello.", "restore": "network"}, {"image": b"x"}, 501, "photos-not-made", "restore=auto"),
        ({}, {"image": b"x", "audio": b"text"}, 415, "upload-not-readable", "no sound or video file"),
        ({"text": "Hello.", "start_frame": "100000"}, {"image": b"x"}, 422, "frame-out-of-range", "start frame"),
        ({"text": "Hello.", "avatar_token": "guess"}, {"none": b""}, 404, "token-not-found", "POST /preload"),
    ],
)
def test_bad_requests(
    photo_avatars: Path, services: Services, maker: Copying, temporary: Path, tmp_path: Path,
    data: Any, files: Any, status: int, kind: str, says: str,
) -> None:  # fmt: skip
    with client_of(app_with(maker, photo_avatars, services, tmp_path)) as client:
        answer = client.post("/animate", data=data, files=files)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{kind}"), answer.json()
    assert says in answer.json()["detail"]
    assert maker.count == (kind == "frame-out-of-range")  # else known before the photo is worked on
    assert list(temporary.iterdir()) == []


def test_where_no_photos_are_made_it_says_what_to_install(
    photo_avatars: Path, services: Services, tmp_path: Path
) -> None:
    with client_of(app_with(None, photo_avatars, services, tmp_path)) as client:
        for path in ("/animate", "/preload"):
            answer = client.post(path, data={"text": "Hello."}, files={"image": b"x"})
            assert (answer.status_code, answer.json()["type"]) == (501, "/problems/photos-not-made")
            assert "scripts/setup.sh" in answer.json()["detail"]


def test_sizes_are_limited_before_anything_is_received(
    photo_avatars: Path, services: Services, maker: Copying, tmp_path: Path
) -> None:
    with client_of(app_with(maker, photo_avatars, services, tmp_path, limits={"upload_mb": 1})) as client:
        for path in ("/animate", "/preload"):
            answer = client.post(path, headers={"Content-Length": str(2 << 20)}, content=b"x")
            assert (answer.status_code, answer.json()["type"]) == (413, "/problems/too-large")
    assert maker.count == 0


# --- many, and those that leave -------------------------------------------------------------------
@contextmanager
def held(maker: Copying) -> Iterator[None]:
    maker.go_on.clear()
    try:
        yield
    finally:
        maker.go_on.set()


def test_photos_wait_for_their_turn_and_requests_for_a_place(
    http: httpx.Client, photo_avatars: Path, services: Services, maker: Copying, tmp_path: Path
) -> None:
    app = app_with(maker, photo_avatars, services, tmp_path, limits={"sessions": 2})
    slots = app.state.parts.animations.slots
    wish: Any = {"data": {"text": "Hello."}, "files": {"image": b"x"}, "timeout": 30}
    with served(app) as address, ThreadPoolExecutor(2) as clients:
        with held(maker):
            answers = [clients.submit(http.post, f"{address}/animate", **wish) for _ in range(2)]
            wait_for(lambda: slots.free == 0 and maker.at_once)
            third = http.post(f"{address}/animate", **wish)
            assert (third.status_code, third.json()["type"]) == (503, "/problems/busy")
        assert [answer.result().status_code for answer in answers] == [200, 200]
    assert (maker.count, maker.most_at_once) == (2, 1)


@pytest.mark.parametrize("stage", ["in the making", "waiting for its turn", "in the stream"])
def test_a_client_that_leaves_leaves_nothing(
    http: httpx.Client, photo_avatars: Path, services: Services, maker: Copying, temporary: Path, tmp_path: Path,
    stage: str,
) -> None:  # fmt: skip
    app = app_with(maker, photo_avatars, services, tmp_path, server={"queue_frames": 1})
    slots, text = app.state.parts.animations.slots, "word " * 200
    wish: Any = {"data": {"text": text}, "files": {"image": b"x"}}
    with served(app) as address:
        if stage == "in the stream":
            with http.stream("POST", f"{address}/animate", **wish) as answer:
                next(answer.iter_raw())
                assert list(temporary.iterdir()) == []  # it speaks out of memory
        else:
            leaving = 1 if stage == "in the making" else 2
            with held(maker), ThreadPoolExecutor(2) as clients:
                left = [clients.submit(http.post, f"{address}/animate", timeout=0.7, **wish) for _ in range(leaving)]
                for one in left:
                    with pytest.raises(httpx.ReadTimeout):
                        one.result()
                wait_for(lambda: len(list(temporary.iterdir())) == 1)  # the one that is being made
        wait_for(lambda: slots.used == 0)
        assert list(temporary.iterdir()) == []
        assert maker.count == 1


def test_a_server_that_stops_leaves_nothing(
    http: httpx.Client, photo_avatars: Path, services: Services, maker: Copying, temporary: Path, tmp_path: Path
) -> None:
    app = app_with(maker, photo_avatars, services, tmp_path)
    with ThreadPoolExecutor(1) as clients, held(maker):
        with served(app) as address:
            wish: Any = {"data": {"text": "Hello."}, "files": {"image": b"x"}, "timeout": 20}
            asked = clients.submit(http.post, f"{address}/animate", **wish)
            wait_for(lambda: maker.at_once)
            threading.Timer(1.5, maker.go_on.set).start()  # it ends after the server gave up its clients
        assert asked.exception() is not None or asked.result().status_code >= 400
    assert list(temporary.iterdir()) == []


def test_what_a_killed_server_left_goes(temporary: Path) -> None:
    for name, age_s in (("avatar328-photo-old", 3600), ("avatar328-photo-new", 5), ("another", 3600)):
        (temporary / name / "avatars").mkdir(parents=True)
        os.utime(temporary / name, (time.time() - age_s,) * 2)
    remove_left_overs()
    assert sorted(path.name for path in temporary.iterdir()) == ["another", "avatar328-photo-new"]
