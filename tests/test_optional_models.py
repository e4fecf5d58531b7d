"""`python -m services.models` against a server that publishes as the Hugging Face Hub does; nothing else is asked."""

from __future__ import annotations

import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from services.models import store
from services.models.known import KNOWN, ModelFetchError
from tests.conftest import REPOSITORY

COMMIT = "c0ffee" * 6 + "beef"
WEIGHTS = bytes(range(256)) * 49_152  # 12 MiB: the library writes pieces of 10
SMALL = {"config.json": b'{"model_type": "wav2vec2"}', "preprocessor_config.json": b"{}"}
REPOSITORY_NAME = KNOWN["wav2vec2"].repository


@dataclass
class Hub:
    """What the server was asked, and how it is to fail."""

    address: str = ""
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, file, range
    break_after: int | None = None  # bytes of the weights, once
    sent: dict[str, bytes] = field(default_factory=lambda: {**SMALL, "model.safetensors": WEIGHTS})

    def fetched(self) -> list[tuple[str, str]]:
        return [(file, begins) for method, file, begins in self.asked if method == "GET"]


def etag(name: str) -> str:
    """As published: of what the file should be."""
    if name == "model.safetensors":
        return hashlib.sha256(WEIGHTS).hexdigest()
    return hashlib.sha1(f"blob {len(SMALL[name])}\0".encode() + SMALL[name]).hexdigest()


@pytest.fixture
def hub() -> Iterator[Hub]:
    told = Hub()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            match = re.fullmatch(rf"/{REPOSITORY_NAME}/resolve/(main|{COMMIT})/(.+)", self.path)
            asked = self.headers.get("Range", "")
            told.asked.append((self.command, match[2] if match else self.path, asked))
            if match is None or match[2] not in told.sent:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = told.sent[match[2]]
            begin = int(re.findall(r"\d+", asked)[0]) if asked and asked != "bytes=0-0" else 0
            self.send_response(206 if begin else 200)
            self.send_header("ETag", f'"{etag(match[2])}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(content) - begin))
            if begin:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.end_headers()
            if self.command == "GET":
                self._send(content[begin:], match[2])

        def _send(self, content: bytes, name: str) -> None:
            if told.break_after is not None and name == "model.safetensors":
                self.wfile.write(content[: told.break_after])
                told.break_after = None
                self.close_connection = True
                self.connection.close()
                return
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        told.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield told
        server.shutdown()


def command(hub: Hub, folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """As on the command line; the library reads the environment when it is imported."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "0",
        "HF_ENDPOINT": hub.address,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(folder / "hf"),
    }
    return subprocess.run(
        [sys.executable, "-m", "services.models", "--folder", folder / "models", "--voices_dir", folder / "voices",
         "--engines_dir", folder / "engines", *words],
        cwd=REPOSITORY, env=environment | variables, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_model_is_fetched_once_listed_and_cleared(hub: Hub, tmp_path: Path) -> None:
    first = command(hub, tmp_path, "fetch", "wav2vec2")
    assert first.returncode == 0, first.stderr
    folder = tmp_path / "models" / "wav2vec2"
    assert first.stdout == f"{folder}: {REPOSITORY_NAME} at {COMMIT[:12]}, Apache-2.0\n"
    assert {path.name for path in folder.iterdir()} == {*SMALL, "model.safetensors", store.FACTS}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert "model.safetensors" in first.stderr and "100%" in first.stderr  # the bar
    asked = len(hub.asked)
    again = command(hub, tmp_path, "fetch", "wav2vec2", HF_HUB_OFFLINE="1")
    assert (again.stdout, len(hub.asked)) == (first.stdout, asked)
    listed = command(hub, tmp_path, "list").stdout
    assert re.search(r"^wav2vec2 +12\.0 MiB +Apache-2\.0 ", listed, re.M) and re.search(r"^whisper +- ", listed, re.M)
    assert command(hub, tmp_path, "clear", "wav2vec2").stdout == "12.0 MiB freed\n"
    assert list((tmp_path / "models").glob("*")) == []


def test_a_fetch_that_broke_off_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    hub.break_after = 11 << 20
    first = command(hub, tmp_path, "fetch", "wav2vec2")
    if first.returncode:  # the library may go on by itself
        assert "what came is kept: try again" in first.stderr
        assert store.find(tmp_path / "models", "wav2vec2") is None
        assert command(hub, tmp_path, "fetch", "wav2vec2").returncode == 0
    begun = [begins for file, begins in hub.fetched() if file == "model.safetensors"]
    assert len(begun) == 2 and 0 < int(re.findall(r"\d+", begun[1])[0]) <= 11 << 20
    assert (tmp_path / "models" / "wav2vec2" / "model.safetensors").read_bytes() == WEIGHTS


def test_a_file_that_is_not_the_published_one_is_removed(hub: Hub, tmp_path: Path) -> None:
    hub.sent["model.safetensors"] = WEIGHTS[:-1] + b"?"
    ran = command(hub, tmp_path, "fetch", "wav2vec2")
    assert ran.returncode == 2
    assert (
        f"model.safetensors of {REPOSITORY_NAME} is not what " in ran.stderr and etag("model.safetensors") in ran.stderr
    )
    assert store.find(tmp_path / "models", "wav2vec2") is None
    hub.sent["model.safetensors"] = WEIGHTS
    assert command(hub, tmp_path, "fetch", "wav2vec2").returncode == 0


@pytest.mark.parametrize(
    ("words", "variables", "says"),
    [
        (["fetch", "hubris"], {}, "no model 'hubris' is known; there are hubert, "),
        (["fetch", "wav2vec2"], {"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE forbids to fetch it"),
        (["fetch", "whisper"], {}, "openai/whisper-tiny has no such file any more"),
        (["fetch", "wav2vec2"], {"HF_ENDPOINT": "http://127.0.0.1:9"}, "wav2vec2 cannot be fetched from facebook/"),
        (["clear", "piper:../models"], {}, "there is no Piper voice '../models'"),
    ],
)
def test_what_cannot_be_is_said(
    hub: Hub, tmp_path: Path, words: list[str], variables: dict[str, str], says: str
) -> None:
    ran = command(hub, tmp_path, *words, **variables)
    assert (ran.returncode, ran.stdout) == (2, "") and says in ran.stderr and "Traceback" not in ran.stderr
    assert not (tmp_path / "models" / "wav2vec2").exists()


def test_voices_and_compiled_networks_are_listed_and_cleared_too(hub: Hub, tmp_path: Path) -> None:
    for name in ("ada.onnx", "ada.onnx.json", "ada.MODEL_CARD", "bob.onnx"):
        (tmp_path / "voices").mkdir(exist_ok=True)
        (tmp_path / "voices" / name).write_bytes(bytes(1 << 20))
    (tmp_path / "engines" / "1.31-abc").mkdir(parents=True)
    (tmp_path / "engines" / "1.31-abc" / "graph.engine").write_bytes(bytes(2 << 20))
    listed = command(hub, tmp_path, "list").stdout
    assert re.search(r"^piper:ada +3\.0 MiB +see ada.MODEL_CARD", listed, re.M)
    assert re.search(r"^engines +2\.0 MiB +1 networks compiled", listed, re.M)
    assert command(hub, tmp_path, "clear", "piper:ada").stdout == "3.0 MiB freed\n"
    assert command(hub, tmp_path, "clear", "engines").stdout == "2.0 MiB freed\n"
    assert [path.name for path in (tmp_path / "voices").glob("*.onnx")] == ["bob.onnx"]
    assert not (tmp_path / "engines").exists() and hub.asked == []


def test_a_folder_that_is_not_whole_is_not_taken_for_a_model(tmp_path: Path) -> None:
    folder = tmp_path / "wav2vec2"
    folder.mkdir()
    (folder / store.FACTS).write_text('{"repository": "a/b", "commit": "c", "licence": "d", "hashes": {"x": "y"}}')
    assert store.find(tmp_path, "wav2vec2") is None
    (folder / store.FACTS).write_text("{")
    assert store.find(tmp_path, "wav2vec2") is None
    with pytest.raises(ModelFetchError, match="no model 'x' is known"):
        store.find(tmp_path, "x")
