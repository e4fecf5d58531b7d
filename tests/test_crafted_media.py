"""Media files that somebody made to do harm, or that were damaged: refused with a reason, at little cost, nothing else.

Axes: S audio samples (16 kHz).
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
import pytest
import soundfile

from recipe.errors import NotAVideoError, UserError
from recipe.recipe_328 import SAMPLE_RATE_HZ
from services.streaming.upload import UploadFeed

_TONE_S: Final = (0.3 * np.sin(np.arange(SAMPLE_RATE_HZ) / 12)).astype(np.float32)
_MUTATIONS: Final = 15  # of every format


def _heard(path: Path) -> int:
    """Samples that the networks hear of an upload."""
    with closing(UploadFeed(path, 600.0)) as feed:
        feed.start()
        count = sum(len(piece) for piece in feed)
        feed.native_samples(0)
    return count


def _wav(rate_hz: int, channels: int) -> bytes:
    data = np.repeat((_TONE_S * 10000).astype("<i2"), channels).tobytes()
    form = struct.pack("<HHIIHH", 1, channels, rate_hz, (rate_hz * channels * 2) % 2**32, channels * 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<I", 16) + form + (
        b"data" + struct.pack("<I", len(data)) + data
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rate_hz", "channels"), [(2**31 - 1, 1), (1, 1), (SAMPLE_RATE_HZ, 0), (SAMPLE_RATE_HZ, 64), (SAMPLE_RATE_HZ, 255)]
)
def test_a_sound_that_no_recorder_makes_is_refused(rate_hz: int, channels: int, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(_wav(rate_hz, channels))
    with pytest.raises(NotAVideoError, match=f"{rate_hz} Hz and {channels} channels"):
        _heard(path)


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 12, 24])
def test_many_channels_are_heard_as_one(channels: int, tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    path.write_bytes(_wav(SAMPLE_RATE_HZ, channels))
    assert _heard(path) == len(_TONE_S)


def test_cover_pictures_are_not_decoded(tmp_path: Path) -> None:
    plain, path = tmp_path / "plain.flac", tmp_path / "covers.flac"
    soundfile.write(plain, _TONE_S, SAMPLE_RATE_HZ)
    side_px = 8000
    png = cv2.imencode(".png", np.zeros((side_px, side_px), np.uint8))[1].tobytes()
    cover = struct.pack(">II9sI", 3, 9, b"image/png", 0) + struct.pack(">IIII", side_px, side_px, 8, 0)
    cover += struct.pack(">I", len(png)) + png
    block = b"\x06" + struct.pack(">I", len(cover))[1:] + cover
    flac, first_block = plain.read_bytes(), 4 + 4 + 34
    path.write_bytes(flac[:4] + b"\x00" + flac[5:first_block] + 4 * block + flac[first_block:])
    began_s = time.process_time()
    assert _heard(path) == len(_TONE_S)
    assert time.process_time() - began_s < 3  # each cover would take more, four times over


@pytest.mark.parametrize(
    ("codec", "container"),
    [("pcm_s16le", "wav"), ("libmp3lame", "mp3"), ("flac", "flac"), ("aac", "mp4"), ("aac", "flv"), ("aac", "mpegts")],
)
def test_a_damaged_file_is_heard_in_part_or_refused_with_a_reason(codec: str, container: str, tmp_path: Path) -> None:
    whole = tmp_path / f"whole.{container}"
    _encode(whole, codec, container)
    dice = random.Random(328)
    for k in range(_MUTATIONS):
        path = tmp_path / f"damaged_{k}"
        path.write_bytes(_DAMAGES[k % len(_DAMAGES)](whole.read_bytes(), dice))
        try:
            assert _heard(path) >= 0
        except UserError as error:
            assert len(str(error)) > 20


def _encode(path: Path, codec: str, container: str) -> None:
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=SAMPLE_RATE_HZ, layout="mono")
        assert isinstance(stream, av.AudioStream)
        step = 1024
        for start in range(0, len(_TONE_S), step):
            pcm = (_TONE_S[start : start + step] * 32767).astype("<i2")[None]
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate, frame.pts = SAMPLE_RATE_HZ, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _bytes_changed(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 40)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def _header_changed(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 20)):
        changed[dice.randrange(min(len(changed), 400))] = dice.randrange(256)
    return bytes(changed)


def _cut(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(1, len(data))]


def _sizes_changed(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.randrange(1, 6)):
        at = dice.randrange(min(len(changed) - 4, 600))
        changed[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"])
    return bytes(changed)


def _inserted(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + dice.randbytes(50) + data[at:]


_DAMAGES: Final[list[Callable[[bytes, random.Random], bytes]]] = [
    _bytes_changed, _header_changed, _cut, _sizes_changed, _inserted,
]  # fmt: skip
