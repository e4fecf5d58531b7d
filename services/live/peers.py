"""What a live programme needs of WebRTC. Whoever starts the server hands it in; see integrations/webrtc.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.live.programme import Programme


class Peer(Protocol):
    """The other end of a programme."""

    async def close(self) -> None:
        """Nobody watches any more."""


class PeerMaker(Protocol):
    """Answers an offer."""

    async def __call__(self, offer_sdp: str, programme: Programme, on_over: Callable[[], None]) -> tuple[Peer, str]:
        """Begin to send a programme.

        Args:
            offer_sdp: what the other end asks for.
            programme: what it gets, at 48 kHz.
            on_over: called once, in the event loop, when the other end is gone or never came.
        Returns:
            The peer, and the answer (SDP).
        Raises:
            OfferRejectedError: it asks for nothing that is sent here.
        """
