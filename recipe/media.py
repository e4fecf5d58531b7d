"""Open a file with picture or sound and decode it: the formats that are read, the stream that counts, the clock.

Times are seconds of the container's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from recipe.deinterlace import FieldOrder, without_fields
from recipe.errors import NoAudioError, NotAVideoError

# Playlists and the like are not among them: they name other files to open.
_FORMATS: Final = (
    "wav,w64,aiff,au,flac,mp3,aac,ac3,eac3,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,asf,mpegts,mpeg,flv,amr,caf,"
    "mxf,dv,h264,hevc,ivf,nut,rm,swf,wv,ape,tta,gif"
)
_MIN_RATE_HZ: Final = 4000  # telephones have 8000; at 16 kHz, a block of a few Hz would swell to gigabytes


def open_container(path: Path) -> InputContainer:
    """Open a file of one of the formats that are read.

    Raises:
        av.error.FFmpegError: it is of another format, or damaged.
    """
    return av.open(str(path), container_options={"format_whitelist": _FORMATS}, metadata_errors="replace")


def open_media(path: Path) -> InputContainer:
    """Open a file that should hold picture or sound.

    Raises:
        NotAVideoError: it is no such file.
    """
    if not path.is_file():
        raise NotAVideoError(f"{path} is not a file: give the path of a recording")
    try:
        return open_container(path)
    except av.error.FFmpegError as error:
        raise NotAVideoError(
            f"{path.name} cannot be opened ({error.strerror or 'unknown format'}): it is no video or sound file, or "
            "its end is missing. Copy it again from where it was recorded, or export it anew as MP4 or WAV"
        ) from error


def picture_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream that is the recording's picture: the largest that moves, so not a cover image.

    Raises:
        NotAVideoError: there is none.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic and stream.codec_context and stream.codec_context.width
    ]
    if not moving:
        raise NotAVideoError(f"{path.name} holds no moving picture: give a video recording")
    return max(moving, key=lambda stream: stream.codec_context.width * stream.codec_context.height)


def sound_stream(container: InputContainer, path: Path) -> AudioStream:
    """The stream that is the recording's sound.

    Raises:
        NoAudioError: there is none.
    """
    tracks = [stream for stream in container.streams.audio if stream.codec_context]
    known = [stream for stream in tracks if stream.codec_context.sample_rate >= _MIN_RATE_HZ]
    if not known:
        raise NoAudioError(f"{path.name} has no sound track: give a recording with speech")
    best = container.streams.best("audio")
    return best if isinstance(best, AudioStream) and best in known else known[0]


def decode_pictures(
    container: InputContainer, stream: VideoStream, field_order: FieldOrder | None = None
) -> Iterator[av.VideoFrame]:
    """Decode in order of display; interlaced pictures are made whole, what cannot be decoded is left out.

    Args:
        container, stream: an open file and its picture.
        field_order: of interlaced pictures that no flag tells of.
    """
    return without_fields(decode_fields(container, stream), field_order)


def decode_fields(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """Decode in order of display, interlaced pictures as they are coded; what cannot be decoded is left out."""
    stream.thread_type = "AUTO"
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damaged AAC comes out as several kinds
            continue
        yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def decode_sound(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    """Decode in order; what cannot be decoded is left out."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damaged AAC comes out as several kinds
            continue
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame) and frame.sample_rate >= _MIN_RATE_HZ)


def frame_time(frame: av.VideoFrame | av.AudioFrame) -> float:
    """When a frame starts, in seconds of its container's clock; 0 if the container does not say."""
    return float(frame.time) if frame.time is not None else 0.0
