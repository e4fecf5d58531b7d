"""Which key a request needs, and whether it has it: `Authorization: Bearer KEY`, `X-API-Key: KEY`, or the cookie that
the page got by /login."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException

from services.access.keys import Key, KeyRing, Scope
from services.access.quotas import Quotas

COOKIE: Final = "avatar328_key"
LOGIN: Final = "/login"
_FREE: Final = ("/livez", "/readyz", LOGIN)  # they do no work and tell nothing
_FREE_BELOW: Final = ("/static/",)
_SCOPES: Final[dict[str, Scope]] = {
    "/metrics": "operate",
    "/debug": "operate",
    "/openapi.json": "operate",
    "/docs": "operate",
    "/animate": "create",
    "/preload": "create",
}


class Gate:
    """Lets those in who have a key for what they want."""

    def __init__(self, keys: KeyRing, quotas: Quotas) -> None:
        """Take over what it asks."""
        self._keys = keys
        self.quotas = quotas

    def pass_in(self, path: str, method: str, headers: Headers) -> Key | None:
        """The key that opens this; None where none is needed.

        Raises:
            HTTPException: 401 without a valid key, 403 with one that is for something else.
            QuotaError: the key asked too often.
        """
        if path in _FREE or path.startswith(_FREE_BELOW):
            return None
        key = self._keys.find(_secret(headers))
        if key is None:
            raise HTTPException(
                401, "this server asks for a key: send it as Authorization: Bearer KEY, or log in at /login",
                headers={"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        needed = scope_of(path, method)
        if needed not in key.scopes:
            raise HTTPException(
                403, f"the key {key.name} may not {needed}; ask whoever runs this server for one that may"
            )
        self.quotas.ask(key.name)
        return key

    def opens(self, headers: Headers) -> bool:
        """Whether a request has a key at all."""
        return self.knows(_secret(headers))

    def knows(self, secret: str) -> bool:
        """Whether this is a key."""
        return self._keys.find(secret) is not None


def scope_of(path: str, method: str) -> Scope:
    """What a key must be for, to ask for this."""
    if path.startswith("/avatars") and method not in ("GET", "HEAD"):
        return "create"
    return next((scope for begin, scope in _SCOPES.items() if path == begin or path.startswith(f"{begin}/")), "speak")


def _secret(headers: Headers) -> str:
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return bearer.strip()
    if "x-api-key" in headers:
        return headers["x-api-key"]
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie else ""
