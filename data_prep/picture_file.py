"""A picture file as upright RGB bytes in sRGB, whatever it holds; its size is known before it is decoded.

Read are JPEG (also those of telephones that hold several pictures), PNG, WebP, AVIF, HEIC, GIF, BMP and TIFF; of an
animated file the first picture.

Axes: H W C picture.
"""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from pillow_heif import register_heif_opener

from data_prep.errors import NotAPictureError, PictureSizeError

log = logging.getLogger(__name__)
_FORMATS: Final = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "GIF", "BMP", "TIFF")
LARGEST_FILE_BYTES: Final = 100 << 20
LARGEST_PIXELS: Final = 50_000_000  # of a file that is decoded whole: 150 MB
LARGEST_JPEG_PIXELS: Final = 200_000_000  # a JPEG is decoded at a fraction of its size
LEAST_SIDE_PX: Final = 150
WORKING_SIDE_PX: Final = 4096  # pictures are made smaller to this; a face in it still has its pixels


def is_picture(path: Path) -> bool:
    """Whether the file begins like one of the formats that are read."""
    try:
        with _opened(path):
            return True
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture, upright, its longer side at most 4096 px.

    Args:
        path: transparent places become white.
    Returns:
        (H, W, 3) RGB.
    Raises:
        NotAPictureError: it is none, or it is damaged.
        PictureSizeError: it is too large or too small; found before it is decoded.
    """
    check_file(path)
    try:
        with _opened(path) as picture:
            _check_size(picture, path)
            picture.draft("RGB", (WORKING_SIDE_PX, WORKING_SIDE_PX))  # JPEG decodes smaller at once
            picture.load()
            return _as_rgb(picture)
    except UnidentifiedImageError as error:
        raise NotAPictureError(f"{path.name} is no picture of a kind that is read: give a JPEG, PNG or WebP") from error
    except Image.DecompressionBombError as error:
        raise PictureSizeError(f"{path.name} is too large to be opened ({error}): make it smaller first") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:  # what Pillow raises at damaged files
        raise NotAPictureError(f"{path.name} is damaged ({error}): copy it again from where it was taken") from error


def check_file(path: Path) -> None:
    """Refuse what is no file or too large a one.

    Raises:
        NotAPictureError, PictureSizeError: see there.
    """
    if not path.is_file():
        raise NotAPictureError(f"{path.absolute()} is not a file: give the path of a photo")
    size = path.stat().st_size
    if size == 0:
        raise NotAPictureError(f"{path.name} is empty: copy it again from where it was taken")
    if size > LARGEST_FILE_BYTES:
        raise PictureSizeError(
            f"{path.name} has {size >> 20} MB, at most {LARGEST_FILE_BYTES >> 20} MB are read: make it smaller first"
        )


def _opened(path: Path) -> Image.Image:
    Image.init()  # makes the names of all formats known...
    register_heif_opener(thumbnails=False)  # ...and that of HEIC, which Pillow itself does not read
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # sizes are checked here, with our own limits
        return Image.open(path, formats=_FORMATS)


def _check_size(picture: Image.Image, path: Path) -> None:
    width, height = picture.size
    largest = LARGEST_JPEG_PIXELS if picture.format in {"JPEG", "MPO"} else LARGEST_PIXELS
    if width * height > largest:
        raise PictureSizeError(
            f"{path.name} has {width}x{height} px; at most {largest // 1_000_000} megapixels of a {picture.format} are "
            "read: make it smaller first"
        )
    if min(width, height) < LEAST_SIDE_PX:
        raise PictureSizeError(
            f"{path.name} has {width}x{height} px; at least {LEAST_SIDE_PX} px a side are needed: give a larger picture"
        )


def _as_rgb(picture: Image.Image) -> NDArray[np.uint8]:
    profile = picture.info.get("icc_profile")
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I") or upright.mode == "F":
        upright = _eight_bits(upright)
    if max(upright.size) > WORKING_SIDE_PX and upright.mode not in {"P", "1"}:
        upright.thumbnail((WORKING_SIDE_PX, WORKING_SIDE_PX), Image.Resampling.BOX, reducing_gap=2.0)
    if upright.mode in {"P", "LA", "PA", "La", "RGBa"} or "transparency" in upright.info:
        upright = upright.convert("RGBA")
    alpha = upright.getchannel("A") if "A" in upright.getbands() else None
    rgb = _in_srgb(upright.convert("RGB") if alpha is not None else upright, profile)
    if alpha is not None:
        white = Image.new("RGB", rgb.size, (255, 255, 255))
        white.paste(rgb, mask=alpha)
        rgb = white
    return np.ascontiguousarray(rgb, np.uint8)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 or more bits; Pillow itself would cut everything above 255."""
    values = np.asarray(picture, np.float64)
    largest = 65535.0 if picture.mode.startswith("I") else max(float(values.max()), 1.0)
    return Image.fromarray(np.clip(values * (255 / largest) + 0.5, 0, 255).astype(np.uint8))


def _in_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Telephones record in wider colours than pages show."""
    if profile and picture.mode in {"RGB", "CMYK"}:
        try:
            given, wanted = ImageCms.ImageCmsProfile(BytesIO(profile)), ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(picture, given, wanted, outputMode="RGB")
            if converted is not None:
                return converted
        except (ImageCms.PyCMSError, OSError, ValueError) as error:
            log.info("its colour profile cannot be used (%s): colours are taken as sRGB", error)
    return picture.convert("RGB")
