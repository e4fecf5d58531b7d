"""WHEP: a viewer sends an offer and gets the avatar over WebRTC; whoever has its address lets it speak.

POST /whep                  SDP in, SDP out; Location is the session
POST /whep/SESSION/speak    say a text
POST /whep/SESSION/cancel   say nothing more
DELETE /whep/SESSION        it is over
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from fastapi import Path as InPath
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.errors import SessionNotFoundError
from services.http import schemas
from services.http.dependencies import KnownSettings, Parts, content_type
from services.live.events import Event, Failed
from services.live.peers import Peer, PeerMaker
from services.live.service import Channel

router = APIRouter(tags=["animation"], include_in_schema=False)
logger = logging.getLogger(__name__)

PATH: Final = "/whep"
SDP: Final = "application/sdp"
_RATE_HZ: Final = 48_000
Session = Annotated[str, InPath(description="of the Location that POST /whep answered", max_length=64)]


class Viewers:
    """Who watches; of one event loop."""

    def __init__(self, make: PeerMaker | None) -> None:
        """Nobody; `make` is None where WebRTC is not installed."""
        self.make = make
        self._peers: dict[str, Peer] = {}

    def add(self, key: str, peer: Peer) -> None:
        """Somebody watches."""
        self._peers[key] = peer

    def forget(self, key: str) -> None:
        """Not any more."""
        self._peers.pop(key, None)

    async def close(self, key: str) -> None:
        """Send somebody away.

        Raises:
            SessionNotFoundError: there is nobody of that name.
        """
        peer = self._peers.pop(key, None)
        if peer is None:
            raise SessionNotFoundError("there is no such session any more")
        await peer.close()

    async def close_all(self) -> None:
        """The server stops."""
        peers, self._peers = list(self._peers.values()), {}
        await asyncio.gather(*(peer.close() for peer in peers))


class Speak(BaseModel):
    """A text to be said."""

    model_config = ConfigDict(extra="forbid")

    text: schemas.Text
    voice: schemas.VoiceName = None
    speed: schemas.Speed = 1.0


class Said(BaseModel):
    """Which utterance it became."""

    epoch: int


class Cancelled(BaseModel):
    """What was being said, and how much of it was sent."""

    epoch: int
    samples: int = Field(description="at the voice's rate")
    interrupted: bool


@router.post(PATH, status_code=201, dependencies=[content_type(SDP)])
async def watch(
    request: Request,
    parts: Parts,
    settings: KnownSettings,
    avatar: Annotated[schemas.AvatarName, Query()] = None,
) -> Response:
    """Answer an offer."""
    viewers: Viewers = request.app.state.viewers
    if viewers.make is None:
        raise HTTPException(501, "this server has no WebRTC; install the extra webrtc")
    offer = (await request.body()).decode("utf-8", "replace")
    gate, key = request.app.state.gate, getattr(request.state, "key", None)
    spend = None
    if gate is not None and key is not None:
        gate.quotas.check_seconds(key.name)
        spend = partial(gate.quotas.spend, key.name)
    who = key.name if key is not None else "anyone" if settings.public else "local"
    name = settings.models.default_avatar if avatar is None else avatar
    channel: Channel = await run_in_threadpool(parts.live.open_programme, name, _RATE_HZ, spend, who, _tell)

    def over() -> None:
        viewers.forget(channel.key)
        parts.live.close_channel(channel)

    try:
        peer, answer = await viewers.make(offer, channel.programme, over)
    except BaseException:
        parts.live.close_channel(channel)
        raise
    viewers.add(channel.key, peer)
    headers = {"Location": f"{PATH}/{channel.key}", "Cache-Control": "no-store"}
    return Response(answer, 201, headers, SDP)


@router.post(PATH + "/{session}/speak", status_code=202)
async def speak(request: Request, parts: Parts, session: Session, wish: Speak) -> Said:
    """Say a text after what is being said."""
    channel = parts.live.channel(session)
    gate, key = request.app.state.gate, getattr(request.state, "key", None)
    if gate is not None and key is not None:
        gate.quotas.check_seconds(key.name)
    epoch = await run_in_threadpool(channel.session.speak, wish.text, wish.voice, wish.speed)
    channel.record.given(epoch, "text", wish.text.encode())
    return Said(epoch=epoch)


@router.post(PATH + "/{session}/cancel")
async def cancel(parts: Parts, session: Session) -> Cancelled:
    """Say nothing more of all that was given."""
    finished = parts.live.channel(session).session.clear()
    return Cancelled(epoch=finished.epoch, samples=finished.samples, interrupted=finished.interrupted)


@router.delete(PATH + "/{session}", status_code=204)
async def leave(request: Request, session: Session) -> None:
    """It is over."""
    viewers: Viewers = request.app.state.viewers
    await viewers.close(session)


def _tell(event: Event) -> None:
    if isinstance(event, Failed):
        logger.warning("an utterance cannot be said: %s", event.error)
