"""What every request passes before it reaches a route, and every answer after it.

Pages of other sites cannot use this server through their visitor's browser: it answers only to its own names
(DNS rebinding), refuses requests that a browser marks as coming from elsewhere, and grants no CORS. Bodies are
counted while they arrive. Answers tell browsers to load nothing from anywhere else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.errors import TooMuchError
from services.http.problems import ProblemMap

_CSP: Final = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    ]
)
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)",
}
_AI_HEADER: Final = "X-AI-Generated"


class Protection:
    """ASGI middleware around everything else."""

    def __init__(
        self,
        app: ASGIApp,
        problems: ProblemMap,
        allowed_hosts: Collection[str],
        body_bytes: int,
        upload_bytes: Mapping[str, int],
        generated_paths: Collection[str],
    ) -> None:
        """Set what is allowed.

        Args:
            app: the routes.
            problems: describes refusals.
            allowed_hosts: names of this server besides localhost and plain addresses.
            body_bytes: largest body.
            upload_bytes: largest body of a path that takes more.
            generated_paths: their answers show or sound like somebody, and say that they are generated.
        """
        self._app = app
        self._problems = problems
        self._hosts = {"localhost", *(host.strip().lower() for host in allowed_hosts if host.strip())}
        self._body_bytes = body_bytes
        self._upload_bytes = upload_bytes
        self._generated_paths = generated_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"] in self._generated_paths:
                    headers[_AI_HEADER] = "true"
            await send(message)

        answering: Send = send_protected
        if scope["method"] == "HEAD":
            scope, receive, answering = _as_get(scope, receive, send_protected)
        headers = Headers(scope=scope)
        limit = self._upload_bytes.get(scope["path"], self._body_bytes)
        try:
            self._check_host(headers)
            _check_origin(headers)
            _check_length(headers, limit)
        except (HTTPException, TooMuchError) as error:
            answer = await self._problems.answer(Request(scope), error)
            await answer(scope, receive, answering)
            return
        await self._app(scope, _counted(receive, limit), answering)

    def _check_host(self, headers: Headers) -> None:
        name = _host_name(headers.get("host", ""))
        if name in self._hosts or _is_address(name):
            return
        raise HTTPException(
            421, "this server does not go by that name; use localhost or its address, or add the name to its settings"
        )


def _as_get(scope: Scope, receive: Receive, send: Send) -> tuple[Scope, Receive, Send]:
    """HEAD is answered as GET would be, without the body: what would make one sees its client leave."""
    started = False

    async def receive_until_started() -> Message:
        return {"type": "http.disconnect"} if started else await receive()

    async def send_head(message: Message) -> None:
        nonlocal started
        if message["type"] == "http.response.start":
            await send(message)
        elif message["type"] == "http.response.body" and not started:
            started = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return {**scope, "method": "GET"}, receive_until_started, send_head


def _host_name(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    """An address cannot be rebound: no DNS is asked for it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _check_origin(headers: Headers) -> None:
    origin, host = headers.get("origin"), headers.get("host", "").lower()
    opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    elsewhere = headers.get("sec-fetch-site") == "cross-site" and not opened  # a link may be followed, not embedded
    if elsewhere or (origin is not None and _netloc(origin) != host):
        raise HTTPException(403, "pages of other sites may not use this server")


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _too_large(limit: int) -> TooMuchError:
    return TooMuchError(f"the request's body is larger than the {limit} bytes that are taken here")


def _check_length(headers: Headers, limit: int) -> None:
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise _too_large(limit)


def _counted(receive: Receive, limit: int) -> Receive:
    """A body without a stated length is counted while it comes."""
    received = 0

    async def receive_counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, str(_too_large(limit)))
        return message

    return receive_counted
