"""Photos that cannot become an avatar, made of one that can, and odd files of good photos that can.

Axes: H W C picture (RGB, uint8), K landmarks.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pillow_heif import register_heif_opener

from data_prep.still_landmarks import StillLandmarks
from recipe.mouth import eye_distance
from recipe.warp.draw import WarpedFace
from recipe.warp.source import prepare_source
from recipe.warp.units import mouth_units

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class BadPhoto:
    """How its file is made in a folder, and the words (a pattern) that refuse it; None: it is taken."""

    made: Callable[[Path, Picture, StillLandmarks], Path]
    said: str | None
    of_the_face: bool = False  # what is wrong is seen in the face, and may be missed on another


def covered(picture: Picture, colour: Any, outline: Any, noise: float = 4.0) -> Picture:
    """Something with soft edges and a little texture before the face."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    alpha = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)[..., None]
    grain = np.random.default_rng(0).normal(0, noise, (*picture.shape[:2], 1))
    return np.clip(picture + (np.array(colour) + grain - picture) * alpha, 0, 255).astype(np.uint8)


def mouth_of(found: StillLandmarks) -> NDArray[np.float32]:
    """The middle of the inner lips, x and y."""
    return found.points_K3[[13, 14], :2].mean(0)


def unit_of(found: StillLandmarks) -> float:
    """Px of this face for one of the presenter's, whose outer eye corners lie 124 px apart."""
    return float(eye_distance(found.points_K3[None, :, :2])[0]) / 124


def mask_over(picture: Picture, found: StillLandmarks, colour: Any) -> Picture:
    corners = np.array([[-95, -50], [0, -70], [95, -50], [60, 50], [0, 72], [-60, 50]])
    return covered(picture, colour, mouth_of(found) + unit_of(found) * corners)


def disc_over(picture: Picture, found: StillLandmarks, colour: Any, radius: float = 36) -> Picture:
    turn = radius * unit_of(found) * np.exp(1j * np.linspace(0, 2 * np.pi, 40))
    return covered(picture, colour, mouth_of(found) + np.stack([turn.real, turn.imag], axis=-1))


def hand_over(picture: Picture, found: StillLandmarks) -> Picture:
    """Four fingers of the cheek's own colour with dark lines between them, as lips have one."""
    skin = picture[found.points_K3[50, 1].astype(int), found.points_K3[50, 0].astype(int)].astype(float)
    middle, unit = mouth_of(found), unit_of(found)
    shown = covered(picture, skin, middle + unit * np.array([[-95, -38], [85, -42], [90, 45], [-85, 42]]))
    for k in range(4):
        ends = np.round(middle + unit * np.array([[-90, -20 + 20 * k], [85, -28 + 20 * k]])).astype(int).tolist()
        thick = max(1, round(2 * unit))
        cv2.line(shown, ends[0], ends[1], (skin * 0.7).astype(int).tolist(), thick, cv2.LINE_AA)
    return shown


def scarf_over(picture: Picture, found: StillLandmarks) -> Picture:
    """Cloth with stripes, up to the nose: it has edges where a mouth has some."""
    middle, unit = mouth_of(found), unit_of(found)
    corners = np.array([[-120, -30], [0, -38], [120, -30], [130, 160], [-130, 160]])
    shown = covered(picture, (60, 80, 120), middle + unit * corners)
    for k in range(0, 12, 2):
        stripe = np.array([[-125, -24 + 14 * k], [125, -30 + 14 * k], [125, -16 + 14 * k], [-125, -10 + 14 * k]])
        shown = covered(shown, (170, 60, 60), middle + unit * stripe)
    return shown


def beside(picture: Picture) -> Picture:
    return np.concatenate([picture, picture[:, ::-1]], axis=1)


def turned(picture: Picture, found: StillLandmarks) -> Picture:
    height, width = picture.shape[:2]
    x, y = found.points_K3[:468, :2].mean(0)
    left_eye, right_eye = found.points_K3[[33, 263], :2]
    leans = np.degrees(np.arctan2(*(right_eye - left_eye)[::-1]))
    matrix = cv2.getRotationMatrix2D((float(x), float(y)), 28 + float(leans), 1.0)
    return np.asarray(cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def shrunk(picture: Picture, found: StillLandmarks) -> Picture:
    """The face 115 px wide."""
    by = 115 / float(found.skin_box[2] - found.skin_box[0])
    return np.asarray(cv2.resize(picture, None, fx=by, fy=by, interpolation=cv2.INTER_AREA), np.uint8)


def blurred(picture: Picture, found: StillLandmarks) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 4 * unit_of(found)), np.uint8)


def moved(picture: Picture, found: StillLandmarks) -> Picture:
    """The camera went aside by an eighth of the eye distance while it looked."""
    length = round(16 * unit_of(found))
    return np.asarray(cv2.blur(picture, (length, 1)), np.uint8)


def asleep(picture: Picture, found: StillLandmarks) -> Picture:
    return WarpedFace(prepare_source(picture, found.points_K3)).draw(mouth_units({}), np.zeros(5), 1.0)


def png_that_says(width: int, height: int) -> bytes:
    """A tiny file whose header promises a picture of any size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def _shows(change: Callable[[Picture, StillLandmarks], Picture], said: str) -> BadPhoto:
    def made(folder: Path, picture: Picture, found: StillLandmarks) -> Path:
        Image.fromarray(change(picture, found)).save(folder / "photo.png")
        return folder / "photo.png"

    return BadPhoto(made, said, of_the_face=True)


def _holds(name: str, content: bytes | Callable[[bytes], bytes], said: str) -> BadPhoto:
    """Of other bytes, or of what is done to those of a good PNG."""

    def made(folder: Path, picture: Picture, _: StillLandmarks) -> Path:
        path = folder / name
        Image.fromarray(picture).save(path, "PNG")
        path.write_bytes(content if isinstance(content, bytes) else content(path.read_bytes()))
        return path

    return BadPhoto(made, said)


def _taken(name: str, save: Callable[[Image.Image, Path], None]) -> BadPhoto:
    def made(folder: Path, picture: Picture, _: StillLandmarks) -> Path:
        save(Image.fromarray(picture), folder / name)
        return folder / name

    return BadPhoto(made, None)


def _see_through(image: Image.Image, path: Path) -> None:
    image.putalpha(Image.new("L", image.size, 254))
    image.save(path)


def _turned_by_exif(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show it
    image.rotate(90, expand=True).save(path, exif=exif, quality=95)


def _moving(image: Image.Image, path: Path) -> None:
    image.save(path, save_all=True, append_images=[image.rotate(180)], lossless=True)


def _of_a_telephone(image: Image.Image, path: Path) -> None:
    register_heif_opener()
    image.save(path, quality=90)


BAD_PHOTOS: Final[dict[str, BadPhoto]] = {
    "no face": _shows(lambda p, f: np.roll(p[:150].repeat(2, 0), 200, axis=1)[:, :180], "no face was found"),
    "two faces": _shows(lambda p, f: beside(p), "shows 2 faces, expected one"),
    "a small face": _shows(shrunk, r"is 11\d px wide, at least 150"),
    "a tilted face": _shows(turned, r"turned tilted by 2\d\.\d degrees"),
    "blurred": _shows(blurred, "is blurred"),
    "a shaken camera": _shows(moved, "is blurred"),
    "closed eyes": _shows(asleep, "eyes in .* are closed"),
    "a blue mask": _shows(lambda p, f: mask_over(p, f, (120, 170, 210)), "mouth in .* is hidden"),
    "a white mask": _shows(lambda p, f: mask_over(p, f, (230, 230, 228)), "mouth in .* is hidden"),
    "a black mask": _shows(lambda p, f: mask_over(p, f, (30, 30, 32)), "mouth in .* is hidden"),
    "a hand": _shows(hand_over, "mouth in .* is hidden"),
    "a microphone": _shows(lambda p, f: disc_over(p, f, (40, 40, 44)), "mouth in .* is hidden"),
    "a red cup": _shows(lambda p, f: disc_over(p, f, (190, 40, 40)), "mouth in .* is hidden"),
    "a red ball before the middle of the mouth": _shows(
        lambda p, f: disc_over(p, f, (190, 40, 40), 25), "mouth in .* is hidden"
    ),
    "a white cup": _shows(lambda p, f: disc_over(p, f, (235, 232, 226)), "mouth in .* is hidden"),
    "a striped scarf": _shows(scarf_over, "mouth in .* is hidden"),
    "a text": _holds("text.jpg", b"not a picture " * 100, "is no picture of a kind that is read"),
    "an empty file": _holds("empty.png", b"", "is empty"),
    "half a file": _holds("half.png", lambda whole: whole[: len(whole) // 2], "is damaged"),
    "a damaged HEIC": _holds("apple.heic", b"\0\0\0\x18ftypheic" + b"\0" * 400, "is no picture"),
    "no video either": _holds("video.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 400, "is no picture"),
    "100 megapixels": _holds("huge.png", png_that_says(10_000, 10_000), "has|is too large"),
    "3600 megapixels": _holds("bomb.png", png_that_says(60_000, 60_000), "has|is too large"),
    "a thin strip": _holds("thin.png", png_that_says(100, 400), "has|is too"),
    "CMYK": _taken("cmyk.jpg", lambda image, path: image.convert("CMYK").save(path, quality=95)),
    "transparent": _taken("alpha.png", _see_through),
    "turned by EXIF": _taken("exif.jpg", _turned_by_exif),
    "animated": _taken("moving.webp", _moving),
    "HEIC": _taken("telephone.heic", _of_a_telephone),
}
