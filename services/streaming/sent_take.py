"""A take that a client kept: its pictures and its sound become events again, to be coded as a file.

Axes: S audio samples at the take's rate, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from recipe.sound import from_pcm16
from services.errors import TakeRejectedError
from services.streaming.events import Caption, End, Event, Frame, Header
from services.streaming.upload import kept_upload

_SAMPLE_BYTES: Final = 2
_NO_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})  # markers that stand alone
_SIZES: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})  # markers before height and width


@dataclass(frozen=True, eq=False, slots=True)
class SentTake:
    """What a client kept of an utterance."""

    header: Header
    picture_bytes: Sequence[int]  # of every JPEG, in order
    pictures: BinaryIO  # the JPEGs, one after the other
    sound: BinaryIO  # PCM s16le, mono, at the header's rate
    captions: Mapping[int, str] = field(default_factory=dict)  # what is said from a picture on


def events_of(take: SentTake) -> Generator[Event, None, None]:
    """The utterance again; both files are copied before the first event.

    Raises:
        TakeRejectedError: its pieces do not fit together.
    """
    with ExitStack() as kept:
        pictures, sound = (kept.enter_context(kept_upload(file)) for file in (take.pictures, take.sound))
        _check(take, pictures, sound)
        with pictures.open("rb") as jpegs, sound.open("rb") as pcm:
            yield take.header
            for index, size in enumerate(take.picture_bytes):
                if index in take.captions:
                    yield Caption(index, take.captions[index])
                picture_HWC = _decoded(jpegs.read(size), index, take.header)
                samples = take.header.samples_per_frame
                pcm_S = np.zeros(samples, np.float32)
                piece_S = from_pcm16(pcm.read(_SAMPLE_BYTES * samples))
                pcm_S[: len(piece_S)] = piece_S
                yield Frame(index, 0, picture_HWC, pcm_S)
    yield End(len(take.picture_bytes), 0, 1)


def _check(take: SentTake, pictures: Path, sound: Path) -> None:
    """Raise what is wrong before anything is coded."""
    header, sent, told = take.header, pictures.stat().st_size, sum(take.picture_bytes)
    if sent != told:
        raise TakeRejectedError(f"the pictures have {sent} bytes and their sizes say {told}; send all of them")
    if header.sample_rate_hz % FPS:
        raise TakeRejectedError(f"a sample rate of {header.sample_rate_hz} Hz is no multiple of {FPS}")
    if header.width % 2 or header.height % 2:
        raise TakeRejectedError(f"pictures of {header.width}x{header.height} px cannot be coded: both must be even")
    heard = sound.stat().st_size
    most = len(take.picture_bytes) * header.samples_per_frame * _SAMPLE_BYTES
    if heard > most or heard % _SAMPLE_BYTES:
        raise TakeRejectedError(f"the sound has {heard} bytes; so many pictures have at most {most}, in 16 bit samples")


def _decoded(jpeg: bytes, index: int, header: Header) -> NDArray[np.uint8]:
    size = jpeg_size(jpeg)  # before it is decoded: a few bytes can promise gigabytes
    if size != (header.width, header.height):
        found = "no JPEG" if size is None else f"{size[0]}x{size[1]} px"
        raise TakeRejectedError(f"picture {index} is {found}; expected {header.width}x{header.height} px")
    picture_bgr_HWC = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if picture_bgr_HWC is None or picture_bgr_HWC.shape[:2] != (header.height, header.width):
        raise TakeRejectedError(f"picture {index} cannot be decoded; it may be damaged")
    return cv2.cvtColor(picture_bgr_HWC, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) as a JPEG's header tells it, px; None if it is no JPEG."""
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 < len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker in _SIZES:
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        at += 2 if marker in _NO_LENGTH else 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None
