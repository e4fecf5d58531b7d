"""What every request passes before it reaches a route, and every answer after it.

Pages of other sites cannot use this server through their visitor's browser: it answers only to its own names
(DNS rebinding), and refuses requests that a browser marks as coming from elsewhere (origins.py). Where there are keys,
a request needs one (gate.py). Bodies are counted while they arrive, may not come too slowly, and large ones need
a place first (bodies.py); connections are counted, too. Answers tell browsers to load nothing from anywhere else.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recipe.errors import UserError
from services.errors import BusyError
from services.http.bodies import Body
from services.http.gate import LOGIN, Gate
from services.http.origins import EMBED, Origins
from services.http.problems import ProblemMap
from services.streaming.slots import Slots

_UNFRAMED: Final = "frame-ancestors 'none'"
_CSP: Final = "; ".join(
    [
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        _UNFRAMED,
    ]
)
_INLINE: Final = "script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
_STATIC: Final = "/static/"
SECURITY_HEADERS: Final = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=(self)",
}
CONNECTIONS: Final = "avatar328.connections"  # what services/http/server.py adds to a request: how many are open
HEAD_BYTES: Final = 64 << 10  # of an address and its headers
_AI_HEADER: Final = "X-AI-Generated"
_LIFE: Final = "/livez"  # answered however many others there are


class Protection:
    """ASGI middleware around everything else."""

    def __init__(
        self,
        app: ASGIApp,
        problems: ProblemMap,
        allowed_hosts: Collection[str],
        origins: Origins,
        body_bytes: int,
        upload_bytes: Mapping[str, int],
        generated_paths: Collection[str],
        connections: int,
        uploads: Slots,
        places: Slots,
        least_bytes_s: float,
        gate: Gate | None,
        public: bool,
        inline_pages: bool = False,
    ) -> None:
        """Set what is allowed.

        Args:
            app: the routes.
            problems: describes refusals.
            allowed_hosts: names of this server besides localhost and plain addresses.
            origins: pages of other sites that may use it.
            body_bytes: largest body.
            upload_bytes: largest body of a path that takes more.
            generated_paths: their answers show or sound like somebody, and say that they are generated.
            connections: most at the same time; under a server that does not tell their number, most requests.
            uploads: places for the bodies of uploads.
            places: for what is made of them.
            least_bytes_s: rate below which a body is given up.
            gate: asks for keys, if there are any.
            public: others than this machine are meant to reach the server.
            inline_pages: static pages may have scripts inside them.
        """
        self._app = app
        self._problems = problems
        self._hosts = {"localhost", *(host.strip().lower() for host in allowed_hosts if host.strip())}
        self._origins = origins
        self._body_bytes = body_bytes
        self._upload_bytes = upload_bytes
        self._generated_paths = generated_paths
        self._connections = connections
        self._uploads, self._places, self._least_bytes_s = uploads, places, least_bytes_s
        self._gate, self._public, self._inline_pages = gate, public, inline_pages
        self._in_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._pass_socket_on(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if self._inline_pages and scope["path"].startswith(_STATIC):
                    headers["Content-Security-Policy"] = f"{_CSP}; {_INLINE}"
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"] == EMBED:
                    framed = f"frame-ancestors {self._origins.frame_ancestors}"
                    headers["Content-Security-Policy"] = _CSP.replace(_UNFRAMED, framed)
                    del headers["X-Frame-Options"]  # it knows no list
                if scope["path"] in self._generated_paths:
                    headers[_AI_HEADER] = "true"
                self._origins.mark(Headers(scope=scope), headers)
            await send(message)

        answering: Send = send_protected
        if scope["method"] == "HEAD":
            scope, receive, answering = _as_get(scope, receive, send_protected)
        headers = Headers(scope=scope)
        limit = self._upload_bytes.get(scope["path"])
        uploads = None if limit is None or scope["method"] != "POST" else self._uploads
        body = Body(receive, limit or self._body_bytes, self._least_bytes_s, uploads)
        self._in_work += 1
        try:
            await self._pass_on(scope, body, answering, headers)
        finally:
            body.give_place_back()
            self._in_work -= 1

    async def _pass_on(self, scope: Scope, body: Body, send: Send, headers: Headers) -> None:
        path = scope["path"]
        try:
            self._check_crowd(scope)
            _check_head(scope)
            self._check_reach(scope)
            self._check_host(headers)
            if told := self._origins.preflight(scope["method"], headers):
                await told(scope, body.receive, send)
                return
            if not self._origins.embeds(path, headers):
                self._origins.check(headers, does_work=path in self._generated_paths)
            if self._gate is not None:
                if path == "/" and not self._gate.opens(headers):
                    await RedirectResponse(LOGIN, 303)(scope, body.receive, send)
                    return
                scope.setdefault("state", {})["key"] = self._gate.pass_in(path, scope["method"], headers)
            body.check_length(headers.get("content-length", ""))
            self._check_place(scope)
            body.take_place()
        except (HTTPException, UserError) as error:
            answer = await self._problems.answer(Request(scope), error)
            await answer(scope, body.receive, send)
            return
        await self._app(scope, body.receive, send)

    def _check_place(self, scope: Scope) -> None:
        """Nothing is received for which there is no place afterwards."""
        if scope["path"] in self._upload_bytes and scope["method"] == "POST" and not self._places.free:
            raise BusyError(f"this server makes {self._places.count} animations at a time and is busy; try again soon")

    def _check_reach(self, scope: Scope) -> None:
        """Started for this machine only, but listening elsewhere: `uvicorn api:app --host 0.0.0.0`."""
        here = (scope.get("server") or ("",))[0]
        if not self._public and self._gate is None and _is_address(here) and not ipaddress.ip_address(here).is_loopback:
            raise HTTPException(
                403, "this server was set up for its own machine; set AVATAR328_SERVER__HOST and keys to let others in"
            )

    async def _pass_socket_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket is refused by an ordinary answer, before it is one."""
        headers = Headers(scope=scope)
        self._in_work += 1
        try:
            self._check_crowd(scope)
            self._check_reach(scope)
            self._check_host(headers)
            self._origins.check(headers, does_work=True)
            if self._gate is not None:
                scope.setdefault("state", {})["key"] = self._gate.pass_in(scope["path"], "GET", headers)
        except (HTTPException, UserError) as error:
            answer = await self._problems.answer(Request({**scope, "type": "http", "method": "GET"}), error)
            await answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)
        finally:
            self._in_work -= 1

    def _check_crowd(self, scope: Scope) -> None:
        if scope["path"] == _LIFE:
            return
        open_now = scope.get("extensions", {}).get(CONNECTIONS, {}).get("open", self._in_work)
        if open_now > self._connections:
            raise BusyError(f"all {self._connections} connections are taken; try again in a moment")

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


def _check_head(scope: Scope) -> None:
    head_bytes = len(scope.get("raw_path", b"")) + len(scope.get("query_string", b""))
    head_bytes += sum(len(name) + len(value) for name, value in scope["headers"])
    if head_bytes > HEAD_BYTES:
        raise HTTPException(
            431, f"address and headers have {head_bytes} bytes, {HEAD_BYTES} are read; send a long text in the body"
        )


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
