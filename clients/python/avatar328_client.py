"""A live session with an avatar328 server (docs/protocol.md): text or sound in, pictures and sound out.

    async with await LiveClient.connect("http://localhost:8000") as avatar:
        await avatar.speak("Hello there.")
        async for event in avatar:
            if isinstance(event, Frame):
                ...                                 # show event.picture, play event.sound
                await avatar.shown(event)           # the server makes two seconds more at most
            elif event["type"] == "finished":
                break

The sound's samples are the only clock: show a frame when its first sample is heard. In the tier "patch",
`frame.picture` is drawn at `frame.place` over the idle picture of `frame.avatar_frame`, which `template` fetches once.
In the tier "h264" pictures are one video: give each to a decoder in the order in which it came, also one that is not
shown (PyAV: `av.CodecContext.create("h264", "r").decode(av.Packet(frame.picture))`).
A connection that breaks is made anew, within the seconds that the server waits, and goes on where it was.
"""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlencode

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

VERSION: Final = 1
HEADER: Final = struct.Struct("<BBHIIIQ")  # type, flags, avatar frame, epoch, sequence, length, first sample
_PLACE: Final = struct.Struct("<HHHH")
_SOUND, _JPEG, _PATCH, _H264, _AUDIO = 1, 2, 3, 4, 16
_BACKWARDS, _LAST, _IDLE, _HELD, _KEY = 1, 2, 4, 8, 16
_TEMPLATE_FRAMES: Final = 250  # that the server gives at a time


class ProblemError(Exception):
    """The server refused; `problem` is its problem document (RFC 9457)."""

    def __init__(self, message: dict[str, Any]) -> None:
        """Of an error message."""
        self.problem: dict[str, Any] = message["problem"]
        self.retry_after_s: float | None = message.get("retry_after_s")
        super().__init__(f"{self.problem['title']}: {self.problem.get('detail', '')}")


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture and its sound."""

    epoch: int
    sequence: int
    first_sample: int  # of its sound within the epoch
    sound: bytes  # PCM s16le mono, at the epoch's rate; empty where nothing is said
    avatar_frame: int
    direction: int  # in which the walk through the template leaves this frame
    picture: bytes  # coded: whole, or what lies at `place`; empty where it is the idle picture
    place: tuple[int, int, int, int] | None  # left, top, width, height
    last: bool
    idle: bool
    held: bool = False  # the mouth of the frame before it: the server is too slow for every mouth
    codec: str = "jpeg"  # or "h264": an access unit (annex B), to be decoded after those before it
    key: bool = False  # an access unit that needs none before it


Event = Frame | dict[str, Any]  # a frame, or a message: begin, caption, finished, cancelled, error


class LiveClient:
    """One session; for one event loop."""

    def __init__(self, server: str, hello: dict[str, Any], key: str | None) -> None:
        """Not connected yet; use `connect`."""
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._server = server.rstrip("/")
        self._hello = hello
        self._socket: ClientConnection | None = None
        self.welcome: dict[str, Any] = {}
        self.received_bytes = 0
        self.received = -1  # sequence of the last frame
        self._valid_from = 0  # older epochs were cancelled
        self._sound: dict[int, tuple[bytes, int]] = {}
        self._waiting: deque[Event] = deque()  # events that came while an answer was waited for

    @classmethod
    async def connect(
        cls,
        server: str,
        avatar: str | None = None,
        tiers: Sequence[str] = ("patch", "jpeg"),
        idle: bool = False,
        key: str | None = None,
    ) -> LiveClient:
        """Begin a session.

        Args:
            server: its address, "http://localhost:8000".
            avatar: its name; by default the server's default one.
            tiers: "patch", "jpeg", "h264"; the first one that the server knows is taken.
            idle: send frames in which nothing is said, too.
            key: of a server that asks for one.
        Raises:
            ValueError: the address does not begin with http:// or https://.
            ProblemError: the server refused; a busy one says in `retry_after_s` when to try again.
            OSError, websockets.exceptions.WebSocketException: there is no such server.
        """
        if not server.startswith(("http://", "https://")):
            raise ValueError(f"the server's address is {server!r}; expected http:// or https://")
        wishes = {"type": "hello", "version": VERSION, "avatar": avatar, "tiers": list(tiers), "idle": idle}
        client = cls(server, wishes, key)
        await client._greet(None)
        return client

    async def _greet(self, resume: dict[str, Any] | None) -> None:
        address = self._server.replace("http", "ws", 1) + "/ws"
        if resume is not None and self.welcome.get("route"):  # of several servers, the one that has the session
            address += f"?{urlencode({'route': self.welcome['route']})}"
        self._socket = await connect(
            address,
            additional_headers=self._headers,
            compression=None,
            max_size=None,
            max_queue=None,  # the server is ahead by two seconds at most; a full queue would keep `close` waiting
        )
        try:
            await self._send({**self._hello, "resume": resume})
            answer = json.loads(await self._socket.recv())
            if answer["type"] == "error":
                raise ProblemError(answer)
        except BaseException:
            await self._socket.close()
            raise
        self.welcome = answer

    async def reconnect(self) -> None:
        """Go on with the session over a new connection.

        Raises:
            ProblemError: the server did not wait any longer.
        """
        if self._socket is not None:
            self._socket.transport.abort()
        self._sound.clear()
        await self._greet({"session": self.welcome["session"], "sequence": self.received})

    async def __aenter__(self) -> LiveClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the session."""
        if self._socket is not None:
            await self._socket.close()

    # --- what is said -----------------------------------------------------------------------------
    async def speak(self, text: str, voice: str | None = None, speed: float = 1.0) -> None:
        """Say a whole text."""
        await self._send({"type": "speak", "text": text, "voice": voice, "speed": speed})

    async def append_text(self, text: str, voice: str | None = None, speed: float = 1.0) -> None:
        """Say a text while it is written, cut anywhere; `end` ends it."""
        await self._send({"type": "append_text", "text": text, "voice": voice, "speed": speed})

    async def begin_audio(self, sample_rate: int) -> None:
        """The sound that follows is at this rate, and begins an utterance."""
        await self._send({"type": "append_audio", "sample_rate": sample_rate})

    async def append_audio(self, pcm_s16le: bytes) -> None:
        """Say sound as it is, in pieces of any number of whole samples; `end` ends it."""
        await self._send_bytes(HEADER.pack(_AUDIO, 0, 0, 0, 0, len(pcm_s16le), 0) + pcm_s16le)

    async def ask(self, text: str | None = None, voice: str | None = None, speed: float = 1.0) -> None:
        """Have a question answered, where `welcome["conversation"]` says that somebody answers; without a text it is
        what was heard. The answer comes as events "answer", beside its frames. To interrupt, `cancel` first.
        """
        await self._send({"type": "ask", "text": text, "voice": voice, "speed": speed})

    async def listen(self, sample_rate: int) -> None:
        """The sound that follows (`append_audio`) is at this rate, and a question; `ask` ends it."""
        await self._send({"type": "listen", "sample_rate": sample_rate})

    async def end(self) -> None:
        """What is being given is whole."""
        await self._send({"type": "end"})

    async def cancel(self, samples: int | None = None) -> dict[str, Any]:
        """Say nothing more of what was given; returns the answer, with the number of samples that were played.

        Args:
            samples: of what is being said that were played, if that is known better than by the frames shown.
        """
        await self._send({"type": "cancel", "samples": samples})
        while True:
            event = await self._next()
            if isinstance(event, dict) and event["type"] == "cancelled":
                self._valid_from = event["valid_from"]
                self._waiting = deque(kept for kept in self._waiting if not self._is_stale(kept))
                return event
            self._waiting.append(event)

    async def stands_at(self, frame: int, direction: int = 1, lead: int = 0) -> None:
        """Nothing is said, and this template frame is on the screen; speech begins `lead` frames later in the walk."""
        await self._send({"type": "idle", "frame": frame, "direction": direction, "lead": lead})

    async def shown(self, frame: Frame) -> None:
        """A frame is on the screen."""
        await self._send({"type": "shown", "sequence": frame.sequence})

    # --- what comes -------------------------------------------------------------------------------
    async def __aiter__(self) -> AsyncIterator[Event]:
        while True:
            if self._waiting:
                yield self._waiting.popleft()
                continue
            try:
                event = await self._next()
            except ConnectionClosed as closed:
                if closed.rcvd is not None:  # the server ended it
                    return
                await self.reconnect()
                continue
            if not self._is_stale(event):
                yield event

    def _is_stale(self, event: Event) -> bool:
        if isinstance(event, Frame):
            return event.epoch < self._valid_from
        return event["type"] in ("begin", "caption") and event["epoch"] < self._valid_from

    async def _next(self) -> Event:
        assert self._socket is not None
        while True:
            message = await self._socket.recv()
            self.received_bytes += len(message)
            if isinstance(message, str):
                event: dict[str, Any] = json.loads(message)
                if event["type"] == "error" and event["fatal"]:
                    raise ProblemError(event)
                return event
            frame = self._frame(message)
            if frame is not None:
                self.received = frame.sequence
                return frame

    def _frame(self, message: bytes) -> Frame | None:
        kind, flags, avatar_frame, epoch, sequence, length, first_sample = HEADER.unpack_from(message)
        payload = message[HEADER.size :]
        if len(payload) != length:
            raise ValueError(f"a message of type {kind} has {len(payload)} bytes, its header says {length}")
        if kind == _SOUND:
            self._sound[sequence] = (payload, first_sample)
            return None
        if kind not in (_JPEG, _PATCH, _H264):
            return None  # of a later version
        place, start = None, 0
        if kind == _PATCH:
            place, start = _PLACE.unpack_from(payload), _PLACE.size
        sound, first = self._sound.pop(sequence, (b"", first_sample))
        direction = -1 if flags & _BACKWARDS else 1
        return Frame(
            epoch, sequence, first, sound, avatar_frame, direction, payload[start:], place,
            bool(flags & _LAST), bool(flags & _IDLE), bool(flags & _HELD),
            "h264" if kind == _H264 else "jpeg", bool(flags & _KEY),
        )  # fmt: skip

    async def template(self) -> list[bytes]:
        """The idle pictures of all template frames, JPEG; what patches are drawn over."""
        return await asyncio.to_thread(self._fetch_template)

    def _fetch_template(self) -> list[bytes]:
        pictures: list[bytes] = []
        while len(pictures) < self.welcome["frames"]:
            wish = f"{self._server}{self.welcome['template']}&first={len(pictures)}&count={_TEMPLATE_FRAMES}"
            with urllib.request.urlopen(urllib.request.Request(wish, headers=self._headers)) as answer:  # noqa: S310  (checked in connect)
                messages = [json.loads(line) for line in answer]
            if messages[-1]["type"] != "end":
                raise ProblemError(messages[-1])
            pictures += [base64.b64decode(message["image"]) for message in messages if message["type"] == "frame"]
        return pictures

    async def _send(self, message: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps({key: value for key, value in message.items() if value is not None}))

    async def _send_bytes(self, message: bytes) -> None:
        assert self._socket is not None
        await self._socket.send(message)
