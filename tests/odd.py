"""Recordings as people bring them, made of the synthetic presenter: `tests/data/odd/`, made when first asked for.

    python -m tests.odd            # makes all of them, to be looked at

What each file has that others have not stands at its maker. The folder is not part of the repository.

Axes: H W C picture, C channels, S audio samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray

from recipe.colour import decode_rgb
from recipe.files import written_aside
from recipe.sound import load_audio
from tests.media import RATE_HZ, write_recording

DATA = Path(__file__).parent / "data"
PRESENTER = DATA / "presenter.mp4"
FOLDER = DATA / "odd"
_VERSION = "3"  # raise it when a maker changes

_makers: dict[str, Callable[[Path], None]] = {}


def odd(name: str) -> Path:
    """The file of that name, made if it is not there yet."""
    path = FOLDER / _VERSION / name
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as part:
            _makers[name](part)
    return path


def _maker(name: str) -> Callable[[Callable[[Path], None]], Callable[[Path], None]]:
    def remember(make: Callable[[Path], None]) -> Callable[[Path], None]:
        _makers[name] = make
        return make

    return remember


def presenter(start_s: float, stop_s: float) -> Iterator[NDArray[np.uint8]]:
    """The presenter's pictures."""
    with av.open(str(PRESENTER)) as container:
        for frame in container.decode(video=0):
            if frame.time is not None and start_s <= frame.time < stop_s:
                yield decode_rgb(frame)


def presenter_sound(start_s: float, stop_s: float) -> NDArray[np.float32]:
    """What the presenter says, at 48 kHz."""
    heard_S = load_audio(PRESENTER)
    clock_S = np.arange(round((stop_s - start_s) * RATE_HZ)) / RATE_HZ + start_s
    return np.interp(clock_S, np.arange(len(heard_S)) / 16_000, heard_S).astype(np.float32)


def film(
    path: Path, pictures: Iterator[NDArray[np.uint8]], sound_S: NDArray[np.float32] | None, late_s: float = 0
) -> None:
    """A recording at 25 pictures a second; the sound begins late."""
    write_recording(path, ((k / 25, p) for k, p in enumerate(pictures)), sound_S, sound_start_s=late_s)


# --- sound ----------------------------------------------------------------------------------------
@_maker("cancelling_channels.wav")
def _cancelling(path: Path) -> None:
    """One of two channels is inverted: their mean is silent."""
    voice_S = presenter_sound(0, 12)
    soundfile.write(path, np.stack([voice_S, -0.9 * voice_S], 1), RATE_HZ, format="WAV")


@_maker("late_sound.mp4")
def _late(path: Path) -> None:
    """The sound is 0.56 s late, in twelve seconds."""
    sound_S = np.concatenate([np.zeros(round(0.56 * RATE_HZ), np.float32), presenter_sound(0, 12)])
    film(path, presenter(0, 12), sound_S[: 12 * RATE_HZ])


@_maker("soundless.mp4")
def _soundless(path: Path) -> None:
    """A picture without any sound track."""
    film(path, presenter(0, 2), None)


# --- picture --------------------------------------------------------------------------------------
def _coded(
    path: Path, light: Callable[[NDArray[np.float64]], NDArray[np.float64]], transfer: int, primaries: int
) -> None:
    """Three pictures of 10 bits in BT.2020's matrix; `light` makes coded values of light, 1 is the white."""
    with av.open(str(path), "w", format="mov") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 512
        stream.pix_fmt = "yuv420p10le"
        coder = stream.codec_context
        coder.options = {"preset": "ultrafast", "crf": "8"}
        coder.colorspace, coder.color_range = Colorspace.BT2020, ColorRange.MPEG
        coder.color_trc, coder.color_primaries = transfer, primaries
        for index, rgb in enumerate(presenter(4, 4.12)):
            coded = np.round(np.clip(light((rgb / 255) ** 2.4), 0, 1) * 65535).astype(np.uint16)
            wide = av.VideoFrame.from_ndarray(coded, format="rgb48le")
            frame = wide.reformat(
                format="yuv420p10le", src_colorspace=Colorspace.BT2020, dst_colorspace=Colorspace.BT2020,
                src_color_range=ColorRange.JPEG, dst_color_range=ColorRange.MPEG, interpolation=Interpolation.BICUBIC,
            )  # fmt: skip
            frame.pts, frame.time_base = index, Fraction(1, 25)
            frame.color_trc, frame.color_primaries = transfer, primaries
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


# Light in BT.709's primaries as light in those of BT.2020 and of P3: the matrices of BT.2087 and SMPTE EG 432.
_IN_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
_IN_P3 = np.array([[0.8225, 0.1774, 0.0], [0.0332, 0.9669, 0.0], [0.0171, 0.0724, 0.9108]])


def _hlg(light: NDArray[np.float64]) -> NDArray[np.float64]:
    shown = 0.1 * light @ _IN_2020.T  # of a display of 1000 cd/m2; the white of standard pictures is 100
    luma = np.maximum(shown @ np.array([0.2627, 0.6780, 0.0593]), 1e-9)[..., None]
    scene = shown * luma ** (1 / 1.2 - 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def _pq(light: NDArray[np.float64]) -> NDArray[np.float64]:
    power = (np.maximum(light @ _IN_2020.T, 0) * 100 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


@_maker("hlg.mov")
def _hlg_film(path: Path) -> None:
    """HLG, BT.2020: recent phones."""
    _coded(path, _hlg, 18, 9)


@_maker("pq.mov")
def _pq_film(path: Path) -> None:
    """PQ, BT.2020: HDR10."""
    _coded(path, _pq, 16, 9)


@_maker("wide_gamut.mov")
def _wide_film(path: Path) -> None:
    """The standard transfer with the primaries of P3."""
    _coded(path, lambda light: (light @ _IN_P3.T) ** (1 / 2.4), 1, 12)


@_maker("logarithmic.mov")
def _log_film(path: Path) -> None:
    """A logarithmic transfer, which is not read."""
    _coded(path, lambda light: light ** (1 / 3), 9, 9)


def _fields(flagged: bool) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        """The presenter moves sideways by 4 px from field to field; x264 flags the bottom one as the first."""
        with av.open(str(path), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 448, 512, "yuv420p"
            flag = ":interlaced=1" if flagged else ""
            stream.codec_context.options = {"preset": "ultrafast", "crf": "12", "x264-params": f"bframes=0{flag}"}
            for index, rgb in enumerate(presenter(4, 5)):
                whole = np.array(moved(rgb, 2 * index))
                later = slice(0, None, 2) if flagged else slice(1, None, 2)
                whole[later] = moved(rgb, 2 * index + 1)[later]
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(whole), format="rgb24")
                frame = frame.reformat(format="yuv420p", interpolation=Interpolation.POINT)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))

    return make


def moved(rgb_HWC: NDArray[np.uint8], field: int) -> NDArray[np.uint8]:
    """What the camera sees at the time of a field."""
    at = 32 + 4 * abs(field % 16 - 8) - 16
    return rgb_HWC[:, at : at + 448]


_makers["interlaced.mp4"] = _fields(flagged=True)
_makers["interlaced_unflagged.mp4"] = _fields(flagged=False)


if __name__ == "__main__":
    for name in _makers:
        print(odd(name))  # noqa: T201
