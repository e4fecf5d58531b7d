"""Answers that are sent while they are made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Mapping
from typing import Any, Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from services.errors import StalledError
from services.http.schemas import Problem
from services.streaming import mjpeg, mp4, ndjson
from services.streaming.events import Event
from services.streaming.mjpeg import encode_mjpeg
from services.streaming.mp4 import encode_fragmented_mp4
from services.streaming.ndjson import encode_ndjson, line
from services.streaming.pump import Pump

T = TypeVar("T")
Encoder = Callable[[Generator[Event, None, None]], Generator[bytes, None, None]]

logger = logging.getLogger(__name__)

CLIENT_CLOSED_REQUEST: Final = 499  # nobody reads it; the name is nginx's
FORMATS: Final = {"ndjson": ndjson.MEDIA_TYPE, "mp4": mp4.MEDIA_TYPE, "mjpeg": mjpeg.MEDIA_TYPE}


class PumpedResponse(StreamingResponse):
    """Sends what a pump makes; a client that leaves closes the pump at once."""

    def __init__(self, pump: Pump[bytes], first: bytes, media_type: str, headers: Mapping[str, str]) -> None:
        """Prepare.

        Args:
            pump: what it makes after `first`.
            first: taken from it already, so that what is wrong before it has a status of its own.
            media_type: of the whole.
            headers: further ones.
        """
        self._pump = pump
        super().__init__(_after(first, pump), headers=headers, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except StalledError as error:  # its status is sent: all that can still be done is to cut it off
            logger.warning("a client was given up: %s", error)
        finally:
            self._pump.close()


async def _after(first: bytes, pump: Pump[bytes]) -> AsyncGenerator[bytes, None]:
    yield first
    async for piece in pump:
        yield piece


async def pumped(request: Request, pump: Pump[bytes], media_type: str, headers: Mapping[str, str]) -> Response:
    """Wait for the first piece and answer; a client that leaves before it closes the pump at once.

    Raises:
        Exception: what the pump's generator raised before its first piece.
    """
    first = await _unless_cancelled(request, pump, _first(pump))
    if first is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return PumpedResponse(pump, first, media_type, headers)


async def pumped_whole(request: Request, pump: Pump[bytes]) -> bytes | None:
    """Wait for everything; None if the client left before, which closes the pump at once.

    Raises:
        Exception: what the pump's generator raised.
    """
    return await _unless_cancelled(request, pump, _whole(pump))


async def _unless_cancelled(request: Request, pump: Pump[bytes], wanted: Coroutine[Any, Any, T]) -> T | None:
    waiting = asyncio.create_task(wanted), asyncio.create_task(_disconnected(request.receive))
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        made, cancelled = waiting
        if made.done():
            return made.result()
        cancelled.result()
        pump.close()
        return None
    except BaseException:
        pump.close()
        raise
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def _first(pump: Pump[bytes]) -> bytes:
    return await anext(pump)


async def _whole(pump: Pump[bytes]) -> bytes:
    return b"".join([piece async for piece in pump])


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def encoder(media_type: str, jpeg_quality: int) -> Encoder:
    """What turns an utterance into bytes of this type."""
    if media_type == mp4.MEDIA_TYPE:
        return encode_fragmented_mp4
    if media_type == mjpeg.MEDIA_TYPE:
        return lambda events: encode_mjpeg(events, jpeg_quality)
    return lambda events: encode_ndjson(events, jpeg_quality)


def ended_by_problem(
    lines: Generator[bytes, None, None], describe: Callable[[Exception], Problem]
) -> Generator[bytes, None, None]:
    """NDJSON: after the header a problem has no status any more, so it is the last line."""
    begun = False
    try:
        for one in lines:
            begun = True
            yield one
    except Exception as error:  # a session's outer edge
        if not begun:
            raise
        logger.warning("an utterance ended early: %s", error)
        yield line({"type": "error", "problem": describe(error).model_dump(exclude_none=True)})
    finally:
        lines.close()


def disposition(name: str, media_type: str, download: bool) -> dict[str, str]:
    """Headers that make a browser save the answer."""
    ending = next(ending for ending, known in FORMATS.items() if known == media_type)
    return {"Content-Disposition": f'attachment; filename="{name}.{ending}"'} if download else {}
