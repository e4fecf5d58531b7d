"""Frames to files: short H.264 chunks that can be made in any order, joined with the sound without encoding again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from presenter.timeline import FPS
from recipe.articulation.speakers import SAMPLE_RATE_HZ
from recipe.files import written_aside
from recipe.sound import to_pcm16

_CRF = "12"
_BT709 = 1
_LIMITED_RANGE = 1


def write_chunk(path: Path, frames_rgb_HWC: Iterable[NDArray[np.uint8]], size_px: int) -> None:
    """Encode some frames as one closed group of pictures; the file appears only when it is complete."""
    with written_aside(path) as part, av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": _CRF, "preset": "medium", "bf": "0"})
        stream.width = stream.height = size_px
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, FPS)
        context = stream.codec_context
        context.gop_size, context.thread_count = FPS, 1
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        for number, frame_rgb_HWC in enumerate(frames_rgb_HWC):
            picture = av.VideoFrame.from_ndarray(frame_rgb_HWC, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def join_chunks(chunks: Sequence[Path], wav: Path, out: Path) -> None:
    """Copy the chunks' packets one after another and add the sound as AAC."""
    pcm_S, rate_hz = soundfile.read(wav, dtype="int16")
    with (
        written_aside(out) as part,
        av.open(str(part), "w", options={"movflags": "+faststart"}) as container,
        av.open(str(chunks[0])) as first,
    ):
        video = container.add_stream_from_template(first.streams.video[0])
        sound = container.add_stream("aac", rate=rate_hz, layout="mono", options={"b": "128k"})
        frames_done = 0
        for chunk in chunks:
            with av.open(str(chunk)) as source:
                stream = source.streams.video[0]
                for packet in source.demux(stream):
                    if packet.dts is None or packet.pts is None or stream.time_base is None:
                        continue
                    shift = round(Fraction(frames_done, FPS) / stream.time_base)
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, video
                    container.mux(packet)
                frames_done += stream.frames
        for first_sample in range(0, len(pcm_S), 1024):
            block = av.AudioFrame.from_ndarray(pcm_S[None, first_sample : first_sample + 1024], "s16", "mono")
            block.sample_rate, block.pts, block.time_base = rate_hz, first_sample, Fraction(1, rate_hz)
            container.mux(sound.encode(block))
        container.mux(sound.encode())


def write_wav(path: Path, pcm_S: NDArray[np.float32]) -> None:
    """16-bit mono sound."""
    soundfile.write(path, to_pcm16(pcm_S), SAMPLE_RATE_HZ, subtype="PCM_16")
