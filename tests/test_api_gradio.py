"""Gradio's endpoints, called as its HTTP interface is documented and by its own client; needs the extra `gradio`."""

from __future__ import annotations

import gc
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import httpx2 as httpx
import pytest

from config import ConfigError, Models
from services.container import Services, build_services
from tests.bad_requests import wav
from tests.service_material import Humming, app_for, http, served, settings_for  # noqa: F401

# ruff: noqa: F811
pytestmark = pytest.mark.filterwarnings("ignore")  # gradio's own


@pytest.fixture(scope="module")
def services(photo_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=photo_avatars, runtime="onnxruntime", device="cpu", threads=1), Humming())


def settings_with(photo_avatars: Path, work: Path, **sections: Any) -> Any:
    compat = {"gradio": True, "results_dir": work / "outputs"}
    return settings_for(photo_avatars, work, models={"default_avatar": "eve"}, compat=compat, **sections)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gradio")


@pytest.fixture(scope="module")
def address(
    photo_avatars: Path, services: Services, temporary: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    pytest.importorskip("gradio", reason="gradio is not installed: it is an extra of its own")
    work = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(temporary))
        with served(app_for(settings_with(photo_avatars, work), services)) as address:
            yield address
    gc.collect()  # an event loop left open is told of here


def uploaded(http: httpx.Client, address: str, name: str, content: bytes) -> dict[str, Any]:
    answer = http.post(f"{address}/gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200, answer.text
    (path,) = answer.json()
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def called(http: httpx.Client, address: str, name: str, data: list[Any]) -> tuple[str, Any]:
    """The last event of a call, and its data."""
    answer = http.post(f"{address}/gradio_api/call/{name}", json={"data": data})
    assert answer.status_code == 200, answer.text
    stream = http.get(f"{address}/gradio_api/call/{name}/{answer.json()['event_id']}", timeout=60)
    assert stream.headers["content-type"].startswith("text/event-stream")
    kind, data_line = stream.text.strip().split("\n\n")[-1].splitlines()
    return kind.removeprefix("event: "), json.loads(data_line.removeprefix("data: "))


def frames_of(content: bytes) -> int:
    with av.open(io.BytesIO(content)) as video:
        return sum(1 for _ in video.decode(video=0))


@pytest.mark.parametrize("order", [("sound", "photo"), ("photo", "sound")])
def test_a_head_talks(http: httpx.Client, address: str, photo_file: Path, order: tuple[str, str]) -> None:
    sent = {
        "photo": uploaded(http, address, "face.png", photo_file.read_bytes()),
        "sound": uploaded(http, address, "speech.wav", wav(0.4)),
    }
    event, (answer,) = called(http, address, "process_talking_head", [sent[one] for one in order])
    assert event == "complete"
    video = answer.get("video", answer)
    content = http.get(f"{address}/gradio_api/file={video['path']}").content
    assert frames_of(content) == 10


def test_a_token_talks_until_the_cache_is_cleared(http: httpx.Client, address: str, photo_file: Path) -> None:
    photo = uploaded(http, address, "face.png", photo_file.read_bytes())
    sound = uploaded(http, address, "speech.wav", wav(0.4))
    event, (token,) = called(http, address, "preload_avatar", [photo])
    assert event == "complete" and len(token) >= 32
    for given in ([sound, None, token], [sound, photo, ""]):
        assert called(http, address, "process_talking_head_optimized", given)[0] == "complete"
    assert called(http, address, "clear_cache", []) == ("complete", ["1 avatars were forgotten"])
    event, told = called(http, address, "process_talking_head_optimized", [sound, None, token])
    assert event == "error" and "nothing is kept under this token" in str(told)


def test_what_cannot_be_done_is_said(http: httpx.Client, address: str) -> None:
    sound = uploaded(http, address, "speech.wav", wav(0.4))
    text = uploaded(http, address, "face.png", b"text")
    event, told = called(http, address, "process_talking_head", [sound, text])
    assert event == "error" and "no picture of a kind that is read" in str(told)
    event, told = called(http, address, "process_talking_head", [sound, None])
    assert event == "error" and "send a sound, and a picture or a token" in str(told)


def test_gradios_own_client(address: str, photo_file: Path, tmp_path: Path) -> None:
    client = pytest.importorskip("gradio_client", reason="gradio_client comes with the extra gradio")
    (tmp_path / "speech.wav").write_bytes(wav(0.4))
    remote = client.Client(address, verbose=False, download_files=str(tmp_path))
    answer = remote.predict(
        client.handle_file(str(tmp_path / "speech.wav")),
        client.handle_file(str(photo_file)),
        api_name="/process_talking_head",
    )
    assert frames_of(Path(answer["video"] if isinstance(answer, dict) else answer).read_bytes()) == 10
    remote.close()


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://example.org/",
        "/gradio_api/file=https://example.org/",
        "/gradio_api/runs",
        "/gradio_api/openapi.json",
        "/monitoring",
    ],
)
def test_the_rest_of_gradio_is_not_there(http: httpx.Client, address: str, path: str) -> None:
    answer = http.get(f"{address}{path}")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/not-found")


@pytest.mark.parametrize("path", ["/etc/hostname", "api.py", "config.py"])
def test_files_of_this_machine_are_not_there(http: httpx.Client, address: str, path: str) -> None:
    assert http.get(f"{address}/gradio_api/file={path}").status_code in (403, 404)
    own = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert called(http, address, "preload_avatar", [own])[0] == "error"


def test_our_own_pages_and_problems_stay(http: httpx.Client, address: str) -> None:
    assert "avatar328" in http.get(f"{address}/").text
    assert http.get(f"{address}/avatars").json()["avatars"][0]["name"] == "eve"
    assert http.get(f"{address}/nothing").json()["type"] == "/problems/not-found"
    assert "/gradio_api/upload" not in http.get(f"{address}/openapi.json").text


def test_nothing_of_it_outlives_the_server(
    http: httpx.Client, photo_avatars: Path, services: Services, photo_file: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("gradio", reason="gradio is not installed: it is an extra of its own")
    folder = tmp_path / "gradio"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    with served(app_for(settings_with(photo_avatars, tmp_path), services)) as address:
        sound = uploaded(http, address, "speech.wav", wav(0.4))
        photo = uploaded(http, address, "face.png", photo_file.read_bytes())
        assert called(http, address, "process_talking_head", [sound, photo])[0] == "complete"
        assert len([path for path in folder.rglob("*") if path.is_file()]) >= 2
    gc.collect()
    assert [path for path in folder.rglob("*") if path.is_file()] == []


def test_without_gradio_the_server_says_what_to_install(
    photo_avatars: Path, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ConfigError, match="install the extra gradio"):
        app_for(settings_with(photo_avatars, tmp_path), services)
