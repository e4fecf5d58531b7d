"""Where a programme goes: RTMP, SRT, UDP or a file, by PyAV; H.264 and AAC.

Axes: S audio samples.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final
from urllib.parse import urlsplit

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from recipe.recipe_328 import FPS
from services.errors import PublishError
from services.live.programme import Moment

RATE_HZ: Final = 48_000
_FORMATS: Final = {"rtmp": "flv", "rtmps": "flv", "srt": "mpegts", "udp": "mpegts"}
_FILES: Final = {".ts": "mpegts", ".mkv": "matroska", ".flv": "flv", ".mp4": "mp4"}
_KEY_FRAME_S: Final = 2  # what streaming sites ask for
_AAC_BITS: Final = 128_000


def form_of(target: str) -> tuple[str, bool]:
    """The container's format, and whether others get it.

    Raises:
        PublishError: nothing can be sent there.
    """
    scheme = urlsplit(target).scheme if "://" in target else ""
    form = _FORMATS.get(scheme.lower()) if scheme else _FILES.get(Path(target).suffix.lower())
    if form is None:
        known = ", ".join([*(f"{one}://" for one in _FORMATS), *_FILES])
        raise PublishError(f"{_without_key(target)} is nothing that can be published to; there are {known}")
    return form, bool(scheme)


class Outlet:
    """To be used in a `with` statement; what was written is whole when it is left."""

    def __init__(self, target: str, width: int, height: int, kbit_s: int, mark: str) -> None:
        """Open it; waits until the other end is there.

        Args:
            target: see `form_of`.
            width, height: of the picture, px, even.
            kbit_s: of the picture.
            mark: what the stream says of itself.
        Raises:
            PublishError: it cannot be opened.
        """
        form, _ = form_of(target)
        self._name = _without_key(target)
        try:
            self._container = av.open(target, "w", format=form)
            self._container.metadata["comment"] = mark
            self._video = self._add_video(width, height, kbit_s)
            self._audio: AudioStream = self._container.add_stream("aac", rate=RATE_HZ, layout="mono")
            self._audio.bit_rate = _AAC_BITS
            self._container.start_encoding()  # connects
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error) from error

    def _add_video(self, width: int, height: int, kbit_s: int) -> VideoStream:
        stream: VideoStream = self._container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = kbit_s * 1000
        stream.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "x264-params": "scenecut=0",
            "maxrate": f"{kbit_s}k",
            "bufsize": f"{2 * kbit_s}k",
        }
        stream.codec_context.gop_size = _KEY_FRAME_S * FPS
        return stream

    def write(self, moment: Moment) -> None:
        """Send 40 ms.

        Raises:
            PublishError: the other end is gone, or takes nothing.
        """
        picture = moment.picture
        picture.pts, picture.time_base = moment.number, Fraction(1, FPS)
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(moment.pcm_S[None]), format="s16", layout="mono")
        sound.sample_rate, sound.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        sound.pts = moment.number * (RATE_HZ // FPS)
        try:
            self._container.mux(self._video.encode(picture))
            self._container.mux(self._audio.encode(sound))
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error) from error

    def __enter__(self) -> Outlet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._container.close()
            return
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
            self._container.close()
        except (OSError, av.error.FFmpegError) as failed:
            raise self._failure(failed) from failed

    def _failure(self, error: OSError | av.error.FFmpegError) -> PublishError:
        return PublishError(f"{self._name} takes nothing ({error.strerror}); is it there, and is the key right?")


def _without_key(target: str) -> str:
    """What may be said of a target: the rest of its address is often a secret."""
    if "://" not in target:
        return target
    parts = urlsplit(target)
    return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}"
