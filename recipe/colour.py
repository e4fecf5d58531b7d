"""Between coded pictures and RGB: one function each way, used for datasets and for serving alike.

The coded picture says by which matrix (BT.601, BT.709, BT.2020) and in which range (16-235 or 0-255) its numbers are
meant. Ignoring that shifts skin tones visibly. Where the file is silent the usual rule holds: small pictures are
BT.601, the others BT.709, the range is 16-235. HDR and wide gamuts become standard colours: `tone`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, Interpolation
from numpy.typing import NDArray

from recipe.errors import ColourError
from recipe.tone import HDR_NAMES, WHITE_NITS, is_standard, to_standard, white_of

# Exact and the same on every processor; the fast default is up to 4 levels off and takes the nearest chroma sample.
_EXACT: Final = (
    Interpolation.BICUBIC
    | Interpolation.ACCURATE_RND
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.BITEXACT
)
_MATRICES: Final = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
    10: Colorspace.BT2020,
}
_SILENT: Final = (0, 2, 3)  # RGB needs no matrix; the others don't say
_HIGH_DEFINITION_ROWS: Final = 720
# Pixel formats whose numbers fill 0..255 whatever the tag says.
_FULL_RANGE_FORMATS: Final = ("yuvj", "gray", "ya")


def decode_rgb(frame: av.VideoFrame, white_nits: float = WHITE_NITS[0]) -> NDArray[np.uint8]:
    """Turn a decoded picture into RGB, as coded: not rotated.

    Args:
        frame: any pixel format, with the colour tags of its stream.
        white_nits: light of what becomes white; in HDR alone. The recording's, from `hdr_white`.
    Returns:
        (H, W, 3) uint8 RGB, BT.709.
    Raises:
        ColourError: its colours are coded in a way that is not read.
    """
    standard = is_standard(frame)
    wide = _reformatted(frame, "rgb24" if standard else "gbrp16le")
    rgb = wide if standard else to_standard(wide, white_nits).reformat(format="rgb24", interpolation=_EXACT, threads=1)
    return np.ascontiguousarray(rgb.to_ndarray(), dtype=np.uint8)


def hdr_white(frames: Iterable[av.VideoFrame]) -> float | None:
    """Which light is white in a recording in HDR, cd/m2; None where it is standard.

    Args:
        frames: a few of its pictures, decoded.
    """
    hdr = [frame for frame in frames if int(frame.color_trc) in HDR_NAMES]
    whites = [
        white_of(np.asarray(_reformatted(frame, "rgb48le").to_ndarray(), np.uint16), int(frame.color_trc))
        for frame in hdr
    ]
    return float(np.median(whites)) if whites else None


def _reformatted(frame: av.VideoFrame, form: str) -> av.VideoFrame:
    """The picture's RGB as its matrix and range mean it."""
    matrix = _MATRICES.get(int(frame.colorspace))
    if matrix is None and int(frame.colorspace) not in _SILENT:
        raise ColourError(
            f"this video's colours are coded in a way that is not read (matrix {int(frame.colorspace)}). Export it as "
            "standard video (SDR, BT.709), or switch HDR off and record again"
        )
    if matrix is None:
        large = min(frame.width, frame.height) >= _HIGH_DEFINITION_ROWS
        matrix = Colorspace.ITU709 if large else Colorspace.ITU601
    full = frame.color_range == ColorRange.JPEG or frame.format.name.startswith(_FULL_RANGE_FORMATS)
    return frame.reformat(
        format=form,
        src_colorspace=matrix,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=_EXACT,
        threads=1,
    )


def encode_rgb(picture_rgb_HWC: NDArray[np.uint8]) -> av.VideoFrame:
    """Turn RGB into a picture to be coded: yuv420p, BT.709, 16-235, and tagged so.

    Args:
        picture_rgb_HWC: uint8, even height and width.
    """
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture_rgb_HWC), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        src_colorspace=Colorspace.ITU709,
        dst_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        dst_color_trc=ColorTrc.BT709,
        dst_color_primaries=ColorPrimaries.BT709,
        interpolation=_EXACT,
        threads=1,
    )
