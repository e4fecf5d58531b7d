"""The application behind a socket: uvicorn, with refusals that say what to do."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.errors import CannotListenError
from services.http.problems import MEDIA_TYPE
from services.http.protection import CONNECTIONS, HEAD_BYTES

logger = logging.getLogger("avatar328")

_SOCKET_MESSAGE_BYTES: Final = 1 << 20
_STOP_S: Final = 3.0  # for work to end when the server stops, after its streams had their time
_HEADERS_S: Final = 10.0  # for a request's address and headers
_LINGER_S: Final = 2.0  # for a refused client to read why: closed on what is unread, a connection is reset instead
_THIS_MACHINE: Final = ("127.0.0.1", "::1", "")
_NOT_HTTP: Final = json.dumps(
    {
        "type": "/problems/bad-request",
        "title": "Bad request",
        "status": 400,
        "detail": "this is not HTTP, or its address and headers are longer than the 64 KiB that are read; send a long "
        "text in the body: POST /generate",
    }
).encode()


class ProblemProtocol(HttpToolsProtocol):
    """HTTP whose refusals are problem documents: of what cannot be parsed here, of a connection too many by
    services/http/protection.py, which is told how many there are. Who opens a connection and does not ask for anything
    loses it, and so does one address that opens too many."""

    _in_head, _head_bytes = False, 0  # of the request that is being read
    _refused = False
    per_address = 64  # connections of one address, other than this machine; `serve` sets it

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._asked_by = self.loop.call_later(_HEADERS_S, self._give_up)
        mine = self._address()
        others = [c for c in self.connections if isinstance(c, ProblemProtocol) and c._address() == mine]
        if mine not in _THIS_MACHINE and len(others) > self.per_address:
            transport.close()

    def _address(self) -> str:
        return self.client[0] if self.client else ""

    def connection_lost(self, exc: Exception | None) -> None:
        self._asked_by.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        super().data_received(data)
        if self._in_head:
            self._head_bytes += len(data)
            self._refuse_long_head()

    def _refuse_long_head(self) -> None:
        if self._head_bytes > HEAD_BYTES and not (self._refused or self.transport.is_closing()):
            self.send_400_response("too long")

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        self._asked_by.cancel()
        self._asked_by = self.loop.call_later(_HEADERS_S, self._give_up)
        super().on_message_begin()

    def _give_up(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._asked_by.cancel()
        self._in_head = False
        self.scope.setdefault("extensions", {})[CONNECTIONS] = {"open": len(self.connections)}
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(_NOT_HTTP)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + _NOT_HTTP)
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:  # the answer to an earlier request: it ends too
            self.transport.close()
            return
        self.transport.write_eof()
        self._asked_by.cancel()
        self._asked_by = self.loop.call_later(_LINGER_S, self._give_up)


class _Server(uvicorn.Server):
    """Told to stop, it lets streams end and ends itself with code 0: that is what it was asked for."""

    def __init__(self, config: uvicorn.Config, stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            logger.info("stopping: streams may end, nothing new is taken")
            self._stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(app: FastAPI, host: str, port: int, *, access_log: bool, per_address: int, stop_s: float) -> None:
    """Serve until stopped.

    Args:
        app: the application.
        host, port: where to listen; port 0 takes a free one.
        access_log: whether every request is logged.
        per_address: connections of one other machine at the same time.
        stop_s: for streams to end by themselves, once the server is asked to stop.
    Raises:
        CannotListenError: the address cannot be used.
    """

    def stop() -> None:
        app.state.parts.animations.work.stop(stop_s)
        app.state.parts.live.stop(stop_s)

    listening = listen(host, port)
    ProblemProtocol.per_address = per_address
    server = _Server(
        uvicorn.Config(
            app,
            http=ProblemProtocol,
            log_config=None,
            access_log=access_log,
            timeout_graceful_shutdown=math.ceil(stop_s + _STOP_S),
            server_header=False,
            ws_max_size=_SOCKET_MESSAGE_BYTES,
            ws_per_message_deflate=False,  # pictures are coded already, and sound does not get smaller
        ),
        stop,
    )
    name, number = listening.getsockname()[:2]
    logger.info("listening on http://%s:%d", f"[{name}]" if ":" in name else name, number)
    with listening:
        server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """A socket that is bound to an address, before anything is started behind it.

    Args:
        host: name or address.
        port: 0 takes a free one.
    Raises:
        CannotListenError: the port is taken or not allowed, or the address is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListenError(
            f"{host} is no address of this machine ({error.strerror}); choose another --host"
        ) from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)
    except OSError as error:
        listening.close()
        raise CannotListenError(_why(error, host, port)) from error
    listening.setblocking(False)
    return listening


def _why(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is taken, perhaps by another avatar328; end that, or choose another --port"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"port {port} may not be used by this user; choose a --port above 1023"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is no address of this machine; choose another --host, for example 127.0.0.1"
    return f"cannot listen on {host}, port {port}: {error.strerror}"
