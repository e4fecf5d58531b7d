"""Pictures of every usual kind are read upright, flat and in eight bits; anything else is refused by name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pillow_heif import register_heif_opener

from benchmarks.bad_photos import png_that_says
from data_prep.errors import NotAPictureError, PictureSizeError
from data_prep.picture_file import read_picture
from tests.photo_material import Picture, prepared, written


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif", "a.heic"])
def test_the_usual_formats_are_read(picture: Picture, tmp_path: Path, name: str) -> None:
    register_heif_opener()  # it writes them, too
    read = read_picture(written(tmp_path / name, picture))
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).mean() < 4


def test_pictures_come_upright_flat_and_in_eight_bits(picture: Picture, tmp_path: Path) -> None:
    image = Image.fromarray(picture[:, :400])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show it
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), picture[:, :400])

    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").astype(int) - picture[:, :400]).mean() < 4

    see_through = image.convert("RGBA")
    see_through.putalpha(Image.fromarray(np.where(np.arange(400) < 200, 0, 255).astype(np.uint8)[None].repeat(512, 0)))
    see_through.save(tmp_path / "alpha.png")
    read = read_picture(tmp_path / "alpha.png")
    assert (read[:, :200] == 255).all()
    np.testing.assert_array_equal(read[:, 200:], picture[:, 200:400])

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png"), grey[..., None].repeat(3, -1))

    frames = [Image.fromarray(p) for p in (picture, 255 - picture)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "moving.webp"), picture)


def test_files_that_are_no_pictures_are_refused(picture: Picture, tmp_path: Path) -> None:
    def refused(name: str, content: bytes, error: type[Exception], message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=message):
            prepared(tmp_path / name)

    whole = written(tmp_path / "photo.png", picture).read_bytes()
    refused("text.jpg", b"not a picture " * 100, NotAPictureError, "text.jpg is no picture of a kind that is read")
    refused("empty.png", b"", NotAPictureError, "is empty")
    refused("half.png", whole[: len(whole) // 2], NotAPictureError, "half.png is damaged")
    refused("apple.heic", b"\0\0\0\x18ftypheic" + b"\0" * 400, NotAPictureError, "is no picture")
    refused("video.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 400, NotAPictureError, "is no picture")
    with pytest.raises(NotAPictureError, match="is not a file"):
        prepared(tmp_path / "nobody.jpg")


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (100, 400)])
def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "huge.png").write_bytes(png_that_says(width, height))
    with pytest.raises(PictureSizeError, match=r"huge\.png (has|is too large)"):
        read_picture(tmp_path / "huge.png")


def test_a_huge_jpeg_is_decoded_small(picture: Picture, tmp_path: Path) -> None:
    large = cv2.resize(picture, (6000, 6000), interpolation=cv2.INTER_LINEAR)
    read = read_picture(written(tmp_path / "large.jpg", large, quality=80))
    assert max(read.shape) <= 4096
    small = cv2.resize(read, (512, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - picture).mean() < 3
