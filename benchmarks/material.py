"""What the benchmarks work on: an avatar, at its own or another size, sound, and models on any runtime.

Axes: T template frames, S audio samples (16 kHz), H W C picture (RGB, uint8).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import av
import configargparse
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.options import RUNTIMES
from recipe.avatar_format import FRAMES_FILE, TRACK_FILE, seal_avatar
from recipe.colour import decode_rgb, encode_rgb
from recipe.recipe_328 import CROP_PX, FPS, SAMPLE_RATE_HZ
from services.avatars.avatar import Avatar, open_video_avatar
from services.model_service import ModelService
from services.runtimes.choice import GPU_RUNTIMES, choose_runtime
from services.runtimes.names import RuntimeName
from services.runtimes.onnx import cuda_device_count
from services.runtimes.openvino import OpenVinoRuntime
from services.runtimes.runtime import Runtime

MIB: Final = 1 << 20
FEATURES_BYTES: Final = 512 * MIB  # the product's own defaults
TEMPLATE_BYTES: Final = 256 * MIB
JPEG_QUALITY: Final = 85


def threads_of(options: configargparse.Namespace) -> int:
    """The thread budget as a number above 0."""
    return options.threads or os.cpu_count() or 1


def runtimes_here() -> list[RuntimeName]:
    """Every runtime that this machine can compute with; "auto" is none of them."""
    openvino = OpenVinoRuntime("bf16", 1)
    missing: set[RuntimeName] = {"auto"}
    missing |= set() if cuda_device_count() else GPU_RUNTIMES
    missing |= set() if openvino.computes_bf16 else {"openvino-bf16"}
    return [name for name in RUNTIMES if name not in missing]


def cpu_runtime(name: RuntimeName, threads: int) -> Runtime:
    """A runtime on the CPU, unless it is one for GPUs only."""
    return choose_runtime(name, "auto" if name in GPU_RUNTIMES else "cpu", threads)


def model_service(avatars_dir: Path, runtime: Runtime, features_bytes: int = FEATURES_BYTES) -> ModelService:
    """Models with the product's budgets."""
    return ModelService(avatars_dir, runtime, 1024 * MIB, features_bytes, TEMPLATE_BYTES)


def noise_S(seconds: float, seed: int = 0) -> NDArray[np.float32]:
    """Sound for the networks: their speed does not depend on what is said."""
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def noise_pieces(frames: int, seed: int = 0) -> Generator[NDArray[np.float32], None, None]:
    """Sound of so many frames in pieces of at most a second, never held as a whole."""
    for first in range(0, frames, FPS):
        yield noise_S(min(FPS, frames - first) / FPS, seed + first)


@contextmanager
def sized_avatars(options: configargparse.Namespace, frames: int | None = None) -> Iterator[Path]:
    """The folder of avatars to use: the given one, or a temporary one that holds the avatar at the wanted size.

    Args:
        options: with name, avatars_dir and size.
        frames: how many template frames a copy needs; None takes all.
    """
    if options.size is None:
        yield options.avatars_dir
        return
    with TemporaryDirectory() as folder:
        write_scaled_avatar(open_video_avatar(options.avatars_dir, options.name), Path(folder), options.size, frames)
        yield Path(folder)


def write_scaled_avatar(source: Avatar, avatars_dir: Path, size: tuple[int, int], frames: int | None) -> Path:
    """Write an avatar whose pictures have another size; the networks are the same.

    Every picture is scaled, without distortion, until it covers the new size, and cut so that the face stays in the
    middle as far as possible. The face grows with it, and so does the region that is pasted.

    Returns:
        The new avatar's folder.
    """
    width, height = size
    count = min(frames or source.manifest.frames, source.manifest.frames)
    scale = max(width / source.manifest.width, height / source.manifest.height)
    covering = (max(width, round(scale * source.manifest.width)), max(height, round(scale * source.manifest.height)))
    left, top = _cut(source, scale, covering, (width, height))
    affine_T23 = source.affine_T23[:count].astype(np.float64)
    # A new pixel (x, y) was filmed at ((x + left + 0.5) / scale - 0.5, ...).
    shift_2 = (np.array([left, top]) + 0.5) / scale - 0.5
    affine_T23[:, :, 2] += affine_T23[:, :, :2] @ shift_2
    affine_T23[:, :, :2] /= scale
    folder = avatars_dir / source.name
    folder.mkdir(parents=True)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    with av.open(str(source.folder / FRAMES_FILE)) as film:
        pictures = (decode_rgb(frame) for _, frame in zip(range(count), film.decode(video=0), strict=False))
        cut = (slice(top, top + height), slice(left, left + width))
        scaled = (np.asarray(cv2.resize(p, covering, interpolation=way), np.uint8)[cut] for p in pictures)
        _write_film(folder / FRAMES_FILE, scaled, width, height)
    np.savez(
        folder / TRACK_FILE,
        affine_T23=affine_T23.astype(np.float32),
        opening_T=source.opening_T[:count],
        pose_T3=source.pose_T3[:count],
        motion_T=(scale * source.motion_T[:count]).astype(np.float32),
        references_3HWC=source.references_3HWC,
    )
    for filename in source.manifest.files.keys() - {FRAMES_FILE, TRACK_FILE}:
        link_or_copy(source.folder / filename, folder / filename)
    seal_avatar(folder, {**asdict(source.manifest), "frames": count, "width": width, "height": height})
    return folder


def _cut(source: Avatar, scale: float, covering: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    linear_T22, shift_T2 = np.split(source.affine_T23.astype(np.float64), [2], axis=2)
    centre_2 = np.linalg.solve(linear_T22, CROP_PX / 2 - shift_T2)[..., 0].mean(axis=0)
    left, top = (
        int(np.clip(scale * middle - wanted / 2, 0, there - wanted))
        for middle, wanted, there in zip(centre_2, size, covering, strict=True)
    )
    return left, top


def _write_film(path: Path, pictures: Iterator[NDArray[np.uint8]], width: int, height: int) -> None:
    """H.264 as a dataset's frames.mp4: closed groups of a second without B-frames."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": "14", "preset": "veryfast", "bf": "0", "g": str(FPS), "sc_threshold": "0"}
        for index, picture in enumerate(pictures):
            frame = encode_rgb(picture)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link; a copy where the two places are on different disks."""
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)
