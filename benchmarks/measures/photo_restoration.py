"""SSIM of bad photos before and after they are restored, for benchmarks.photo_restoration.

Axes: H W C picture (RGB).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Cell, report
from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from data_prep.photo_restoration import Restore, restored_photo
from evaluation.picture import ssim_map
from recipe.face_restorer import FaceRestorer

Picture = NDArray[np.uint8]
_SIZE_PX: Final = 720
_COLUMNS: Final = ("photo", "SSIM before", "SSIM after", "difference", "ms", "what was done")


def run(options: argparse.Namespace) -> None:
    """Make the photo bad in every way, restore it, and print one row each."""
    photo = prepare_photo(options.photo, _SIZE_PX, Stopwatch(), "off")
    restore: Restore = FaceRestorer(options.restorer) if options.restorer else "auto"
    if options.pictures:
        options.pictures.mkdir(parents=True, exist_ok=True)
    rows = [_row(name, bad(photo.rgb_HWC), photo, restore, options.pictures) for name, bad in DEGRADATIONS.items()]
    report(f"Restoring {options.photo.name}, frames of {photo.rgb_HWC.shape[1]} px", _COLUMNS, rows, options.json)


def _row(name: str, bad: Picture, photo: PreparedPhoto, restore: Restore, pictures: Path | None) -> list[Cell]:
    """One way of being bad. A smaller photo is compared at the good one's size, as a browser would show it."""
    good = photo.rgb_HWC
    height, width = good.shape[:2]
    found = photo.found.scaled(bad.shape[1] / width, bad.shape[0] / height)
    began = time.perf_counter()
    better, _, done = restored_photo(bad, found, max(height, width), restore)
    taken_s = time.perf_counter() - began
    shown = [_shown(picture, (width, height)) for picture in (bad, better)]
    x0, y0, x1, y1 = np.clip(photo.found.skin_box, 0, [width, height, width, height]).astype(int)
    face = (slice(y0, y1), slice(x0, x1))
    before, after = (float(ssim_map(picture, good)[face].mean()) for picture in shown)
    if pictures:
        beside = np.concatenate([good[face], shown[0][face], shown[1][face]], axis=1)
        cv2.imwrite(str(pictures / f"{name.replace(' ', '_')}.png"), beside[..., ::-1])
    cells: list[Cell] = [f"{before:.4f}", f"{after:.4f}", f"{after - before:+.4f}"]
    return [name, *cells, round(1000 * taken_s, 1), done or "nothing"]


def _shown(picture: Picture, size: tuple[int, int]) -> Picture:
    if picture.shape[1::-1] == size:
        return picture
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _jpeg(quality: int) -> Callable[[Picture], Picture]:
    def change(rgb_HWC: Picture) -> Picture:
        coded = cv2.imencode(".jpg", rgb_HWC[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return np.ascontiguousarray(np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1], np.uint8)

    return change


def _noise(sigma: float) -> Callable[[Picture], Picture]:
    def change(rgb_HWC: Picture) -> Picture:
        added = np.random.default_rng(328).normal(0, sigma, rgb_HWC.shape)
        return np.clip(np.round(rgb_HWC + added), 0, 255).astype(np.uint8)

    return change


def _blur(sigma_px: float) -> Callable[[Picture], Picture]:
    return lambda rgb_HWC: np.asarray(cv2.GaussianBlur(rgb_HWC, (0, 0), sigma_px), np.uint8)


def _small(times: float, back: bool) -> Callable[[Picture], Picture]:
    """Made smaller, as a photo from afar; or smaller and large again, as somebody else's enlargement."""

    def change(rgb_HWC: Picture) -> Picture:
        height, width = rgb_HWC.shape[:2]
        size = round(width / times / 2) * 2, round(height / times / 2) * 2
        small = cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)
        return np.asarray(
            cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) if back else small, np.uint8
        )

    return change


def _after(*changes: Callable[[Picture], Picture]) -> Callable[[Picture], Picture]:
    def change(rgb_HWC: Picture) -> Picture:
        for one in changes:
            rgb_HWC = one(rgb_HWC)
        return rgb_HWC

    return change


DEGRADATIONS: Final[Mapping[str, Callable[[Picture], Picture]]] = {
    "as it is": lambda rgb_HWC: rgb_HWC,
    "JPEG quality 90": _jpeg(90),
    "JPEG quality 75": _jpeg(75),
    "JPEG quality 50": _jpeg(50),
    "JPEG quality 20": _jpeg(20),
    "JPEG quality 10": _jpeg(10),
    "noise of 3 levels": _noise(3),
    "noise of 5 levels": _noise(5),
    "noise of 10 levels": _noise(10),
    "noise of 20 levels": _noise(20),
    "blur of 1 px": _blur(1),
    "blur of 1.5 px": _blur(1.5),
    "blur of 2 px": _blur(2),
    "blur of 3 px": _blur(3),
    "half as large": _small(2, back=False),
    "a quarter as large": _small(4, back=False),
    "half, and enlarged again": _small(2, back=True),
    "a quarter, and enlarged again": _small(4, back=True),
    "blur of 1.5 px, noise of 8, JPEG 40": _after(_blur(1.5), _noise(8), _jpeg(40)),
}
