"""Times of a photo avatar's frames, for benchmarks.photo_frame.

Axes: N frames, U mouth units, H W C picture.
"""

from __future__ import annotations

import argparse
import time
from typing import Final

import cv2
import numpy as np

from benchmarks.table import Cell, report
from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from recipe.warp.draw import WarpedFace
from recipe.warp.motion import idle_motion
from recipe.warp.source import prepare_source
from recipe.warp.units import mouth_units

_SYLLABLES_HZ: Final = 4.0
_VOWELS: Final = (
    {"jawOpen": 0.46, "mouthLowerDown": 0.30, "mouthUpperUp": 0.14, "tongueLow": 0.3},
    {"jawOpen": 0.09, "mouthFunnel": 0.22, "mouthPucker": 0.66},
    {"jawOpen": 0.13, "mouthLowerDown": 0.26, "mouthUpperUp": 0.16, "mouthStretch": 0.16, "mouthSmile": 0.24},
)
_COLUMNS: Final = ("frame", "kept, MB", "set-up, CPU s", "CPU ms, median", "CPU ms, 95 %", "wall ms, median")


def run(options: argparse.Namespace) -> None:
    """Measure every size on one thread."""
    before = cv2.getNumThreads()
    photo = prepare_photo(options.photo, 1024, Stopwatch())
    cv2.setNumThreads(1)
    try:
        rows = [row_of(photo, size, options.frames) for size in options.sizes]
    finally:
        cv2.setNumThreads(before)
    report("A photo avatar's frame on one thread", _COLUMNS, rows, options.json)


def row_of(photo: PreparedPhoto, size: int, frames: int) -> list[Cell]:
    """The photo at another size, in the order of the columns."""
    rgb_HWC, points_K3, arrays = photo.rgb_HWC, photo.found.points_K3, photo.arrays
    scale = size / max(rgb_HWC.shape[:2])
    width, height = (round(side * scale / 2) * 2 for side in rgb_HWC.shape[1::-1])
    picture = np.asarray(cv2.resize(rgb_HWC, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    person = cv2.resize(arrays["person_HW"].astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_LINEAR)
    start = time.process_time()
    prepared = prepare_source(picture, points_K3 * np.float32(scale), np.asarray(person, np.float32))
    setup_s = time.process_time() - start
    cpu_ms, wall_ms = _times(WarpedFace(prepared), frames)
    kept_mb = sum(array.nbytes for array in prepared.values()) / 1e6
    return [
        f"{width}x{height}",
        kept_mb,
        setup_s,
        *(float(v) for v in np.percentile(cpu_ms, [50, 95])),
        float(np.median(wall_ms)),
    ]


def _times(face: WarpedFace, frames: int) -> tuple[list[float], list[float]]:
    motion = idle_motion(0)
    vowels = [mouth_units(vowel) for vowel in _VOWELS]
    time.sleep(0.5)  # NumPy's threads go on waiting busily for a while after the set-up
    cpu_ms, wall_ms = [], []
    for i in range(frames):
        t = i / 25
        units = vowels[int(t * _SYLLABLES_HZ) % len(vowels)] * np.sin(np.pi * t * _SYLLABLES_HZ) ** 2
        k = i % len(motion)
        told = motion.head_N5[k], float(motion.blink_N[k]), float(motion.brows_N[k]), motion.gaze_N2[k]
        cpu, wall = time.process_time(), time.perf_counter()
        face.draw(units, *told)
        cpu_ms.append(1e3 * (time.process_time() - cpu))
        wall_ms.append(1e3 * (time.perf_counter() - wall))
    return cpu_ms, wall_ms
