"""Avatars of photos that are kept for a while under a token that nobody can guess, in memory only.

One that is dropped while it speaks lives on for those streams, and is freed with the last of them.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from services.errors import TokenNotFoundError, TooMuchError
from services.types import PhotoModel

_TOKEN_BYTES: Final = 24


@dataclass(frozen=True, eq=False, slots=True)
class Preloaded:
    """One of them."""

    token: str
    model: PhotoModel
    expires_at: float  # seconds since 1970


class PreloadedPhotos:
    """Those used last, within a number of bytes and for a time; safe to use from several threads."""

    def __init__(self, budget_bytes: int, keep_s: float, clock: Callable[[], float] = time.time) -> None:
        """Set the limits.

        Args:
            budget_bytes: for all of them.
            keep_s: how long each is kept, however often it is used.
            clock: seconds since 1970.
        """
        self._budget_bytes = budget_bytes
        self._keep_s = keep_s
        self._clock = clock
        self._kept: OrderedDict[str, Preloaded] = OrderedDict()  # the one used last is last
        self._changing = threading.Lock()

    @property
    def used_bytes(self) -> int:
        """What they take together."""
        with self._changing:
            return self._used_bytes()

    def keep(self, model: PhotoModel) -> Preloaded:
        """Keep one; those used longest ago make room.

        Raises:
            TooMuchError: it alone is larger than the budget.
        """
        if model.memory_bytes > self._budget_bytes:
            raise TooMuchError(
                f"this avatar takes {model.memory_bytes} bytes, and {self._budget_bytes} are there for all that are "
                "kept; send the photo with each request, or a smaller one"
            )
        kept = Preloaded(secrets.token_urlsafe(_TOKEN_BYTES), model, self._clock() + self._keep_s)
        with self._changing:
            self._forget_expired()
            self._kept[kept.token] = kept
            while self._used_bytes() > self._budget_bytes:
                self._kept.popitem(last=False)
        return kept

    def find(self, token: str) -> Preloaded:
        """The avatar of a token, which becomes the one used last.

        Raises:
            TokenNotFoundError: there is none, or not any more.
        """
        with self._changing:
            self._forget_expired()
            if token not in self._kept:
                raise _unknown()
            self._kept.move_to_end(token)
            return self._kept[token]

    def drop(self, token: str) -> None:
        """Forget one.

        Raises:
            TokenNotFoundError: see `find`.
        """
        with self._changing:
            self._forget_expired()
            if self._kept.pop(token, None) is None:
                raise _unknown()

    def clear(self) -> int:
        """Forget all; returns how many."""
        with self._changing:
            count = len(self._kept)
            self._kept.clear()
            return count

    def forget(self, photos: Collection[str]) -> None:
        """Forget the avatars of these photos (SHA-256)."""
        with self._changing:
            for token, kept in list(self._kept.items()):
                if kept.model.avatar.manifest.source_sha256 in photos:
                    del self._kept[token]

    def forget_expired(self) -> None:
        """To be called now and then: a photo that nobody asks for must go, too."""
        with self._changing:
            self._forget_expired()

    def _forget_expired(self) -> None:
        now = self._clock()
        for token in [token for token, kept in self._kept.items() if kept.expires_at <= now]:
            del self._kept[token]

    def _used_bytes(self) -> int:
        return sum(kept.model.memory_bytes for kept in self._kept.values())


def _unknown() -> TokenNotFoundError:
    return TokenNotFoundError(
        "nothing is kept under this token, or not any more; send the photo again to POST /preload"
    )
