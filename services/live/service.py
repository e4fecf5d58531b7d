"""Live sessions of a server: who gets one, and what becomes of it when its client is cut off.

A session takes a place among the utterances of the server for as long as it lasts, and for RESUME_S longer when the
connection breaks, so that who comes back goes on where playback was.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from services.conversation.conversation import Conversation
from services.errors import SessionNotFoundError
from services.frame_generation_service import FrameGenerationService
from services.live.account import Account
from services.live.events import Event, LiveFrame
from services.live.h264 import H264Coder
from services.live.pictures import WholePictures
from services.live.programme import Programme
from services.live.session import Idle, LiveSession
from services.live.stream import Coded, LiveStream
from services.live.wire import Coder, Message, Tier
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.provenance import ProvenanceLog, SessionProvenance
from services.types import AvatarModel, TTSService
from services.utterance import new_utterance

RESUME_S: Final = 10.0
_IDLE_BYTES: Final = 64 << 20
_IDLE_QUALITY: Final = 95
_KEPT: Final = 1024  # events that may have been lost; more than lie between two acknowledgements

Sent = Coded[list[Message]]


@dataclass(eq=False, slots=True)
class Line:
    """A session, and what was sent of it and not acknowledged; of one event loop."""

    key: str  # whoever knows it may go on with the session
    session: LiveSession
    model: AvatarModel
    tier: Tier
    stream: LiveStream[list[Message]]
    record: SessionProvenance
    idle: bool = False
    connection: object | None = None  # who is connected now
    conversation: Conversation | None = None  # where somebody answers
    lost_at: float | None = None  # time.monotonic() since nobody is
    _kept: deque[Sent] = field(default_factory=lambda: deque(maxlen=_KEPT))

    @property
    def ended(self) -> bool:
        """Whether nothing of the session goes on any more."""
        return self.stream.ended

    def acknowledge(self, sequence: int) -> None:
        """A frame was shown: neither it nor what was before it has to be sent again."""
        self.session.acknowledge(sequence)
        place = self._place_of(lambda kept: kept <= sequence)
        for _ in range(place):
            self._kept.popleft()

    def _place_of(self, is_past: Callable[[int], bool]) -> int:
        """How many kept events lie before what comes after the last frame that is past."""
        past = [
            number for number, (event, _) in enumerate(self._kept, start=1)
            if isinstance(event, LiveFrame) and is_past(event.sequence)
        ]  # fmt: skip
        return past[-1] if past else 0

    async def outgoing(self, received: int | None) -> AsyncIterator[Sent]:
        """What is to be sent, until the session is over.

        Args:
            received: sequence of the last frame that whoever comes back has; None at first, -1 if there is none.
        """
        if received is not None:
            for sent in list(self._kept)[self._place_of(lambda kept: kept <= received) :]:
                yield sent
        async for sent in self.stream:
            self._kept.append(sent)
            yield sent

    def is_stale(self, event: Event) -> bool:
        """Whether an event was cleared since it was taken."""
        return self.session.is_stale(event)


@dataclass(eq=False, slots=True)
class Channel:
    """A session as a programme, for a transport that keeps time itself."""

    key: str  # whoever knows it may speak
    session: LiveSession
    model: AvatarModel
    programme: Programme
    record: SessionProvenance
    lost_at: float | None = None

    @property
    def ended(self) -> bool:
        return self.programme.ended


class LiveService:
    """Opens, keeps and closes sessions; safe to use from several threads."""

    def __init__(
        self,
        open_avatar: Callable[[str], AvatarModel],
        take_place: Callable[[], None],
        give_place_back: Callable[[], None],
        frames: FrameGenerationService,
        tts: TTSService,
        metrics: ServiceMetrics,
        provenance: ProvenanceLog,
        *,
        jpeg_quality: int,
        stall_s: float,
        most_waiting_s: float,
        most_waiting_characters: int,
    ) -> None:
        """Take over what it works with.

        Args:
            open_avatar: loads one that may be shown here.
            take_place, give_place_back: a session has one while it lasts.
            frames, tts, metrics: make and count.
            provenance: who had which avatar say what.
            jpeg_quality: of pictures.
            stall_s, most_waiting_s, most_waiting_characters: see LiveSession.
        """
        self._open_avatar, self._frames, self._tts = open_avatar, frames, tts
        self._provenance = provenance
        self._take_place, self._give_place_back, self._metrics = take_place, give_place_back, metrics
        self._jpeg_quality, self._stall_s = jpeg_quality, stall_s
        self._most = {"most_waiting_s": most_waiting_s, "most_waiting_characters": most_waiting_characters}
        self._idle = IdleFrames(_IDLE_BYTES, _IDLE_QUALITY)  # to be coded again, so better than those that are sent
        self._lines: dict[str, Line | Channel] = {}
        self._changing = threading.Lock()

    def open(
        self, avatar: str, tier: Tier, idle: bool, spend: Callable[[float], None] | None = None, who: str = "local"
    ) -> Line:
        """A new session; loads the avatar if need be.

        Args:
            avatar: its name.
            tier: "jpeg" for whole pictures, "h264" for a video of them, "patch" for what the sound changes.
            idle: send also frames in which nothing is said, without their picture.
            spend: told how many seconds were said, while they are.
            who: asks, see services.utterance.Begin.
        Raises:
            BusyError, StoppingError: there is no place.
            ServiceError: the avatar cannot be loaded or shown here; see AnimationService.open.
        """
        model, record = self._take(avatar, who)
        try:
            session = self._session(model, tier == "patch", "bare" if idle else "none", self._stall_s)
            manifest = model.avatar.manifest
            h264 = H264Coder(manifest.width, manifest.height) if tier == "h264" else None
            code = Coder(self._jpeg_quality, Account(self._metrics, spend, record), h264)
            stream = session.frames(code, lambda: self._ended(record))
        except BaseException:
            self._ended(record)
            raise
        line = Line(secrets.token_urlsafe(16), session, model, tier, stream, record, idle)
        with self._changing:
            self._lines[line.key] = line
        return line

    def open_programme(
        self,
        avatar: str,
        rate_hz: int,
        spend: Callable[[float], None] | None = None,
        who: str = "local",
        on_event: Callable[[Event], None] | None = None,
    ) -> Channel:
        """A new session that somebody ticks; what is told and raised is as `open` says.

        Args:
            avatar: its name.
            rate_hz: of the sound.
            spend, who: see `open`.
            on_event: see Programme.
        """
        model, record = self._take(avatar, who)
        try:
            session = self._session(model, False, "bare", None)
            account = Account(self._metrics, spend, record)
            programme = Programme(
                session, WholePictures(model, self._idle), rate_hz, account, on_event, lambda: self._ended(record)
            )
        except BaseException:
            self._ended(record)
            raise
        channel = Channel(secrets.token_urlsafe(16), session, model, programme, record)
        with self._changing:
            self._lines[channel.key] = channel
        return channel

    def channel(self, key: str) -> Channel:
        """One that is open.

        Raises:
            SessionNotFoundError: there is none.
        """
        channel = self._lines.get(key)
        if not isinstance(channel, Channel) or channel.ended:
            raise SessionNotFoundError("there is no such session any more; begin another")
        return channel

    def close_channel(self, channel: Channel) -> None:
        """Nobody watches any more."""
        self._close(channel)

    def _take(self, avatar: str, who: str) -> tuple[AvatarModel, SessionProvenance]:
        """An avatar and a place for it."""
        self.forget_lost()
        model = self._open_avatar(avatar)
        self._take_place()
        self._metrics.sessions.inc()
        return model, SessionProvenance(self._provenance, new_utterance(), who, avatar)

    def _session(self, model: AvatarModel, patches: bool, idle: Idle, stall_s: float | None) -> LiveSession:
        return LiveSession(
            self._frames,
            model,
            self._tts,
            patches=patches,
            idle=idle,
            stall_s=stall_s,
            most_waiting_s=self._most["most_waiting_s"],
            most_waiting_characters=int(self._most["most_waiting_characters"]),
        )

    def resume(self, key: str) -> Line:
        """The session of a client that comes back.

        Raises:
            SessionNotFoundError: there is none any more.
        """
        self.forget_lost()
        line = self._lines.get(key)
        if not isinstance(line, Line) or line.ended:
            raise SessionNotFoundError(f"this session is over: it waits {RESUME_S:g} s for its client; begin another")
        return line

    def leave(self, line: Line, connection: object, for_good: bool) -> None:
        """A connection of a session is over; another one may have taken its place."""
        if line.connection is not connection:
            return
        line.connection, line.lost_at = None, time.monotonic()
        if for_good:
            self._close(line)

    def forget_lost(self) -> None:
        """Close the sessions whose client did not come back."""
        now = time.monotonic()
        with self._changing:
            lines = list(self._lines.values())
        for line in lines:
            if line.ended or (line.lost_at is not None and now - line.lost_at >= RESUME_S):
                self._close(line)

    def forget(self, recordings: Collection[str]) -> None:
        """Avatars of these recordings (SHA-256) were revoked: their sessions are over."""
        with self._changing:
            lines = list(self._lines.values())
        for line in lines:
            if line.model.avatar.manifest.source_sha256 in recordings:
                self._close(line)

    def stop(self, within_s: float) -> None:
        """The server stops: who says nothing ends now, who speaks may end by itself within so many seconds."""
        with self._changing:
            lines = list(self._lines.values())
        for line in lines:
            if not line.session.is_speaking:
                self._close(line)
        timer = threading.Timer(within_s, self.close, [0.0])
        timer.daemon = True
        timer.start()

    def close(self, wait_s: float) -> None:
        """Close all, and wait for their end."""
        with self._changing:
            lines = list(self._lines.values())
        for line in lines:
            self._close(line)
        until = time.monotonic() + wait_s
        for line in lines:
            line.session.close(max(until - time.monotonic(), 0.01))

    def _close(self, line: Line | Channel) -> None:
        with self._changing:
            self._lines.pop(line.key, None)
        line.session.close()

    def _ended(self, record: SessionProvenance) -> None:
        record.close()
        self._metrics.sessions.dec()
        self._give_place_back()
