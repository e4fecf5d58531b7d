"""What is in deploy/ fits the server; nginx is run before it for real, where it is installed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
import yaml
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from config import Settings
from services.container import Services
from tests.conftest import REPOSITORY
from tests.service_material import app_for, lines_of, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811

DEPLOY = REPOSITORY / "deploy"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or shutil.which("nginx")
needs_nginx = pytest.mark.skipif(
    NGINX is None or shutil.which("openssl") is None, reason="nginx and openssl are not installed (apt-get install)"
)
LONGEST_STOP_S = 15


def settings_named(text: str) -> set[tuple[str, str]]:
    return {(a.lower(), b.lower()) for a, b in re.findall(r"AVATAR328_([A-Z]+)__([A-Z0-9_]+)", text)}


@pytest.mark.parametrize("file", sorted(path.name for path in DEPLOY.iterdir() if path.is_file()))
def test_every_setting_that_is_named_exists(file: str) -> None:
    sections: dict[str, Any] = {name: field.annotation for name, field in Settings.model_fields.items()}
    for section, name in settings_named((DEPLOY / file).read_text(encoding="utf-8")):
        assert name in sections[section].model_fields, (section, name)


def copied_into_the_image() -> list[Path]:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    return [Path(word) for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M) for word in line.split()]


def test_the_image_holds_what_serving_needs_and_no_root() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = copied_into_the_image()
    assert {path.parts[0] for path in copied} >= {"api.py", "config.py", "recipe", "services", "static", "avatars"}
    assert all((REPOSITORY / path).exists() for path in copied)
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert all(f"!{path}" in ignored for path in copied)
    assert re.findall(r"^USER (\S+)", text, re.M) == ["10001:10001"]
    assert set(re.findall(r"^FROM (\S+)", text, re.M)) == {"python:3.12-slim"}
    assert "train" not in text and "--frozen" in text


# As in the image: the files that are copied there, without the packages that only training has.
START = """
import runpy, sys
repository, *absent = sys.argv[1:]
sys.path = ["."] + [place for place in sys.path if place != repository]
sys.modules.update(dict.fromkeys(absent))
sys.argv = ["api.py", "--host", "127.0.0.1", "--port", "0"]
runpy.run_path("api.py", run_name="__main__")
"""
OF_TRAINING = ("torch", "torchvision", "transformers", "librosa", "onnx", "mediapipe", "scipy", "matplotlib")


def test_a_server_of_the_files_in_the_image_gets_ready(tmp_path: Path) -> None:
    image = tmp_path / "app"
    for path in copied_into_the_image():
        if (REPOSITORY / path).is_dir():
            shutil.copytree(REPOSITORY / path, image / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            image.mkdir(exist_ok=True)
            shutil.copy(REPOSITORY / path, image / path)
    environment = {
        **os.environ,
        "AVATAR328_MODELS__CACHE_DIR": str(tmp_path / "cache"),
        "AVATAR328_TTS__CACHE_DIR": str(tmp_path / "speech"),
        "AVATAR328_SERVER__CACHE_DIR": str(tmp_path / "animations"),
    }
    command = [sys.executable, "-c", START, str(REPOSITORY), *OF_TRAINING]
    server = subprocess.Popen(command, cwd=image, env=environment, stderr=subprocess.PIPE, text=True)
    said: list[str] = []
    try:
        assert server.stderr is not None
        for line in server.stderr:
            said.append(line)
            if "ready: demo speaks" in line or "Traceback" in line:
                break
    finally:
        server.terminate()
        rest = server.communicate(timeout=60)[1]
    assert "ready: demo speaks" in "".join(said), "".join(said) + rest
    assert server.returncode == 0


def test_the_containers_fit_together() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    server, gateway = services["server"], services["gateway"]
    assert server["read_only"] and server["cap_drop"] == ["ALL"] and "ports" not in server
    assert gateway["image"] == "nginx"
    upstream = re.search(r"server (\w+):(\d+);", (DEPLOY / "nginx.conf").read_text(encoding="utf-8"))
    assert upstream is not None
    assert (upstream[1] in services, int(upstream[2])) == (True, Settings().server.port)
    assert server["stop_grace_period"] == f"{LONGEST_STOP_S}s"
    assert Settings().limits.stop_s < LONGEST_STOP_S


def test_the_manifests_ask_for_signs_of_life() -> None:
    found = {part["kind"]: part for part in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())}
    assert set(found) == {"Deployment", "Service", "HorizontalPodAutoscaler"}
    pod = found["Deployment"]["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    probes = {name: server[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert probes == {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert server["ports"][0]["containerPort"] == Settings().server.port
    assert server["securityContext"]["readOnlyRootFilesystem"] and pod["spec"]["securityContext"]["runAsNonRoot"]
    mounted = {mount["name"] for mount in server["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["spec"]["volumes"]}
    assert found["Service"]["spec"]["selector"] == pod["metadata"]["labels"]
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]
    assert pod["spec"]["terminationGracePeriodSeconds"] == LONGEST_STOP_S


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one(tmp_path: Path) -> None:
    unit = (DEPLOY / "avatar328.service").read_text(encoding="utf-8")
    there = tmp_path / "avatar328.service"
    there.write_text(unit.replace("/opt/avatar328/.venv/bin/python", "/bin/true"))  # which has to exist
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False, timeout=30)
    told = [line for line in done.stderr.splitlines() if "avatar328.service" in line]
    assert (done.returncode, told) == (0, [])


@contextlib.contextmanager
def gateway(upstream: str, folder: Path) -> Iterator[int]:
    """nginx as it is shipped, but for addresses and a certificate; yields its port."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    text = (DEPLOY / "nginx.conf").read_text(encoding="utf-8")
    for shipped, here in (
        ("server:8000", upstream.removeprefix("http://")),
        ("listen 443", f"listen 127.0.0.1:{port}"),
        ("/etc/nginx/tls/", f"{folder}/"),
        ("/tmp/nginx", f"{folder}/nginx"),
        ("limit_conn connections 32", "limit_conn connections 3"),
        ("client_header_timeout 10s", "client_header_timeout 1s"),
    ):
        assert shipped in text
        text = text.replace(shipped, here)
    (folder / "nginx.conf").write_text(text)
    command = [str(NGINX), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    tried = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0 and "[warn]" not in tried.stderr, tried.stderr
    with subprocess.Popen([*command, "-g", "daemon off;"], stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _listens(port))
            yield port
        finally:
            process.terminate()


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0


@needs_nginx
def test_nginx_before_the_server(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path / "work"), toy_services)
    trusted = ssl.create_default_context()
    trusted.check_hostname, trusted.verify_mode = False, ssl.CERT_NONE
    with served(app) as upstream, gateway(upstream, tmp_path) as port:
        address = f"https://localhost:{port}"
        with httpx.Client(base_url=address, verify=trusted) as client:
            with client.stream("GET", "/generate", params={"text": "never a dull word. " * 8}) as answer:
                assert answer.status_code == 200
                came = [(time.monotonic(), piece) for piece in answer.iter_raw()]
            assert lines_of(b"".join(piece for _, piece in came))[-1]["type"] == "end"
            assert len(came) > 20  # frame by frame, not in one buffer
            assert "strict-transport-security" in answer.headers
            assert client.get("/metrics").status_code == client.get("/debug/status").status_code == 404
            origin = {"Origin": address, "Sec-Fetch-Site": "same-origin"}
            assert client.post("/generate", json={"text": "hello"}, headers=origin).status_code == 200

        async def hello() -> str:
            async with contextlib.AsyncExitStack() as held:
                for _ in range(3):
                    live = await held.enter_async_context(connect(f"wss://localhost:{port}/ws", ssl=trusted))
                with pytest.raises(InvalidStatus, match="HTTP 503"):
                    await held.enter_async_context(connect(f"wss://localhost:{port}/ws", ssl=trusted))
                await live.send("{}")
                return str(await live.recv())

        assert "invalid-request" in asyncio.run(asyncio.wait_for(hello(), 20))
        with socket.create_connection(("127.0.0.1", port), 10) as raw, trusted.wrap_socket(raw) as slow:
            slow.sendall(b"GET /livez HT")
            started = time.monotonic()
            assert slow.recv(100) == b"" and time.monotonic() - started < 8
