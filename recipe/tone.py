"""Pictures of other transfers and primaries (HDR phones, wide gamuts) as standard ones: BT.709, for screens of 8 bits.

FFmpeg's lut3d filter applies a table to pictures; the table holds the maths of ITU-R BT.2100 (HLG and PQ to
light) and a soft shoulder for what is brighter than the white of standard pictures. Which light that white has, HDR
leaves open: 100 cd/m2 where standard pictures were put into HDR, 203 in BT.2408; `white_of` looks at the pictures.
"""

from __future__ import annotations

import tempfile
import threading
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.filter import Graph
from av.video.format import VideoFormat
from av.video.reformatter import ColorTrc
from numpy.typing import NDArray

from recipe.errors import ColourError

Floats = NDArray[np.float64]

WHITE_NITS: Final = (100.0, 203.0)  # of standard pictures within HDR: the least, the most
_BRIGHT_PERCENTILE: Final = 99.0
_HLG_PEAK_NITS, _HLG_GAMMA = 1000.0, 1.2  # of BT.2100's reference display
_DISPLAY_GAMMA: Final = 2.4  # BT.1886
_KNEE: Final = 0.6  # of the white: what is darker stays as it is
_STEPS: Final = 33
_HLG_A: Final = 0.17883277
_HLG_B, _HLG_C = 1 - 4 * _HLG_A, 0.5 - _HLG_A * np.log(4 * _HLG_A)
_LUMA_2020: Final = np.array([0.2627, 0.6780, 0.0593])
# Light of one set of primaries in that of BT.709 (both D65).
_FROM_2020: Final = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
_FROM_P3: Final = np.array([[1.2249, -0.2247, 0.0], [-0.0420, 1.0419, 0.0], [-0.0197, -0.0786, 1.0979]])

HLG: Final = int(ColorTrc.ARIB_STD_B67)
PQ: Final = int(ColorTrc.SMPTE2084)
HDR_NAMES: Final = {HLG: "HLG", PQ: "PQ"}
_STANDARD_TRANSFERS: Final = {0, 1, 2, 4, 5, 6, 7, 11, 12, 13, 14, 15}  # all shown alike by usual players
_GAMUTS: Final[dict[int, Floats | None]] = {0: None, 1: None, 2: None, 4: None, 5: None, 6: None, 7: None, 22: None,
                                            9: _FROM_2020, 11: _FROM_P3, 12: _FROM_P3}  # fmt: skip
_READABLE: Final = "Export it as standard video (SDR, BT.709), or switch HDR and log profiles off and record again"

_turn = threading.Lock()  # a filter graph is used by one thread at a time


def is_standard(frame: av.VideoFrame) -> bool:
    """Whether a picture needs no table: standard transfer and primaries, or no word about them."""
    return int(frame.color_trc) in _STANDARD_TRANSFERS and _GAMUTS.get(int(frame.color_primaries), _FROM_P3) is None


def white_of(coded_RGB: NDArray[np.uint16], transfer: int) -> float:
    """The light of these pictures' white, cd/m2, for `to_standard`: their brightest parts, within the usual bounds.

    Args:
        coded_RGB: (..., 3) of full range, before `to_standard`.
        transfer: HLG or PQ.
    """
    light = _nits(coded_RGB / 65535, transfer).max(-1)
    return float(np.clip(np.percentile(light, _BRIGHT_PERCENTILE), *WHITE_NITS))


def to_standard(frame: av.VideoFrame, white_nits: float = WHITE_NITS[0]) -> av.VideoFrame:
    """A picture's RGB in BT.709 with the brightness of standard pictures.

    Args:
        frame: gbrp16le of full range, with the transfer and primaries of its stream.
        white_nits: what becomes white; in HDR alone.
    Returns:
        gbrp16le of full range.
    Raises:
        ColourError: its transfer or primaries are none that are known.
    """
    transfer, primaries = int(frame.color_trc), int(frame.color_primaries)
    check_readable(transfer, primaries)
    with _turn:
        graph = _graph(transfer, primaries, white_nits, frame.width, frame.height)
        frame.pts = None
        graph.push(frame)
        standard = graph.pull()
    assert isinstance(standard, av.VideoFrame)
    return standard


def check_readable(transfer: int, primaries: int) -> None:
    """Whether pictures of this transfer and these primaries (numbers of ISO/IEC 23091-2) can be shown right.

    Raises:
        ColourError: they cannot.
    """
    if transfer not in _STANDARD_TRANSFERS and transfer not in HDR_NAMES:
        raise ColourError(f"this video's brightness is coded in a way not read here (transfer {transfer}). {_READABLE}")
    if primaries not in _GAMUTS:
        raise ColourError(f"this video's colours are of a kind that is not read (primaries {primaries}). {_READABLE}")


def standard_rgb(coded_RGB: Floats, transfer: int, primaries: int, white_nits: float = WHITE_NITS[0]) -> Floats:
    """Coded values as values of a standard picture.

    Args:
        coded_RGB: (..., 3) in [0, 1].
        transfer, primaries: numbers of ISO/IEC 23091-2 that `check_readable` takes.
        white_nits: what becomes white; in HDR alone.
    Returns:
        (..., 3) in [0, 1], BT.709.
    """
    hdr = transfer in HDR_NAMES
    light = _nits(coded_RGB, transfer) / white_nits if hdr else coded_RGB**_DISPLAY_GAMMA
    gamut = _GAMUTS[primaries]
    if gamut is not None:
        light = np.maximum(light @ gamut.T, 0.0)
    if hdr:
        largest = np.maximum(light.max(-1, keepdims=True), 1e-9)
        over = np.maximum(largest - _KNEE, 0.0) / (1 - _KNEE)
        light = light * (np.minimum(largest, _KNEE) + (1 - _KNEE) * (1 - np.exp(-over))) / largest
    return np.asarray(np.clip(light, 0.0, 1.0) ** (1 / _DISPLAY_GAMMA))


def _nits(coded: Floats, transfer: int) -> Floats:
    """Light of the reference display, cd/m2."""
    if transfer == PQ:
        root = coded ** (1 / 78.84375)
        base = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        return np.asarray(10_000 * base ** (1 / 0.1593017578125))
    scene = np.where(coded <= 0.5, coded**2 / 3, (np.exp((coded - _HLG_C) / _HLG_A) + _HLG_B) / 12)
    luma = np.maximum(scene @ _LUMA_2020, 1e-9)[..., None]
    return np.asarray(_HLG_PEAK_NITS * luma ** (_HLG_GAMMA - 1) * scene)


@lru_cache(maxsize=4)
def _graph(transfer: int, primaries: int, white_nits: float, width: int, height: int) -> Graph:
    """Puts pictures of one size through the table."""
    levels = np.linspace(0, 1, _STEPS)
    blue, green, red = np.meshgrid(levels, levels, levels, indexing="ij")  # in .cube files red runs fastest
    table = standard_rgb(np.stack([red, green, blue], -1).reshape(-1, 3), transfer, primaries, white_nits)
    graph = Graph()
    source = graph.add_buffer(width=width, height=height, format=VideoFormat("gbrp16le"), time_base=Fraction(1))
    with tempfile.TemporaryDirectory(prefix="avatar328-") as folder:
        cube = Path(folder, "table.cube")
        lines = "".join(f"{r:.6f} {g:.6f} {b:.6f}\n" for r, g, b in table)
        cube.write_text(f"LUT_3D_SIZE {_STEPS}\n{lines}", encoding="ascii")
        lut = graph.add("lut3d", f"file={cube}:interp=tetrahedral")
        sink = graph.add("buffersink")
        source.link_to(lut)
        lut.link_to(sink)
        graph.configure()
    return graph
