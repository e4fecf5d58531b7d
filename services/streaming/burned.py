"""Captions drawn into pictures: at most two lines at the lower edge, below the face.

OpenCV draws ASCII only, and the FFmpeg inside PyAV has neither libass nor FreeType; so Pillow draws, with DejaVu Sans,
which comes with OpenCV and so is in every installation: Latin, Greek, Cyrillic, Georgian, Armenian, and, where the
system has libfribidi, Hebrew and Arabic. It has no Chinese, Japanese, Korean, Indic or Thai letters: these are drawn
with the font that a setting names, or one of the usual places, and are refused where there is none.

Axes: H W C picture (RGB, uint8); h rows of the strip that captions lie in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from services.errors import CaptionRejectedError
from services.streaming.caption_lines import LINE, in_lines, parts_of, units
from services.streaming.events import Caption, Event, Frame, Header

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_SHIPPED: Final = Path(cv2.__file__).parent / "qt" / "fonts" / "DejaVuSans.ttf"
_USUAL: Final = tuple(
    Path("/usr/share/fonts") / name
    for name in (
        "opentype/noto/NotoSansCJK-Regular.ttc",  # Debian and Ubuntu: fonts-noto-cjk
        "google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",  # Fedora
        "noto-cjk/NotoSansCJK-Regular.ttc",  # Arch
        "truetype/wqy/wqy-microhei.ttc",  # fonts-wqy-microhei
    )
)
_UNITS_PER_S: Final = 14.0  # a guess, while the end of a sentence is not known
_LETTER: Final = 0.52  # mean width of a letter, of the font's size
_SHARE: Final = 0.9  # of the width for a full line
_HIGHEST: Final = 1 / 14  # size of the letters, of the picture's height
_BOX_RGB: Final = (18, 18, 20)
_BOX_OPACITY: Final = 0.66
_PROBE_PX: Final = 24
_MOST_TOLD: Final = 8  # letters that are missing
_NO_LETTER: Final = "\U0010fffd"  # stands for what a font lacks


class CaptionFonts:
    """The fonts of this installation, in the order in which they are tried."""

    def __init__(self, chosen: Path | None) -> None:
        """Look which are there.

        Args:
            chosen: of the setting; goes before the others.
        """
        self._paths = [path for path in (chosen, _SHIPPED, *_USUAL) if path is not None and path.is_file()]

    def font(self, text: str, size_px: int) -> FreeTypeFont:
        """The first font that has every letter of a text.

        Raises:
            CaptionRejectedError: none has, or nothing here can put its letters together.
        """
        from PIL import ImageFont, features

        if not features.check("raqm") and any(_is_composed(character) for character in text):
            raise CaptionRejectedError(
                "the captions' letters join or run from right to left, for which the server's system lacks libfribidi "
                "(Debian: apt-get install libfribidi0); ask without captions"
            )
        missing = text
        for path in self._paths:
            lacking = _lacking(path, text)
            if not lacking:
                return ImageFont.truetype(str(path), size_px)
            missing = min(missing, lacking, key=len)
        raise CaptionRejectedError(
            f"no font of the server has {', '.join(missing[:_MOST_TOLD])}; install one (Debian: fonts-noto-cjk), name "
            "one in AVATAR328_SERVER__CAPTION_FONT, or ask without captions"
        )

    def check(self, text: str) -> None:
        """Look whether a text can be drawn.

        Raises:
            CaptionRejectedError: it cannot.
        """
        self.font(text, _PROBE_PX)


def burned(events: Generator[Event, None, None], fonts: CaptionFonts) -> Generator[Event, None, None]:
    """The same utterance, with what is said drawn into its pictures.

    Raises:
        CaptionRejectedError: a caption cannot be drawn.
    """
    strip: _Strip | None = None
    parts: list[tuple[int, str]] = []  # the frame from which on each is shown
    with closing(events):
        at = 0
        for event in events:
            if isinstance(event, Header):
                strip = _Strip(fonts, event.width, event.height)
            elif isinstance(event, Caption):
                parts = list(_timed(event.text, at))
            elif isinstance(event, Frame):
                assert strip is not None
                while len(parts) > 1 and parts[1][0] <= at:
                    parts.pop(0)
                if parts:
                    event = replace(event, frame_rgb_HWC=strip.over(event.frame_rgb_HWC, parts[0][1]))
                at += 1
            yield event


def _timed(text: str, at: int) -> Generator[tuple[int, str], None, None]:
    for part in parts_of(text):
        yield at, part
        at += round(units(part) / _UNITS_PER_S * FPS)


class _Strip:
    """The rows at the lower edge of a picture that captions are drawn in."""

    def __init__(self, fonts: CaptionFonts, width: int, height: int) -> None:
        self._fonts, self._width, self._height = fonts, width, height
        self._size_px = max(8, round(min(_SHARE * width / (LINE * _LETTER), height * _HIGHEST)))
        self._shown = ""
        self._drawn: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def over(self, picture_HWC: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
        """A copy with a caption."""
        if text != self._shown or self._drawn is None:
            self._shown, self._drawn = text, self._draw(text)
        paint_hW3, keep_hW1 = self._drawn
        drawn_HWC = picture_HWC.copy()
        rows = slice(self._height - len(paint_hW3), self._height)
        drawn_HWC[rows] = (picture_HWC[rows] * keep_hW1 + paint_hW3 + 0.5).astype(np.uint8)
        return drawn_HWC

    def _draw(self, text: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What is added to the rows, and the share of them that stays."""
        from PIL import Image, ImageDraw

        lines = in_lines(text)
        size_px = self._size_px
        font = self._fonts.font(text, size_px)
        widest = max(font.getlength(line) for line in lines)
        if widest > _SHARE * self._width:
            size_px = max(6, int(size_px * _SHARE * self._width / widest))
            font = font.font_variant(size=size_px)
            widest = max(font.getlength(line) for line in lines)
        step, pad = round(1.3 * size_px), round(0.45 * size_px)
        height = min(self._height, step * len(lines) + 3 * pad)
        letters = Image.new("L", (self._width, height))
        box = Image.new("L", (self._width, height))
        left, right = (self._width - widest) / 2 - pad, (self._width + widest) / 2 + pad
        ImageDraw.Draw(box).rounded_rectangle((left, 0, right, height - pad - 1), pad, fill=255)
        pen = ImageDraw.Draw(letters)
        for number, line in enumerate(lines):
            pen.text((self._width / 2, pad / 2 + step * number + size_px), line, fill=255, font=font, anchor="ms")
        ink_hW1 = np.asarray(letters, np.float32)[..., None] / 255
        box_hW1 = np.asarray(box, np.float32)[..., None] / 255 * _BOX_OPACITY * (1 - ink_hW1)
        paint_hW3 = 255 * ink_hW1 + box_hW1 * np.array(_BOX_RGB, np.float32)
        return paint_hW3.astype(np.float32), (1 - ink_hW1 - box_hW1).astype(np.float32)


def _is_composed(character: str) -> bool:
    """It is put together with its neighbours, or goes from right to left."""
    return unicodedata.bidirectional(character) in ("R", "AL") or unicodedata.category(character) == "Mc"


def _lacking(path: Path, text: str) -> str:
    """The letters of a text that a font has not; spaces, accents and signs without a look are not asked for."""
    from PIL import ImageFont

    font = ImageFont.truetype(str(path), _PROBE_PX, layout_engine=ImageFont.Layout.BASIC)
    nothing = bytes(font.getmask(_NO_LETTER))
    seen = (letter for letter in sorted(set(text)) if not letter.isspace() and _has_look(letter))
    return "".join(letter for letter in seen if bytes(font.getmask(letter)) == nothing)


def _has_look(letter: str) -> bool:
    return unicodedata.category(letter) not in ("Cc", "Cf", "Mn")
