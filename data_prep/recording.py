"""Look at a recording before anything is made of it: what is in it, when picture and sound start, is it whole.

One clock rules picture and sound: the time stamps of the container. Times are seconds of that clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.stream import VideoStream

from data_prep.conversions import conversions_of
from data_prep.errors import TooShortError, TruncatedError
from data_prep.quality_inputs import Finding
from recipe.deinterlace import FieldOrder
from recipe.errors import NoAudioError
from recipe.media import (
    decode_pictures,
    decode_sound,
    frame_time,
    open_media,
    packets_of,
    picture_stream,
    sound_stream,
)
from recipe.recipe_328 import FPS

MIN_DURATION_S: Final = 10.0
INSTANT_S: Final = 1e-4  # time stamps that differ by less are the same: containers round to their own ticks
_MISSING_END_S, _MISSING_END_SHARE = 1.0, 0.02  # a file may end this much before its header says
_LAST_FRAME_SHARE: Final = 0.25  # picture or sound may end this much of a frame before the last frame does


@dataclass(frozen=True)
class Recording:
    """What a look at the file's packets tells."""

    path: Path
    codec: str
    width: int  # upright
    height: int
    rotation: int  # degrees counter-clockwise that make the coded picture upright
    fps: float  # mean
    start_s: float  # of the first picture that has sound
    frames: int  # at 25 per second, as long as there are both picture and sound
    picture_start_s: float  # of the whole tracks, by the same clock as start_s
    sound_start_s: float
    sound_stop_s: float
    audio_codec: str
    audio_rate_hz: int
    audio_channels: int
    field_order: FieldOrder | None = None  # of interlaced pictures that no flag tells of
    white_nits: float | None = None  # light of what becomes white; None where it is not HDR
    converted: tuple[Finding, ...] = ()  # what is put right while it is read

    @property
    def duration_s(self) -> float:
        """Length of what both picture and sound cover."""
        return self.frames / FPS


@dataclass(frozen=True)
class _Spans:
    """Time stamps of a file's packets."""

    pictures_s: list[float]  # in order of display
    picture_stop_s: float
    sound_stop_s: float


def probe(path: Path) -> Recording:
    """Look at a recording without decoding all of it.

    Raises:
        NotAVideoError: nothing that could be shown is in it.
        NoAudioError: no sound track.
        ColourError: its colours are coded in a way that is not read.
        TruncatedError: it ends before its header says, or no picture of it can be decoded.
        TooShortError: picture and sound have less than ten seconds in common.
    """
    with open_media(path) as container:
        picture, sound = picture_stream(container, path), _spoken(container, path)
        codec, audio = picture.codec_context.name, sound.codec_context
        spans = _packet_spans(container, picture, sound)
        _check_complete(container, picture, spans.picture_stop_s, path)
        _check_complete(container, sound, spans.sound_stop_s, path)
    first, sound_start_s = _first_frames(path)
    picture_start_s = frame_time(first)
    earliest = max(picture_start_s, sound_start_s) - INSTANT_S
    start_s = next((time_s for time_s in spans.pictures_s if time_s >= earliest), spans.picture_stop_s)
    common_s = min(spans.picture_stop_s, spans.sound_stop_s) - start_s
    if common_s < MIN_DURATION_S - 1 / FPS:
        raise TooShortError(
            f"{path.name} has {max(common_s, 0):.1f} s of picture with sound; at least {MIN_DURATION_S:.0f} s are "
            "needed and five minutes are recommended: record longer"
        )
    conversions = conversions_of(path)
    turned = first.rotation % 180 != 0
    return Recording(
        path=path,
        codec=codec,
        width=first.height if turned else first.width,
        height=first.width if turned else first.height,
        rotation=first.rotation,
        fps=_mean_rate(spans.pictures_s),
        start_s=start_s,
        frames=int(common_s * FPS + _LAST_FRAME_SHARE),
        picture_start_s=picture_start_s,
        sound_start_s=sound_start_s,
        sound_stop_s=spans.sound_stop_s,
        audio_codec=audio.name,
        audio_rate_hz=audio.sample_rate,
        audio_channels=audio.channels,
        field_order=conversions.field_order,
        white_nits=conversions.white_nits,
        converted=conversions.findings,
    )


def _spoken(container: InputContainer, path: Path) -> AudioStream:
    try:
        return sound_stream(container, path)
    except NoAudioError as error:
        raise NoAudioError(f"{path.name} has no sound track: record picture and sound together") from error


def _packet_spans(container: InputContainer, picture: VideoStream, sound: AudioStream) -> _Spans:
    pictures: list[float] = []
    stops = {picture.index: 0.0, sound.index: 0.0}
    for packet in packets_of(container, picture, sound):  # what is missing shows in the times
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.is_discard or packet.is_corrupt:
            continue
        start_s = float(stamp * packet.time_base)
        if packet.stream_index == picture.index:
            pictures.append(start_s)
        stop_s = start_s + float((packet.duration or 0) * packet.time_base)
        stops[packet.stream_index] = max(stops[packet.stream_index], stop_s)
    pictures.sort()
    picture_stop_s = stops[picture.index]
    if len(pictures) >= 2:  # some containers give no durations
        picture_stop_s = max(picture_stop_s, pictures[-1] + float(np.median(np.diff(pictures[-100:]))))
    return _Spans(pictures, picture_stop_s, stops[sound.index])


def _check_complete(container: InputContainer, stream: VideoStream | AudioStream, stop_s: float, path: Path) -> None:
    declared_s = _declared_stop(container, stream)
    if declared_s is not None and declared_s - stop_s > max(_MISSING_END_S, _MISSING_END_SHARE * declared_s):
        raise TruncatedError(
            f"{path.name} is cut off: its {stream.type} ends after {stop_s:.1f} s, but its header announces "
            f"{declared_s:.1f} s. Copy it from the camera again, or save the good part as a new file in a video editor"
        )


def _declared_stop(container: InputContainer, stream: VideoStream | AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float((stream.duration + (stream.start_time or 0)) * stream.time_base)
    if container.duration is not None and isinstance(stream, VideoStream):  # Matroska: only the whole file's length
        return (container.duration + (container.start_time or 0)) / av.time_base
    return None


def _first_frames(path: Path) -> tuple[av.VideoFrame, float]:
    """First picture, and the time of the first sound: a decoder may have to skip what comes before."""
    with open_media(path) as container:
        sound = next(decode_sound(container, sound_stream(container, path)), None)
    with open_media(path) as container:
        picture = next(decode_pictures(container, picture_stream(container, path)), None)
    if picture is None:
        raise TruncatedError(f"no picture of {path.name} can be decoded: it is damaged. Copy it from the camera again")
    if sound is None:
        raise NoAudioError(f"the sound track of {path.name} cannot be decoded: record or copy it again")
    return picture, frame_time(sound)


def _mean_rate(pictures_s: list[float]) -> float:
    steps = [b - a for a, b in pairwise(pictures_s)]
    return len(steps) / sum(steps) if steps and sum(steps) > 0 else 0.0
