"""The server behind its socket: what is wrong with an address is said before anything starts; every refusal is a
problem document."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.container import Services
from services.errors import CannotListenError
from services.http.server import ProblemProtocol, listen
from tests.conftest import REPOSITORY
from tests.service_material import app_for, client_of, settings_for
from tests.toy_avatar import toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def address(
    toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, int]]:
    settings = settings_for(toy_avatars, tmp_path_factory.mktemp("work"))
    app = app_for(settings, toy_services)
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(app, http=ProblemProtocol, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listening.getsockname()
    server.should_exit = True
    thread.join(10)
    listening.close()


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "api.py", "--host", "127.0.0.1", "--port", str(port)]
        ran = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        f"error: port {port} of 127.0.0.1 is taken, perhaps by another avatar328; end that, or choose another --port"
    )
    assert "Traceback" not in ran.stderr and "startup" not in ran.stderr


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-name.invalid"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(CannotListenError, match=r"is no address of this machine.*choose another --host"):
        listen(host, 0)


def test_a_url_that_is_too_long_is_a_problem_document(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"GET /generate?text=" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while part := connection.recv(65_536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400") and b"content-type: application/problem+json" in head
    assert f"content-length: {len(body)}".encode() in head
    problem = json.loads(body)
    assert problem["status"] == 400 and "POST /generate" in problem["detail"]


@contextlib.contextmanager
def crowded(
    avatars: Path, services: Services, work: Path, protocol: type[asyncio.Protocol], most: int
) -> Iterator[tuple[str, int]]:
    """A server that takes so many connections."""
    settings = settings_for(avatars, work, limits={"connections": most})
    listening = listen("127.0.0.1", 0)
    config = uvicorn.Config(app_for(settings, services), http=protocol, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listening.getsockname()
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def test_one_connection_too_many_is_a_problem_document(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    with (
        crowded(toy_avatars, toy_services, tmp_path, ProblemProtocol, 8) as (host, port),
        contextlib.ExitStack() as open_,
    ):
        idle = [open_.enter_context(socket.create_connection((host, port), timeout=10)) for _ in range(8)]
        time.sleep(0.2)
        answer = httpx2.get(f"http://{host}:{port}/health")
        assert answer.status_code == 503 and answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "1" and "8 connections are taken" in answer.json()["detail"]
        idle[0].close()
        time.sleep(0.2)
        assert httpx2.get(f"http://{host}:{port}/health").status_code == 200


def test_another_server_counts_requests(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    """`uvicorn api:app` does not tell how many connections there are."""
    with (
        crowded(toy_avatars, toy_services, tmp_path, HttpToolsProtocol, 8) as (host, port),
        contextlib.ExitStack() as open_,
    ):
        head = (
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"
        )
        for _ in range(8):  # their bodies never come
            open_.enter_context(socket.create_connection((host, port), timeout=10)).sendall(head)
        time.sleep(0.2)
        answer = httpx2.get(f"http://{host}:{port}/health")
        assert answer.status_code == 503 and answer.json()["type"] == "/problems/busy"


@pytest.mark.parametrize("path", ["/", "/health", "/avatars", "/avatar?avatar=toy", "/static/app.js", "/openapi.json"])
def test_head_is_answered_like_get_without_a_body(address: tuple[str, int], path: str) -> None:
    url = f"http://127.0.0.1:{address[1]}{path}"
    asked, got = httpx2.head(url), httpx2.get(url)
    assert (asked.status_code, asked.content) == (200, b"")
    assert got.content
    for name in ("content-type", "etag", "content-security-policy"):
        assert asked.headers.get(name) == got.headers.get(name)


def test_head_of_what_is_generated_makes_none_of_it(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    with client_of(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as client:
        answer = client.head("/generate", params={"text": "one two three. " * 20, "avatar": "toy"})
        assert (answer.status_code, answer.content) == (200, b"")
        missing = client.head("/avatar?avatar=nobody")
        assert (missing.status_code, missing.content) == (404, b"")
        assert missing.headers["content-type"] == "application/problem+json"
