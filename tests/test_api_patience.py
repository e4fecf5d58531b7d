"""Clients that are slow, on purpose or not, cost others nothing; a server that is asked to stop ends in order."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx2 as httpx
import pytest

import services.http.bodies
import services.http.server
from services.container import Services
from services.errors import StalledError
from services.http.server import serve
from services.streaming.pump import Pace, Pump
from tests.conftest import REPOSITORY
from tests.service_material import app_for, http, settings_for, wait_for  # noqa: F401
from tests.toy_avatar import NAME, toy_avatars, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture
def impatient(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, int]]:
    """A server that gives up after half a second."""
    monkeypatch.setattr(services.http.bodies, "_GRACE_S", 0.5)
    monkeypatch.setattr(services.http.server, "_HEADERS_S", 0.5)
    started: list[services.http.server._Server] = []
    remember = services.http.server._Server.__init__

    def init(self: services.http.server._Server, *arguments: object) -> None:
        remember(self, *arguments)  # type: ignore[arg-type]
        started.append(self)

    monkeypatch.setattr(services.http.server._Server, "__init__", init)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    app = app_for(settings_for(toy_avatars, tmp_path, limits={"uploads": 2}), toy_services)
    thread = threading.Thread(
        target=serve, args=(app, "127.0.0.1", port), kwargs={"access_log": False, "per_address": 64, "stop_s": 0.1}
    )
    thread.start()
    wait_for(lambda: started and started[0].started)
    yield "127.0.0.1", port
    started[0].should_exit = True
    thread.join(10)
    assert not thread.is_alive()


def test_who_asks_nothing_is_dropped(impatient: tuple[str, int]) -> None:
    with (
        socket.create_connection(impatient, timeout=5) as silent,
        socket.create_connection(impatient, timeout=5) as slow,
    ):
        began = time.monotonic()
        slow.sendall(b"GET /health HT")
        assert silent.recv(1) == slow.recv(1) == b""
        assert 0.3 < time.monotonic() - began < 3


def test_a_request_after_another_one_is_answered(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=5) as connection:
        for _ in range(2):
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(0.3)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("whole", [True, False])
def test_headers_without_end_are_not_read(impatient: tuple[str, int], whole: bool) -> None:
    """At once, and bit by bit."""
    with socket.create_connection(impatient, timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ")
        connection.sendall(b"a" * 66_000)
        if whole:
            connection.sendall(b"\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400") if whole else b"HTTP/1.1 400")
    assert b"64 KiB" in answer or b"65536 are read" in answer


def test_who_goes_on_sending_after_a_refusal_still_reads_it(impatient: tuple[str, int]) -> None:
    with socket.create_connection(impatient, timeout=5) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 66_000)
        for _ in range(3):
            time.sleep(0.1)
            connection.sendall(b"a" * 66_000)
        received = b""
        while part := connection.recv(65536):
            received += part
    assert received.startswith(b"HTTP/1.1 400") and received.count(b"HTTP/1.1") == 1


def test_a_refusal_behind_an_answer_that_still_comes_ends_both(
    impatient: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(impatient, timeout=5) as connection:
        text = quote("One sentence that is long enough to be cut. " * 6)
        connection.sendall(f"GET /generate?text={text} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        received = connection.recv(65536)
        connection.sendall(b"this is not HTTP\r\n\r\n")
        while part := connection.recv(1 << 20):
            received += part
        time.sleep(0.3)  # for the answer to go on writing
    assert received.startswith(b"HTTP/1.1 200") and b"HTTP/1.1 400" in received
    assert b'"type":"end"' not in received  # there was more to write
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_bodies_that_do_not_come_hold_no_place_for_long(impatient: tuple[str, int]) -> None:
    head = (
        b"POST /generate-from-audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
    )
    connections = [socket.create_connection(impatient, timeout=5) for _ in range(3)]
    try:
        for connection in connections[:2]:
            connection.sendall(head)
        time.sleep(0.1)
        connections[2].sendall(head)
        assert b"HTTP/1.1 503" in connections[2].recv(65536)  # there are two places for uploads
        assert b"/problems/too-slow" in connections[0].recv(65536)
    finally:
        for connection in connections:
            connection.close()


def test_a_body_that_comes_fast_enough_is_taken(impatient: tuple[str, int]) -> None:
    body = json.dumps({"text": "a", "voice": None}).encode()
    with socket.create_connection(impatient, timeout=20) as connection:
        connection.sendall(
            b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        )
        for byte in body:
            connection.sendall(bytes([byte]))
            time.sleep(0.005)
        received = b""
        while part := connection.recv(1 << 20):
            received += part
    assert b'"type":"end"' in received


def test_a_taker_that_falls_behind_the_clock_is_given_up() -> None:
    pump = Pump(iter_items(1000), 2, "x", stall_s=10, pace=Pace(item_s=0.01, behind_s=0.2))
    with pytest.raises(StalledError, match=r"fell 0\.2 s behind the clock"):
        for _ in pump:
            time.sleep(0.05)


def test_a_taker_in_real_time_and_a_slow_maker_are_not() -> None:
    def slowly() -> Iterator[int]:
        for item in range(8):
            time.sleep(0.04)
            yield item

    assert list(Pump(slowly(), 2, "x", pace=Pace(item_s=0.01, behind_s=0.1))) == list(range(8))  # type: ignore[arg-type]
    taken = []
    for item in Pump(iter_items(40), 2, "x", pace=Pace(item_s=0.02, behind_s=0.1)):
        taken.append(item)
        time.sleep(0.015)
    assert taken == list(range(40))


def iter_items(count: int) -> Iterator[int]:  # type: ignore[misc]
    yield from range(count)


@pytest.mark.parametrize(("stop_s", "last"), [("8", "end"), ("0.2", "error")])
def test_a_server_that_is_asked_to_stop_ends_its_streams_and_itself(
    toy_avatars: Path, tmp_path: Path, http: httpx.Client, stop_s: str, last: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "AVATAR328_MODELS__AVATARS_DIR": str(toy_avatars),
        "AVATAR328_MODELS__DEFAULT_AVATAR": NAME,
        "AVATAR328_MODELS__RUNTIME": "onnxruntime",
        "AVATAR328_MODELS__CACHE_DIR": str(tmp_path),
        "AVATAR328_TTS__CACHE_DIR": str(tmp_path),
        "AVATAR328_LIMITS__STOP_S": stop_s,
    }
    server = subprocess.Popen(
        [sys.executable, "api.py", "--port", str(port)],
        cwd=REPOSITORY,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: _answers(http, f"{address}/readyz"), within_s=60)
        text = quote("One sentence that is long enough to be cut. " * 6)
        with http.stream("GET", f"{address}/generate?text={text}", timeout=60) as stream:
            lines = stream.iter_lines()
            assert json.loads(next(lines))["type"] == "header"
            next(lines)
            server.send_signal(signal.SIGTERM)
            *_, end = lines
        assert server.wait(20) == 0
    finally:
        server.kill()
        said = server.communicate()[1]
    found = json.loads(end)
    assert found["type"] == last
    assert last == "end" or found["problem"]["type"] == "/problems/server-stopping"
    assert "stopping: streams may end" in said and "Traceback" not in said


def _answers(http: httpx.Client, address: str) -> bool:
    try:
        return http.get(address).status_code == 200
    except httpx.TransportError:
        return False
