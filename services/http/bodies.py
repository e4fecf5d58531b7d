"""The body of a request while it arrives: counted, not too slow, and a large one only where there is a place for it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Message, Receive

from services.errors import TooMuchError
from services.streaming.slots import Slots

_GRACE_S: Final = 10.0  # before the rate counts


class Body:
    """What a client sends."""

    def __init__(self, receive: Receive, limit_bytes: int, least_bytes_s: float, places: Slots | None) -> None:
        """Prepare.

        Args:
            receive: of the server.
            limit_bytes: largest.
            least_bytes_s: a slower one is given up.
            places: for bodies of this kind; None if it needs none.
        """
        self._receive = receive
        self._limit_bytes, self._least_bytes_s = limit_bytes, least_bytes_s
        self._places = places
        self._has_place = self._over = False
        self._received = 0
        self._began: float | None = None

    def check_length(self, length: str) -> None:
        """Compare what the header says.

        Raises:
            TooMuchError: it is too large.
        """
        if length.isdecimal() and int(length) > self._limit_bytes:
            raise self._too_large()

    def take_place(self) -> None:
        """Take the place that it needs, until it has arrived.

        Raises:
            BusyError: there is none.
        """
        if self._places is not None:
            self._places.take()
            self._has_place = True

    def give_place_back(self) -> None:
        """It has arrived, or will not."""
        if self._has_place and self._places is not None:
            self._has_place = False
            self._places.give_back()

    async def receive(self) -> Message:
        """The next part.

        Raises:
            HTTPException: 413 too large, 408 too slow.
        """
        if self._over:
            return await self._receive()
        now = time.monotonic()
        self._began = self._began or now
        rest_s = self._began + _GRACE_S + self._received / self._least_bytes_s - now
        try:
            async with asyncio.timeout(rest_s):  # wait_for of Python 3.11 can swallow that the client left
                message = await self._receive()
        except TimeoutError as error:
            self.give_place_back()
            raise HTTPException(
                408,
                f"the body came more slowly than the {self._least_bytes_s / 1024:.0f} KiB/s that are waited for",
            ) from error
        self._received += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._over = True
            self.give_place_back()
        if self._received > self._limit_bytes:
            raise HTTPException(413, str(self._too_large()))
        return message

    def _too_large(self) -> TooMuchError:
        return TooMuchError(f"the request's body is larger than the {self._limit_bytes} bytes that are taken here")
