"""The application behind a socket: uvicorn, with refusals that say what to do."""

from __future__ import annotations

import errno
import json
import logging
import socket
from typing import Final

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from services.errors import CannotListenError
from services.http.problems import MEDIA_TYPE

logger = logging.getLogger("avatar328")

_STOP_S: Final = 3  # for work to end when the server stops
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
    """HTTP whose refusal of what cannot be parsed is a problem document like every other one."""

    def send_400_response(self, msg: str) -> None:
        head = f"HTTP/1.1 400 Bad Request\r\ncontent-type: {MEDIA_TYPE}\r\ncontent-length: {len(_NOT_HTTP)}\r\n"
        self.transport.write(f"{head}connection: close\r\n\r\n".encode() + _NOT_HTTP)
        self.transport.close()


def serve(app: FastAPI, host: str, port: int, most_connections: int, access_log: bool) -> None:
    """Serve until stopped.

    Args:
        app: the application.
        host, port: where to listen; port 0 takes a free one.
        most_connections: at a time.
        access_log: whether every request is logged.
    Raises:
        CannotListenError: the address cannot be used.
    """
    listening = listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http=ProblemProtocol,
            log_config=None,
            access_log=access_log,
            timeout_graceful_shutdown=_STOP_S,
            limit_concurrency=most_connections,
            server_header=False,
        )
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
