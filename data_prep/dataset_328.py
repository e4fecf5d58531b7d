"""A prepared recording on disk: what the files are, how to open them.

    dataset/NAME/
        frames.mp4      the recording at exactly 25 upright frames per second, H.264, no sound
        audio.wav       16 kHz mono, in step with the frames; frame i owns samples [640 i, 640 (i + 1))
        crops.npy       uint8 (T, 328, 328, 3) RGB; zeros where the frame is not valid
        track.npz       per frame, see Dataset328; zeros where the frame is not valid
        manifest.json   facts, source, clips, splits, quality; written last, so its presence means "complete"
        report.html     the same for people

Axes: T video frames (25/s), K landmarks, S audio samples (16 kHz).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import CROP_PX, SAMPLES_PER_FRAME, check_recipe
from recipe.sound import read_wav

SCHEMA: Final = "avatar328/dataset"
VERSION: Final = 1
FRAMES, AUDIO, CROPS, TRACK, MANIFEST, REPORT = (
    "frames.mp4",
    "audio.wav",
    "crops.npy",
    "track.npz",
    "manifest.json",
    "report.html",
)
PRODUCTS: Final = (FRAMES, AUDIO, CROPS, TRACK, REPORT, MANIFEST)
TRACK_ARRAYS: Final = (
    "affine_T23",
    "landmarks_TK2",
    "valid_T",
    "opening_T",
    "blur_T",
    "pose_T3",
    "box_T4",
)


class DatasetError(ValueError):
    """A dataset is missing, incomplete or of another version."""


@dataclass(frozen=True)
class Dataset328:
    """An opened dataset; the crops stay on disk until they are read."""

    folder: Path
    manifest: dict[str, Any]
    crops: NDArray[np.uint8]  # memory map (T, 328, 328, 3) RGB
    affine_T23: NDArray[np.float32]  # frame px -> crop px, smoothed
    landmarks_TK2: NDArray[np.float32]  # 478 mediapipe points, frame px
    valid_T: NDArray[np.bool_]  # a good face; only these frames may be learnt from
    opening_T: NDArray[np.float32]  # inner lips' distance over outer eye corners' distance
    blur_T: NDArray[np.float32]  # variance of the Laplacian of the grey crop: large is sharp
    pose_T3: NDArray[np.float32]  # pitch, yaw, roll in degrees
    box_T4: NDArray[np.float32]  # x0, y0, x1, y1 of the face, frame px
    audio_S: NDArray[np.float32]
    clips: list[tuple[int, int]]  # half-open ranges between jump cuts
    splits: dict[str, list[tuple[int, int]]]  # "train", "val", "test"

    @property
    def name(self) -> str:
        """The dataset's name."""
        return str(self.manifest["name"])

    @property
    def frames_path(self) -> Path:
        """The normalised pictures."""
        return self.folder / FRAMES

    def __len__(self) -> int:
        return len(self.valid_T)


def open_dataset(path: Path) -> Dataset328:
    """Open dataset/NAME for reading.

    Raises:
        DatasetError: missing, incomplete or of another version.
        RecipeMismatchError: made by another recipe.
    """
    manifest = read_manifest(path)
    if manifest is None:
        raise DatasetError(f"{path} holds no complete dataset: run python -m data_prep {path.name}")
    found = manifest.get("schema"), manifest.get("version")
    if found != (SCHEMA, VERSION):
        raise DatasetError(f"{path}: expected {(SCHEMA, VERSION)}, found {found}: run python -m data_prep {path.name}")
    check_recipe(manifest["recipe"], str(path))
    try:
        crops = np.load(path / CROPS, mmap_mode="r")
        audio_S = read_wav(path / AUDIO)
        with np.load(path / TRACK, allow_pickle=False) as file:
            track = {key: file[key] for key in TRACK_ARRAYS}
    except (OSError, KeyError, ValueError, EOFError) as error:
        raise DatasetError(f"{path} is damaged ({error}): run python -m data_prep {path.name} again") from error
    count = int(manifest["frames"])
    lengths = {CROPS: len(crops), AUDIO: len(audio_S) / SAMPLES_PER_FRAME} | {k: len(v) for k, v in track.items()}
    if any(length != count for length in lengths.values()) or crops.shape[1:] != (CROP_PX, CROP_PX, 3):
        raise DatasetError(
            f"{path}: the manifest announces {count} frames, found {lengths}: remove {path / MANIFEST} and run "
            f"python -m data_prep {path.name} again"
        )
    return Dataset328(
        folder=path,
        manifest=manifest,
        crops=crops,
        **track,
        audio_S=audio_S,
        clips=[(int(a), int(b)) for a, b in manifest["clips"]],
        splits={key: [(int(a), int(b)) for a, b in ranges] for key, ranges in manifest["splits"].items()},
    )


def read_manifest(path: Path) -> dict[str, Any] | None:
    """The manifest of dataset/NAME, or None if there is no complete dataset."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    complete = all((path / product).is_file() for product in PRODUCTS)
    return manifest if complete and isinstance(manifest, dict) else None
