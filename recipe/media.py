"""Open a file with picture or sound and decode it: the formats that are read, the stream that counts, the clock.

Times are seconds of the container's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from recipe.deinterlace import FieldOrder, without_fields
from recipe.errors import NoAudioError, NotAVideoError

# Playlists and the like are not among them: they name other files to open.
_FORMATS: Final = (
    "wav,w64,aiff,au,flac,mp3,aac,ac3,eac3,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,avi,asf,mpegts,mpeg,flv,amr,caf,"
    "mxf,dv,h264,hevc,ivf,nut,rm,swf,wv,ape,tta,gif"
)
# Telephones have 8000 Hz, studios up to 384000; a block of a few Hz would swell to gigabytes at 16 kHz. More channels
# than those of a cinema overflow FFmpeg's mixer.
_RATES_HZ: Final = range(4000, 384_001)
_MOST_CHANNELS: Final = 24
_MOST_STREAMS: Final = 64
_MOST_PIXELS: Final = 8192 * 4352  # a larger picture is not decoded, neither to be shown nor to find out what it is
_NO_PICTURE: Final = 1  # pixels


def open_container(path: Path, *, pictures: bool = True) -> InputContainer:
    """Open a file of one of the formats that are read.

    Args:
        path: of the file.
        pictures: decode none if False; opening a file decodes its cover pictures, to find out what they are.
    Raises:
        av.error.FFmpegError: it is of another format, or damaged.
    """
    return av.open(
        str(path),
        container_options={"format_whitelist": _FORMATS, "max_streams": str(_MOST_STREAMS)},
        options={"max_pixels": str(_MOST_PIXELS if pictures else _NO_PICTURE)},
        metadata_errors="replace",
    )


def open_media(path: Path, *, pictures: bool = True) -> InputContainer:
    """Open a file that should hold picture or sound.

    Args:
        path, pictures: see `open_container`.
    Raises:
        NotAVideoError: it is no such file.
    """
    if not path.is_file():
        raise NotAVideoError(f"{path.absolute()} is not a file: give the path of a recording")
    try:
        return open_container(path, pictures=pictures)
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
        NotAVideoError: it has more channels or another sample rate than any recorder's.
    """
    tracks = [stream for stream in container.streams.audio if stream.codec_context]
    if not tracks:
        raise NoAudioError(f"{path.name} has no sound track: give a recording with speech")
    known = [stream for stream in tracks if _can_be_heard(stream.codec_context)]
    if not known:
        context = tracks[0].codec_context
        raise NotAVideoError(
            f"the sound of {path.name} has {context.sample_rate} Hz and {context.channels} channels; up to "
            f"{_MOST_CHANNELS} channels of {_RATES_HZ.start} to {_RATES_HZ.stop - 1} Hz are read: export it anew, for "
            "example at 48000 Hz, stereo"
        )
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
    for packet in packets_of(container, stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damaged AAC comes out as several kinds
            continue
        yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))


def decode_sound(container: InputContainer, stream: AudioStream) -> Iterator[av.AudioFrame]:
    """Decode in order; what cannot be decoded is left out."""
    for packet in packets_of(container, stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:  # damaged AAC comes out as several kinds
            continue
        yield from (frame for frame in frames if isinstance(frame, av.AudioFrame) and _can_be_mixed(frame))


def packets_of(container: InputContainer, *streams: VideoStream | AudioStream) -> Iterator[av.Packet[Stream]]:
    """The coded packets of streams, as far as the file can be read."""
    packets = container.demux(*streams)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, IndexError):  # cut inside a packet; of a stream that the header did not announce
            return
        if packet is None:
            return
        yield packet


def _can_be_heard(context: AudioCodecContext) -> bool:
    return context.sample_rate in _RATES_HZ and 1 <= context.channels <= _MOST_CHANNELS


def _can_be_mixed(frame: av.AudioFrame) -> bool:
    """A damaged frame may say something else than its file."""
    return frame.sample_rate in _RATES_HZ and 1 <= frame.layout.nb_channels <= _MOST_CHANNELS


def frame_time(frame: av.VideoFrame | av.AudioFrame) -> float:
    """When a frame starts, in seconds of its container's clock; 0 if the container does not say."""
    return float(frame.time) if frame.time is not None else 0.0
