"""An utterance as a fragmented MP4: H.264 and AAC, one fragment per frame, so it plays while it is generated.

How it is fragmented was measured (FFmpeg 8.0, a flash and a beep in the same frame): `frag_every_frame` beside a
second track gives pictures wrong times, 18 of 50 in the test; `frag_duration` of one frame gives every one its own.
`delay_moov` waits for the first sound, so that the file says how much the AAC encoder put before it; without it the
first picture lasts 1024 samples too long.

Axes: S audio samples.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from recipe.colour import encode_rgb
from recipe.recipe_328 import FPS
from services.streaming.events import Event, Frame, Header

MEDIA_TYPE: Final = "video/mp4"
_MUXER_OPTIONS: Final = {
    "movflags": "empty_moov+default_base_moof+delay_moov",
    "frag_duration": str(1_000_000 // FPS),  # microseconds
}
_VIDEO_OPTIONS: Final = {"preset": "superfast", "tune": "zerolatency", "crf": "20", "g": str(2 * FPS), "bf": "0"}
_AAC_RATES_HZ: Final = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000})
_OTHER_RATE_HZ: Final = 48000  # for a sound whose rate AAC does not know
_AUDIO_BIT_RATE: Final = 96_000
_BT709: Final = 1
_LIMITED_RANGE: Final = 1


class _Writer:
    """What the muxer writes to; it cannot seek, so the muxer never goes back."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def encode_fragmented_mp4(events: Generator[Event, None, None]) -> Generator[bytes, None, None]:
    """Pieces of the file as soon as there are some; joined they are a whole one, as long as its frames."""
    with closing(events):
        header = next(events)
        assert isinstance(header, Header)
        writer = _Writer()
        container = av.open(writer, "w", format="mp4", options=dict(_MUXER_OPTIONS))
        container.metadata["comment"] = header.mark
        try:
            video, audio = _add_video(container, header), _add_audio(container, header)
            resampler = av.AudioResampler(format="fltp", layout="mono", rate=audio.rate)
            for event in events:
                if isinstance(event, Frame):
                    _mux(container, video, audio, resampler, header, event)
                    if piece := writer.take():
                        yield piece
            for sound in resampler.resample(None):
                container.mux(audio.encode(sound))
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        finally:
            container.close()
        yield writer.take()


def _add_video(container: av.container.OutputContainer, header: Header) -> VideoStream:
    stream: VideoStream = container.add_stream("libx264", rate=FPS)
    stream.width, stream.height, stream.pix_fmt = header.width, header.height, "yuv420p"
    stream.options = dict(_VIDEO_OPTIONS)
    context = stream.codec_context
    context.color_primaries = context.color_trc = context.colorspace = _BT709
    context.color_range = _LIMITED_RANGE
    context.thread_count = 1  # several sessions share the machine
    return stream


def _add_audio(container: av.container.OutputContainer, header: Header) -> AudioStream:
    rate_hz = header.sample_rate_hz if header.sample_rate_hz in _AAC_RATES_HZ else _OTHER_RATE_HZ
    stream: AudioStream = container.add_stream("aac", rate=rate_hz, layout="mono")
    stream.bit_rate = min(_AUDIO_BIT_RATE, 3 * rate_hz)
    return stream


def _mux(
    container: av.container.OutputContainer,
    video: VideoStream,
    audio: AudioStream,
    resampler: av.AudioResampler,
    header: Header,
    frame: Frame,
) -> None:
    picture = encode_rgb(frame.frame_rgb_HWC)
    picture.pts, picture.time_base, picture.duration = frame.index, Fraction(1, FPS), 1
    sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(frame.pcm_S)[None], format="fltp", layout="mono")
    sound.sample_rate, sound.time_base = header.sample_rate_hz, Fraction(1, header.sample_rate_hz)
    sound.pts = frame.index * header.samples_per_frame
    container.mux(video.encode(picture))
    for resampled in resampler.resample(sound):
        container.mux(audio.encode(resampled))
