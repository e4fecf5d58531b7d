"""Frames and sound to an MP4 file: H.264 and AAC, index in front, as long as its frames to the sample.

The sound is the original file's, at its own rate and in stereo if it is, not the 16 kHz the networks hear.

Frames are coded on a thread of their own while the caller makes the next ones. That thread gets finished pictures
and sound and touches nothing else, so generators, decoders and Ctrl-C stay with the caller.

Axes: C channels, S samples at the track's rate, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream
from numpy.typing import NDArray

from recipe.colour import encode_rgb
from recipe.files import PartFile
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ
from recipe.sound import SoundTrack
from services.errors import VideoWriteError
from services.streaming.events import GENERATED
from services.types import VideoFrame

_AAC_BITS_PER_CHANNEL: Final = 96_000
_WAITING_FRAMES: Final = 4  # for the coder: two batches of two cores, 6 MB of 720x720 pixels
_BT709: Final = 1
_LIMITED_RANGE: Final = 1


class _Cutter:
    """Cuts blocks into pieces of a wanted length; zeros follow the end."""

    def __init__(self, track: SoundTrack) -> None:
        self._blocks = track.blocks
        self._held_CS = np.zeros((track.channels, 0), np.float32)

    def take(self, samples: int) -> NDArray[np.float32]:
        while self._held_CS.shape[1] < samples:
            block_CS = next(self._blocks, None)
            if block_CS is None:
                missing = samples - self._held_CS.shape[1]
                block_CS = np.zeros((len(self._held_CS), missing), np.float32)
            self._held_CS = np.concatenate([self._held_CS, block_CS], axis=1)
        piece_CS, self._held_CS = self._held_CS[:, :samples], self._held_CS[:, samples:]
        return piece_CS


class Mp4Writer:
    """Writes to a temporary name beside the result, which appears only when it is whole.

    To be used in a `with` statement: leaving it by an exception, Ctrl-C included, drops the frames that still wait and
    removes the temporary file. However it is left, its thread has ended.
    """

    def __init__(self, path: Path, width: int, height: int, rate_hz: int, channels: int, mark: str = GENERATED) -> None:
        """Open the file.

        Args:
            path: the result; its folder is made.
            width: even, px.
            height: even, px.
            rate_hz: of the sound, a multiple of 25.
            channels: 1 or 2.
            mark: what the file says of itself, see `mark_of`.
        Raises:
            VideoWriteError: there can be no such file here.
        """
        if width % 2 or height % 2:
            raise ValueError(f"pictures of {width}x{height} px cannot be coded as H.264: both sizes must be even")
        self.frames = 0
        self._path = path
        self._rate_hz = rate_hz
        self._layout = "stereo" if channels == 2 else "mono"
        try:
            self._part = PartFile(path)
            try:
                self._container = av.open(str(self._part.path), "w", format="mp4", options={"movflags": "+faststart"})
            except av.error.FFmpegError:
                self._part.close()
                raise
        except (OSError, av.error.FFmpegError) as error:
            raise VideoWriteError(f"{path} cannot be written ({error.strerror}); choose another place") from error
        self._container.metadata["comment"] = mark
        self._video = self._add_video(width, height)
        self._audio: AudioStream = self._container.add_stream("aac", rate=rate_hz, layout=self._layout)
        self._audio.bit_rate = min(_AAC_BITS_PER_CHANNEL, 3 * rate_hz) * channels
        self._coder = ThreadPoolExecutor(1, thread_name_prefix="video writer")
        self._waiting: deque[Future[None]] = deque()

    def _add_video(self, width: int, height: int) -> VideoStream:
        """H.264 by one thread.

        Measured at 720x720 on frames of the demo avatar, processor time per frame: one thread 4.8 ms; slices on two
        cores, the library's default, 6.5 ms and a file 1 % larger; frame threads 6.0 ms; all with 46.2 dB of luma. The
        networks keep the other cores busy, and a file has the same bytes on any number of cores.

        Preset superfast, which looks ahead at nothing, writes 2.5 times the bytes of veryfast at the same crf; with the
        lookahead of veryfast put back, ten frames of it, on an AMD EPYC (family 25, AVX2), five films of 512x512 and
        1080x1920: 46 to 65 % of the processor time of veryfast, 8 to 18 % more bytes, -0.9 to +0.3 dB of luma.
        """
        stream: VideoStream = self._container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "18", "preset": "superfast", "x264-params": "mbtree=1:rc-lookahead=10"}
        context = stream.codec_context
        context.thread_count = 1
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED_RANGE
        return stream

    def write(self, frame_rgb_HWC: NDArray[np.uint8], pcm_CS: NDArray[np.float32]) -> None:
        """Append a frame and the 40 ms of sound that belong to it; waits while a few frames are not coded yet.

        Args:
            frame_rgb_HWC: uint8; it is read later, so it must not be changed any more.
            pcm_CS: float32 in [-1, 1], rate / 25 samples; likewise.
        Raises:
            VideoWriteError: the disk is full, or the file cannot be written for another reason; raised here for an
                earlier frame, or when the `with` statement is left.
        """
        while len(self._waiting) >= _WAITING_FRAMES:
            self._waiting.popleft().result()
        self._waiting.append(self._coder.submit(self._code, frame_rgb_HWC, pcm_CS, self.frames))
        self.frames += 1

    def _code(self, frame_rgb_HWC: NDArray[np.uint8], pcm_CS: NDArray[np.float32], index: int) -> None:
        picture = encode_rgb(frame_rgb_HWC)
        picture.pts, picture.time_base = index, Fraction(1, FPS)
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm_CS), format="fltp", layout=self._layout)
        sound.sample_rate, sound.time_base = self._rate_hz, Fraction(1, self._rate_hz)
        sound.pts = index * (self._rate_hz // FPS)
        try:
            self._container.mux(self._video.encode(picture))
            self._container.mux(self._audio.encode(sound))
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error) from error

    def __enter__(self) -> Mp4Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            self._coder.shutdown(cancel_futures=True)  # waits for the frame in hand: nobody else may use the container
            # Removed before it is closed: closing would first move the index to the front of a file nobody wants.
            self._part.close()
            with contextlib.suppress(OSError, av.error.FFmpegError):
                self._container.close()

    def _finish(self) -> None:
        if self.frames == 0:
            raise VideoWriteError(f"{self._path} was not written: the sound has no samples, so there are no frames")
        while self._waiting:
            self._waiting.popleft().result()
        try:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
            self._container.close()
            self._part.keep()
        except (OSError, av.error.FFmpegError) as error:
            raise self._failure(error) from error

    def _failure(self, error: OSError | av.error.FFmpegError) -> VideoWriteError:
        return VideoWriteError(f"{self._path} cannot be written ({error.strerror}); is the disk full?")


def write_video(
    path: Path,
    frames: Iterable[VideoFrame],
    width: int,
    height: int,
    sound: SoundTrack | None,
    mark: str = GENERATED,
) -> int:
    """Write an utterance.

    Args:
        path: the result.
        frames: in order.
        width: of every frame, px.
        height: of every frame, px.
        sound: None takes the 16 kHz sound that the frames carry.
        mark: what the file says of itself, see `mark_of`.
    Returns:
        Number of frames; the file lasts exactly so many twenty-fifths of a second.
    Raises:
        VideoWriteError: the file cannot be written, or there are no frames.
    """
    rate_hz, channels = (SAMPLE_RATE_HZ, 1) if sound is None else (sound.rate_hz, sound.channels)
    cutter = None if sound is None else _Cutter(sound)
    with Mp4Writer(path, width, height, rate_hz, channels, mark) as writer:
        for frame in frames:
            pcm_CS = frame.pcm_S[None] if cutter is None else cutter.take(rate_hz // FPS)
            writer.write(frame.frame_rgb_HWC, pcm_CS)
    return writer.frames
