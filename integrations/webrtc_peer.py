"""A programme over WebRTC: one video and one Opus track on one clock (extra `webrtc`).

Both tracks get every tick from the same place, so neither can be ahead of the other for longer than a network makes
it: their time stamps count the same ticks, and the first of both is the tick at which the connection stood.

Axes: S audio samples.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpSender,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from services.errors import OfferRejectedError
from services.live.peers import Peer
from services.live.programme import Programme

logger = logging.getLogger(__name__)

RATE_HZ: Final = 48_000  # of Opus
_PACKET_S: Final = RATE_HZ // 50  # samples of 20 ms
_CLOCK: Final = Fraction(1, 90_000)
_PICTURES_WAIT: Final = 3  # for a coder that is too slow; then the oldest is left out, sound never is
_COMES_WITHIN_S: Final = 20.0
_BEHIND_S: Final = 0.5  # an event loop that stood still for longer goes on from now
_PREFERRED: Final = ("video/H264", "video/VP8")
_SERVER: Final = re.compile(r"(stuns?|turns?):(?:([^:@\s]+):([^@\s]+)@)?([^@\s]+)")


class _Track(MediaStreamTrack):
    """Frames that somebody else times."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__()
        self.kind = kind
        self._frames: asyncio.Queue[tuple[av.VideoFrame | av.AudioFrame, int, Fraction] | None] = asyncio.Queue()
        self._most = most

    def put(self, frame: av.VideoFrame | av.AudioFrame, pts: int, time_base: Fraction) -> None:
        if self._frames.qsize() >= self._most:
            self._frames.get_nowait()
        self._frames.put_nowait((frame, pts, time_base))

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        given = await self._frames.get() if self.readyState == "live" else None
        if given is None:
            raise MediaStreamError
        frame, frame.pts, frame.time_base = given[0], given[1], given[2]
        return frame

    def stop(self) -> None:
        super().stop()
        self._frames.put_nowait(None)


class WebRtcPeer:
    """One viewer."""

    def __init__(self, connection: RTCPeerConnection, programme: Programme, on_over: Callable[[], None]) -> None:
        """Wait for the connection to stand."""
        self._connection, self._programme, self._on_over = connection, programme, on_over
        self._video, self._audio = _Track("video", _PICTURES_WAIT), _Track("audio", 50)
        self._closing = False
        self._playing: asyncio.Task[None] | None = None
        self._waiting = asyncio.create_task(self._give_up())
        connection.on("connectionstatechange", self._changed)

    async def answer(self, offer_sdp: str) -> str:
        """Take an offer; returns the answer.

        Raises:
            OfferRejectedError: it cannot be read, or wants neither picture nor sound.
        """
        connection = self._connection
        try:
            await connection.setRemoteDescription(RTCSessionDescription(offer_sdp, "offer"))
            wanted = {one.kind: one for one in connection.getTransceivers()}
            if "video" not in wanted:
                raise OfferRejectedError("the offer has no video; offer to receive one video and one audio track")
            self._prefer_h264(wanted["video"])
            for track in (self._video, self._audio):
                if track.kind in wanted:
                    connection.addTrack(track)
            await connection.setLocalDescription(await connection.createAnswer())
        except OfferRejectedError:
            raise
        except Exception as error:  # aiortc raises whatever its parser meets
            raise OfferRejectedError(f"the offer cannot be answered ({error}); send SDP of WebRTC") from error
        return str(connection.localDescription.sdp)

    async def close(self) -> None:
        """It is over."""
        if self._closing:
            return
        self._closing = True
        self._on_over()
        for task in (self._playing, self._waiting):
            if task is not None and task is not asyncio.current_task():
                task.cancel()
        for track in (self._video, self._audio):
            track.stop()
        await self._connection.close()

    @staticmethod
    def _prefer_h264(video: RTCRtpTransceiver) -> None:
        known = RTCRtpSender.getCapabilities("video").codecs
        video.setCodecPreferences([codec for kind in _PREFERRED for codec in known if codec.mimeType == kind])

    async def _changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected" and self._playing is None:
            self._waiting.cancel()
            self._playing = asyncio.create_task(self._play())
        elif state in ("failed", "closed"):
            await self.close()

    async def _give_up(self) -> None:
        await asyncio.sleep(_COMES_WITHIN_S)
        logger.info("a viewer did not connect within %g s", _COMES_WITHIN_S)
        await self.close()

    async def _play(self) -> None:
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        try:
            while not self._programme.ended:
                moment = self._programme.tick()
                self._video.put(moment.picture, moment.number * int(1 / _CLOCK) // FPS, _CLOCK)
                for half, pcm_S in enumerate(np.split(moment.pcm_S, 2)):
                    at = moment.number * 2 * _PACKET_S + half * _PACKET_S
                    self._audio.put(_sound(pcm_S), at, Fraction(1, RATE_HZ))
                due_s += 1 / FPS
                if loop.time() - due_s > _BEHIND_S:
                    due_s = loop.time()
                await asyncio.sleep(due_s - loop.time())
        except Exception:  # the session's outer edge
            logger.exception("a programme ended")
        await self.close()


class Maker:
    """Answers offers."""

    def __init__(self, ice_servers: Sequence[str]) -> None:
        """Read the addresses; see `peer_maker`."""
        self._configuration = RTCConfiguration([_ice_server(address) for address in ice_servers])

    async def __call__(self, offer_sdp: str, programme: Programme, on_over: Callable[[], None]) -> tuple[Peer, str]:
        """See services.live.peers.PeerMaker."""
        peer = WebRtcPeer(RTCPeerConnection(self._configuration), programme, on_over)
        try:
            return peer, await peer.answer(offer_sdp)
        except BaseException:
            with contextlib.suppress(ConnectionError):
                await peer.close()
            raise


def _ice_server(address: str) -> RTCIceServer:
    found = _SERVER.fullmatch(address)
    if found is None:
        raise ValueError(
            f"{address!r} is no STUN or TURN server; expected stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT"
        )
    kind, user, secret, host = found.groups()
    return RTCIceServer(f"{kind}:{host}", username=user, credential=secret)


def _sound(pcm_S: NDArray[np.int16]) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm_S[None]), format="s16", layout="mono")
    frame.sample_rate = RATE_HZ
    return frame
