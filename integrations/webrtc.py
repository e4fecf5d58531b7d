"""WebRTC for the server, where the extra `webrtc` is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from services.live.peers import PeerMaker


def peer_maker(ice_servers: Sequence[str]) -> PeerMaker | None:
    """What answers offers; None where aiortc is not installed.

    Args:
        ice_servers: addresses of STUN and TURN servers ("stun:example.org:3478", "turn:user:secret@example.org").
    Raises:
        ValueError: one of them is no such address.
    """
    if find_spec("aiortc") is None:
        return None
    from integrations.webrtc_peer import Maker

    return Maker(ice_servers)
