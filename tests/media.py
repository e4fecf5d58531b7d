"""Makes recordings with chosen time stamps, in any container, and reads what was written.

Axes: H W C image, S audio samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from recipe.colour import decode_rgb

RATE_HZ = 48_000
TICK = Fraction(1, 90_000)


def write_recording(
    path: Path,
    pictures: Iterable[tuple[float, NDArray[np.uint8]]],
    sound_S: NDArray[np.float32] | None,
    *,
    sound_start_s: float = 0.0,
    rotation: int = 0,
    video_codec: str = "libx264",
    audio_codec: str = "aac",
    pixel_format: str = "yuv420p",
) -> Path:
    """Write RGB pictures at the given times, in seconds, and 48 kHz mono sound from sound_start_s on."""
    container = av.open(str(path), "w")
    video = container.add_stream(video_codec, rate=Fraction(30))
    video.pix_fmt = pixel_format
    video.codec_context.time_base = TICK
    if video_codec == "libx264":
        video.codec_context.options = {"preset": "ultrafast", "crf": "12"}
    if rotation:
        video.set_display_rotation(rotation)
    audio = container.add_stream(audio_codec, rate=RATE_HZ, layout="mono") if sound_S is not None else None
    packets = []
    for time_s, picture in pictures:
        if not video.width or video.width != picture.shape[1]:
            video.width, video.height = picture.shape[1], picture.shape[0]
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = round(time_s / TICK), TICK
        packets += video.encode(frame)
    packets += video.encode(None)
    if audio is not None and sound_S is not None:
        frame = av.AudioFrame.from_ndarray(sound_S.reshape(1, -1), format="fltp", layout="mono")
        frame.sample_rate, frame.time_base = RATE_HZ, Fraction(1, RATE_HZ)
        fifo = av.AudioFifo()
        frame.pts = 0
        fifo.write(frame)
        size = audio.codec_context.frame_size or 1024
        resampler = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=RATE_HZ)
        at = round(sound_start_s * RATE_HZ)
        while piece := fifo.read(size, partial=True):
            piece.pts = None
            for converted in resampler.resample(piece):
                converted.pts, converted.time_base = at, Fraction(1, RATE_HZ)
                at += converted.samples
                packets += audio.encode(converted)
        packets += audio.encode(None)
    for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
        container.mux(packet)
    container.close()
    return path


def first_seconds(source: Path, out: Path, seconds: float) -> Path:
    """The beginning of a recording, its packets copied."""
    with av.open(str(source)) as reader, av.open(str(out), "w") as writer:
        read = (reader.streams.video[0], reader.streams.audio[0])
        written = {stream.index: writer.add_stream_from_template(stream) for stream in read}
        for packet in reader.demux(*read):
            if packet.dts is not None and packet.pts * packet.time_base < seconds:
                packet.stream = written[packet.stream.index]
                writer.mux(packet)
    return out


def beep(times_s: Iterable[float], duration_s: float, start_s: float = 0.0) -> NDArray[np.float32]:
    """Silence with 40 ms of 1 kHz at the given times; the sound itself begins at start_s."""
    clock_S = start_s + np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    sound_S = np.zeros(len(clock_S), np.float32)
    for time_s in times_s:
        on = (clock_S >= time_s) & (clock_S < time_s + 0.04)
        sound_S[on] = 0.5 * np.sin(2 * np.pi * 1000 * (clock_S[on] - time_s))
    return sound_S


def read_pictures(path: Path) -> list[NDArray[np.uint8]]:
    """All pictures of a file as RGB, by PyAV's own conversion."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def decoded(path: Path) -> tuple[list[np.ndarray], np.ndarray, dict[str, object]]:
    """Pictures (H, W, 3), sound (C, S) and what the file says of itself."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        facts = {
            "video_s": video.duration * video.time_base,
            "audio_s": audio.duration * audio.time_base,
            "rate_hz": audio.rate,
            "codecs": (video.codec_context.name, audio.codec_context.name),
            "pixels": video.codec_context.pix_fmt,
            "colour": (video.codec_context.colorspace, video.codec_context.color_range),
        }
        pictures = [decode_rgb(frame) for frame in container.decode(video)]
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        start = round(frames[0].pts * frames[0].time_base * frames[0].sample_rate)
        sound = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return pictures, sound[:, max(0, -start) :], facts
