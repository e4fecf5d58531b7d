"""Which pages of other sites may use this server by their visitor's browser: none, or those of a setting (CORS)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.responses import Response

EMBED: Final = "/embed"
_METHODS: Final = "GET, HEAD, POST, DELETE"
_SENT: Final = "Accept, Authorization, Content-Type, If-None-Match, X-API-Key"
_READ: Final = (
    "Content-Disposition, ETag, Location, Retry-After, X-AI-Generated, X-Audio-Duration, X-Avatar-Consent, X-Cache, "
    "X-Utterance-Id"
)
_REMEMBERED_S: Final = "600"


class Origins:
    """The pages that are let in."""

    def __init__(self, allowed: Collection[str], embedding: Collection[str] = ()) -> None:
        """Remember those that are let in, and those that may show /embed: "https://example.org", or "*" for all."""
        self._embedding = [origin.strip() for origin in embedding if origin.strip()]
        self._allowed = {origin.strip().rstrip("/").lower() for origin in allowed if origin.strip()}

    @property
    def frame_ancestors(self) -> str:
        """Of /embed; which sites they are, the browser checks."""
        return " ".join(["'self'", *self._embedding])

    def embeds(self, path: str, headers: Headers) -> bool:
        """Whether this is the avatar in a frame of another site."""
        return bool(self._embedding) and path == EMBED and headers.get("sec-fetch-dest") == "iframe"

    def check(self, headers: Headers, does_work: bool) -> None:
        """Refuse what a browser marks as coming from a page that is not let in.

        Raises:
            HTTPException: 403.
        """
        origin, host = headers.get("origin"), headers.get("host", "").lower()
        opened = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
        # A link to a page may be followed, not embedded; one that sets work going not even that, nor from another port.
        elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site") and (does_work or not opened)
        if (elsewhere or (origin is not None and _netloc(origin) != host)) and self.of(headers) is None:
            raise HTTPException(403, "pages of other sites may not use this server")

    def of(self, headers: Headers) -> str | None:
        """The page's origin, if it is one of those; pictures and sounds of a page tell theirs as Referer only."""
        if not self._allowed:
            return None
        origin = headers.get("origin") or _origin_of(headers.get("referer", ""))
        return origin if origin and ("*" in self._allowed or origin.lower() in self._allowed) else None

    def preflight(self, method: str, headers: Headers) -> Response | None:
        """What a browser is told that asks before it sends; None where it does not ask."""
        if method != "OPTIONS" or "access-control-request-method" not in headers or self.of(headers) is None:
            return None
        told = {"Methods": _METHODS, "Headers": _SENT}
        return Response(
            status_code=204,
            headers={f"Access-Control-Allow-{name}": value for name, value in told.items()}
            | {"Access-Control-Max-Age": _REMEMBERED_S},
        )

    def mark(self, asked: Headers, answer: MutableHeaders) -> None:
        """Tell the browser that the page may have this answer."""
        if not self._allowed:
            return
        answer.add_vary_header("Origin")
        origin = self.of(asked)
        if origin is None:
            return
        answer["Access-Control-Allow-Origin"] = origin
        answer["Access-Control-Expose-Headers"] = _READ
        answer["Cross-Origin-Resource-Policy"] = "cross-origin"


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _origin_of(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else ""
