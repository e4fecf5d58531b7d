"""Servers that speak OpenAI's protocol, named by the operator's settings alone: no user's text is part of an address.

Redirects are not followed, so that such a server cannot send us elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import logging
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2 as httpx

from services.errors import RemoteError

logger = logging.getLogger(__name__)

_CONNECT_S: Final = 5.0
_LONGEST_COMPLAINT: Final = 300


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a server is, and the key to it.

    Attributes:
        url: up to the version, as clients of OpenAI take it: "http://localhost:11434/v1".
        key: sent as `Authorization: Bearer`; empty: none.
        timeout_s: between two pieces of its answer.
        what: it is, for messages: "language model".
    """

    url: str
    key: str
    timeout_s: float
    what: str

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise ValueError(f"the address of the {self.what} is {self.url!r}; expected http(s)://HOST[:PORT]/v1")

    def address(self, path: str) -> str:
        """Of one of its services."""
        return f"{self.url.rstrip('/')}/{path}"

    @property
    def options(self) -> dict[str, Any]:
        """Of a client."""
        return {
            "headers": {"Authorization": f"Bearer {self.key}"} if self.key else {},
            "timeout": httpx.Timeout(self.timeout_s, connect=_CONNECT_S),
            "verify": self.url.startswith("https:"),  # else the system's certificates are loaded for nothing
            "follow_redirects": False,
        }

    def failed(self, error: httpx.HTTPError | httpx.InvalidURL) -> RemoteError:
        """What to say when it cannot be asked; where it is stays in the log."""
        logger.warning("the %s at %s: %s (%s)", self.what, self.url, error or "no answer", type(error).__name__)
        if isinstance(error, httpx.TimeoutException):
            return RemoteError(f"the {self.what} did not answer in time")
        return RemoteError(f"the {self.what} cannot be reached")

    def refused(self, status: int, body: bytes) -> RemoteError:
        """What to say when it answers with an error."""
        text = body[:4096].decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):  # then it is told as it is
            text = str(json.loads(text)["error"]["message"])
        logger.warning("the %s at %s answered %d: %s", self.what, self.url, status, text[:_LONGEST_COMPLAINT])
        return RemoteError(f"the {self.what} answered with status {status}; the server's log says more")
