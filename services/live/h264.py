"""The pictures of one live session as H.264, each decodable as soon as it is there.

Axes: H W C picture (RGB, uint8).
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import av
import numpy as np
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from numpy.typing import NDArray

from recipe.colour import encode_rgb
from recipe.recipe_328 import FPS

_BT709: Final = 1
_LIMITED_RANGE: Final = 1
# A key picture only where one is asked for, with its parameter sets before it.
_ENDLESS: Final = "keyint=infinite:scenecut=0:repeat-headers=1"


class H264Coder:
    """Codes picture after picture, without looking ahead; for one thread."""

    def __init__(self, width: int, height: int) -> None:
        """Open the coder.

        Args:
            width, height: of every picture, px, even.
        """
        context = av.CodecContext.create("libx264", "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = width, height, "yuv420p"
        context.framerate, context.time_base = Fraction(FPS), Fraction(1, FPS)
        context.thread_count = 1
        context.color_primaries = context.color_trc = context.colorspace = _BT709
        context.color_range = _LIMITED_RANGE
        context.options = {
            "crf": "22", "preset": "superfast", "tune": "zerolatency", "forced-idr": "1", "x264-params": _ENDLESS,
        }  # fmt: skip
        self._context = context
        self._pictures = 0

    def code(self, picture_HWC: NDArray[np.uint8], key: bool) -> bytes:
        """The access unit of a picture (ITU-T H.264, annex B).

        Args:
            picture_HWC: of this coder's size.
            key: to be decodable without those before it.
        """
        picture = encode_rgb(picture_HWC)
        picture.pts, picture.time_base = self._pictures, Fraction(1, FPS)
        picture.pict_type = PictureType.I if key else PictureType.NONE
        self._pictures += 1
        return b"".join(bytes(packet) for packet in self._context.encode(picture))
