"""The attacks of `python -m benchmarks.attack`, each of a kind that once did harm, or that SERVING systems know.

Every one gets a real server and says what it tried, what happened, and whether that is as it should be.
"""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit

import httpx2 as httpx

from benchmarks.measures.attack_media import crafted_media, damaged_media
from benchmarks.measures.target import PATIENCE_S, Outcome, Target, status_of, told, watched

_LONG_TEXT: Final = "This sentence is said again and again, because somebody wants the server to be busy. " * 20


def strange_requests(target: Target) -> Outcome:
    """Names, paths, headers and bodies that no client sends."""
    address = target.server.address
    raw = [
        b"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /static/..%2f..%2fconfig.py HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /avatar?avatar=..%2F..%2Fetc HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /avatar?avatar=%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 70_000 + b"\r\n\r\n",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"0\r\n\r\nGET /x",
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 40000\r\n\r\n"
        + b"[" * 40_000,
        b"POST /generate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 21\r\n\r\n"
        + b'{"text": "\\ud800 \\n"}',
        b"GET /generate?text=a&direction=7 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BREW /coffee HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ]
    found: Counter[int] = Counter()
    rounds = target.count(5)
    for request in raw * rounds:
        found[_answer(address, request)] += 1
    wrong = [status for status in found if status != 0 and not 400 <= status < 500]
    return Outcome(f"{len(raw)} kinds, {rounds} times", told(found), not wrong)


def _answer(address: str, request: bytes) -> int:
    with _connected(address) as connection, contextlib.suppress(OSError):
        connection.sendall(request)
        head = connection.recv(4096)
        if head.startswith(b"HTTP/1.1 "):
            return int(head[9:12])
    return 0


def _connected(address: str, receive_bytes: int | None = None) -> socket.socket:
    place = urlsplit(address)
    connection = socket.socket()
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(PATIENCE_S)
    connection.connect((place.hostname, place.port))
    return connection


def other_sites(target: Target) -> Outcome:
    """Links and pictures of other pages that would cause work."""
    address, found = target.server.address, Counter[int]()
    port = urlsplit(address).port
    headers = (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        {"Sec-Fetch-Site": "same-site", "Origin": f"http://localhost:{(port or 0) + 1}"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    )
    rounds = target.count(10)
    for wish in headers * rounds:
        found[status_of(address, f"/generate?text={quote(_LONG_TEXT)}", headers=wish)] += 1
    return Outcome(f"{len(headers)} kinds, {rounds} times", told(found), set(found) == {403})


def silent_connections(target: Target) -> Outcome:
    """Connections that send nothing, or their headers byte by byte, while others ask for a sign of life."""
    address, count = target.server.address, target.count(150)
    held: list[socket.socket] = []

    def flood() -> None:
        with contextlib.suppress(OSError):
            for number in range(count):
                connection = _connected(address)
                held.append(connection)
                if number % 2:
                    connection.sendall(b"GET /health HT")
        time.sleep(3)

    slowest_s = watched(address, flood)
    began, gone = time.monotonic(), 0
    for connection in held:
        connection.settimeout(max(15 - (time.monotonic() - began), 0.1))
        with contextlib.suppress(OSError):
            gone += connection.recv(4096) == b"" or True
    for connection in held:
        connection.close()
    happened = f"/livez within {slowest_s:.2f} s, {gone} of {len(held)} were closed or refused within 15 s"
    return Outcome(f"{count} connections", happened, slowest_s < 2 and gone == len(held))


def slow_uploads(target: Target) -> Outcome:
    """Uploads of 60 MB that come at 1 kB/s."""
    address, count = target.server.address, target.count(12)
    head = (
        b"POST /generate-from-audio HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000000\r\n"
        b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    )
    connections = [_connected(address) for _ in range(count)]
    found: Counter[int] = Counter()

    def drip() -> None:
        for connection in connections:
            connection.sendall(head)
        waiting = set(connections)
        until = time.monotonic() + 45
        while waiting and time.monotonic() < until:
            for connection in list(waiting):
                connection.settimeout(0.01)
                try:
                    if answer := connection.recv(4096):
                        found[int(answer[9:12])] += 1
                    waiting.discard(connection)
                except TimeoutError:
                    with contextlib.suppress(OSError):
                        connection.sendall(b"x" * 100)
                except OSError:
                    waiting.discard(connection)
                    found[0] += 1
            time.sleep(0.1)
        found[-1] += len(waiting)

    slowest_s = watched(address, drip)
    for connection in connections:
        connection.close()
    late = found.pop(-1)
    happened = f"{told(found)}; {late} still open after 45 s; /livez within {slowest_s:.2f} s"
    return Outcome(f"{count} at a time", happened, late == 0 and set(found) <= {0, 408, 503} and slowest_s < 2)


def slow_readers(target: Target) -> Outcome:
    """Clients that take all places and read 10 kB/s."""
    address = target.server.address
    request = f"GET /generate?text={quote(_LONG_TEXT)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    readers = [_connected(address, receive_bytes=4096) for _ in range(4)]
    stop = threading.Event()

    def read() -> None:
        for connection in readers:
            connection.sendall(request)
            connection.settimeout(0.01)
        while not stop.wait(0.2):
            for connection in readers:
                with contextlib.suppress(OSError):
                    connection.recv(500)

    thread = threading.Thread(target=read)
    thread.start()
    began = time.monotonic()
    try:
        status = 503
        while status == 503 and time.monotonic() - began < PATIENCE_S:
            time.sleep(1)
            status = status_of(address, "/generate?text=Hello")
    finally:
        stop.set()
        thread.join()
        for connection in readers:
            connection.close()
    took_s = time.monotonic() - began
    return Outcome("4 readers, all places", f"a newcomer was served after {took_s:.0f} s", status == 200)


def dropped_streams(target: Target) -> Outcome:
    """Streams that are opened and left at once, also before their first byte."""
    address, count = target.server.address, target.count(300)
    request = f"GET /generate?text={quote(_LONG_TEXT)} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    handles = target.server.handles() or 0
    for number in range(count):
        with _connected(address) as connection:
            connection.sendall(request)
            if number % 3:
                connection.recv(100)
    active, until = 1, time.monotonic() + 10
    while active and time.monotonic() < until:
        time.sleep(0.2)
        active = httpx.get(f"{address}/health").json()["sessions"]["active"]
    left = (target.server.handles() or 0) - handles
    return Outcome(f"{count} streams", f"{active} places held, {left} handles more", active == 0 and left < 8)


def hostile_avatars(target: Target) -> Outcome:
    """Folders beside the avatars that are broken on purpose."""
    avatars = target.folder / "avatars"
    whole = (avatars / target.name / "avatar.json").read_text(encoding="utf-8")
    contents = {
        "deep": whole.replace("{", '{"x":' + '{"a":' * 2000 + "1" + "}" * 2000 + ",", 1),
        "surrogate": whole.replace('"licence"', '"licence": "\\ud800", "licence2"', 1),
        "huge": whole + " " * 3_000_000,
        "changed": whole.replace('"frames"', '"Frames"', 1),
        "empty": "",
    }
    try:
        for name, content in contents.items():
            (avatars / name).mkdir()
            (avatars / name / "avatar.json").write_text(content, encoding="utf-8")
        time.sleep(12)  # the server looks after its folders every ten seconds
        found = httpx.get(f"{target.server.address}/avatars", timeout=PATIENCE_S)
        health = status_of(target.server.address, "/health")
        listed = json.dumps(found.json())
    finally:
        for name in contents:
            (avatars / name / "avatar.json").unlink(missing_ok=True)
            (avatars / name).rmdir()
    right = found.status_code == health == 200 and target.name in listed
    return Outcome(f"{len(contents)} folders", f"/avatars {found.status_code}, /health {health}", right)


def no_key(target: Target) -> Outcome:
    """All addresses without a key, with a wrong one, and with one for less."""
    address = target.server.address
    paths = (
        "/generate?text=a", "/get-tts-audio?text=a", "/avatars", "/voices", "/health", "/avatar", "/avatar/frames",
        "/metrics", "/openapi.json", "/debug/status", "/",
    )  # fmt: skip
    wrong: tuple[dict[str, str], ...] = (
        {},
        {"Authorization": "Bearer wrong"},
        {"X-API-Key": "a" * 5000},
        {"Authorization": "Basic YTpi"},
    )
    rounds = target.count(3)
    found = Counter(status_of(address, path, headers=wish) for path in paths for wish in wrong * rounds)
    return Outcome(f"{len(paths)} addresses, {len(wrong) * rounds} times", told(found), set(found) <= {303, 401, 403})


def asked_to_stop(target: Target) -> Outcome:
    """SIGTERM while two streams are being made."""
    address = target.server.address
    lasts: list[str] = []

    def listen() -> None:
        with httpx.stream("GET", f"{address}/generate?text={quote(_LONG_TEXT)}", timeout=PATIENCE_S) as answer:
            lasts.append([line for line in answer.iter_lines() if line][-1])

    threads = [threading.Thread(target=listen) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    target.server.signal(signal.SIGTERM)
    began = time.monotonic()
    code = target.server.wait(20)
    took_s = time.monotonic() - began
    for thread in threads:
        thread.join(5)
    kinds = [json.loads(last)["type"] for last in lasts]
    right = code == 0 and len(kinds) == 2 and set(kinds) <= {"end", "error"} and took_s < 10
    return Outcome("2 streams", f"exit {code} after {took_s:.1f} s, streams ended by {kinds}", right, ended=True)


ATTACKS: Final[dict[str, Callable[[Target], Outcome]]] = {
    "strange requests": strange_requests,
    "other sites": other_sites,
    "silent connections": silent_connections,
    "slow uploads": slow_uploads,
    "slow readers": slow_readers,
    "damaged media": damaged_media,
    "crafted media": crafted_media,
    "dropped streams": dropped_streams,
    "hostile avatars": hostile_avatars,
    "no key": no_key,
    "asked to stop": asked_to_stop,
}
WITH_KEYS: Final = frozenset({"no key"})
