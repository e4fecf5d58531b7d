"""What a live session's events are on the wire: docs/protocol.md, in code.

Binary messages are a header and a payload, all little-endian; everything else is JSON.

Axes: H W C picture (RGB, uint8), S audio samples.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from recipe.sound import from_pcm16, to_pcm16
from services.errors import UploadRejectedError
from services.live.account import Account
from services.live.events import Began, Caption, Event, Finished, LiveFrame
from services.live.h264 import H264Coder
from services.streaming.jpeg import encode_jpeg

VERSION: Final = 1
Tier = Literal["patch", "jpeg", "h264"]
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
Message = bytes | str

# type, flags, avatar frame, epoch, sequence, length of the payload, first sample
HEADER: Final = struct.Struct("<BBHIIIQ")
_PLACE: Final = struct.Struct("<HHHH")  # left, top, width, height of a patch, px


class Type(IntEnum):
    """What a binary message carries."""

    SOUND = 1  # PCM s16le mono of the frame with this sequence; its picture follows
    JPEG = 2  # a whole picture; without payload it is the idle picture of the avatar frame
    PATCH = 3  # its place, then a picture to be drawn over the avatar frame's idle picture
    H264 = 4  # an access unit, to be decoded after those before it
    AUDIO = 16  # from the client: PCM s16le mono


class Flag(IntFlag):
    """What is to be known of a frame."""

    BACKWARDS = 1  # the walk through the template leaves this frame backwards
    LAST = 2  # of its epoch
    IDLE = 4  # nothing is said
    HELD = 8  # it shows the mouth of the frame before it: the machine is too slow for every mouth
    KEY = 16  # an access unit that needs none before it; the first of every epoch is one


class Header(NamedTuple):
    """The first bytes of a binary message."""

    type: int
    flags: int
    avatar_frame: int
    epoch: int
    sequence: int
    length: int
    first_sample: int


def text(kind: str, **fields: Any) -> str:
    """A JSON message."""
    return json.dumps({"type": kind, **fields}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sound_given(message: bytes) -> NDArray[np.float32]:
    """The samples of an AUDIO message, (S,).

    Raises:
        UploadRejectedError: it is none.
    """
    header = Header(*HEADER.unpack_from(message)) if len(message) >= HEADER.size else None
    if header is None or header.type != Type.AUDIO or header.length != len(message) - HEADER.size or header.length % 2:
        raise UploadRejectedError(
            f"a binary message of {len(message)} bytes is no sound: expected {HEADER.size} bytes of header of type "
            f"{Type.AUDIO}, its length, and so many bytes of 16-bit samples"
        )
    return from_pcm16(message[HEADER.size :])


@dataclass(slots=True)
class Coder:
    """Turns the events of one session into messages, and counts them."""

    jpeg_quality: int
    account: Account
    h264: H264Coder | None = None
    _coded_epoch: int = field(default=-1, init=False)  # of the access unit before

    def __call__(self, event: Event) -> list[Message]:
        """The messages of an event; of Failed none, for who sends knows how to tell of problems."""
        messages = self._messages(event)
        self.account.count(event, messages)
        return messages

    def _messages(self, event: Event) -> list[Message]:
        if isinstance(event, LiveFrame):
            return self._frame(event)
        if isinstance(event, Began):
            voice = event.voice.name if event.voice else None
            start = {"frame": event.start.index, "direction": event.start.direction}
            return [text("begin", epoch=event.epoch, sample_rate=event.sample_rate_hz, voice=voice, **start)]
        if isinstance(event, Caption):
            return [text("caption", epoch=event.epoch, index=event.index, text=event.text)]
        if isinstance(event, Finished):
            return [text("finished", epoch=event.epoch, samples=event.samples, interrupted=event.interrupted)]
        return []

    def _frame(self, frame: LiveFrame) -> list[Message]:
        kind, flags, picture = self._picture(frame)
        messages: list[Message] = []
        if len(frame.pcm_S):
            messages.append(_binary(Type.SOUND, Flag(0), frame, to_pcm16(frame.pcm_S).tobytes()))
        messages.append(_binary(kind, flags, frame, picture))
        return messages

    def _picture(self, frame: LiveFrame) -> tuple[Type, Flag, bytes]:
        if frame.picture_HWC is None:
            return Type.JPEG, Flag(0), b""
        if self.h264 is not None:
            key = frame.epoch != self._coded_epoch
            self._coded_epoch = frame.epoch
            return Type.H264, Flag.KEY if key else Flag(0), self.h264.code(frame.picture_HWC, key)
        picture = encode_jpeg(frame.picture_HWC, self.jpeg_quality)
        if frame.place is None:
            return Type.JPEG, Flag(0), picture
        height, width = frame.picture_HWC.shape[:2]
        return Type.PATCH, Flag(0), _PLACE.pack(frame.place.left, frame.place.top, width, height) + picture


def _binary(kind: Type, flags: Flag, frame: LiveFrame, payload: bytes) -> bytes:
    if frame.step.direction < 0:
        flags |= Flag.BACKWARDS
    if frame.last:
        flags |= Flag.LAST
    if frame.idle:
        flags |= Flag.IDLE
    if frame.held:
        flags |= Flag.HELD
    head = Header(kind, flags, frame.step.index, frame.epoch, frame.sequence, len(payload), frame.first_sample)
    return HEADER.pack(*head) + payload
