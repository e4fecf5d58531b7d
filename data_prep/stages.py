"""The two long stages of preparation, each a file that is complete or absent, so that an interrupted run goes on.

Every stage file carries a stamp: a hash of all that it was made from. A file with another stamp is made again.

Axes: T video frames (25/s), K landmarks, h w thumbnail.
"""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.dataset_328 import CROPS, FRAMES
from data_prep.landmarks import Tracked, follow_face
from data_prep.recording import Recording
from data_prep.video import NormalisedPictures, iter_rgb, normalise
from recipe.crop import crop_face
from recipe.files import written_aside
from recipe.recipe_328 import CROP_PX

# Raise it when code changes what these stages write.
PREPARATION_VERSION: Final = 2
FOLDER: Final = ".stages"
_DARK, _BRIGHT = 4, 251  # grey levels that count as black and as burnt out


def stamp(*facts: Any) -> str:
    """A hash of the facts that a stage depends on."""
    return hashlib.sha256(json.dumps([PREPARATION_VERSION, *facts], sort_keys=True).encode()).hexdigest()


def pictures_stage(folder: Path, recording: Recording, wanted: str) -> NormalisedPictures:
    """frames.mp4, and what was seen while it was written."""
    store = folder / FOLDER / "pictures.npz"
    arrays = _load(store, wanted)
    if arrays is None or not (folder / FRAMES).is_file():
        with written_aside(folder / FRAMES) as part:
            done = normalise(recording, part, _bar(range(recording.frames), "pictures", recording.frames))
        arrays = {
            "size": np.array([done.width, done.height, done.repeated_frames]),
            "thumbnails_THW": done.thumbnails_THW,
            "damaged_T": done.damaged_T,
            "frozen_T": done.frozen_T,
        }
        _save(store, wanted, arrays)
    width, height, repeated = (int(value) for value in arrays["size"])
    return NormalisedPictures(
        width, height, arrays["thumbnails_THW"], arrays["damaged_T"], arrays["frozen_T"], repeated
    )


def landmarks_stage(folder: Path, frames: int, wanted: str) -> Tracked:
    """The face in every frame of frames.mp4."""
    store = folder / FOLDER / "landmarks.npz"
    arrays = _load(store, wanted)
    if arrays is None:
        tracked = follow_face(_bar(iter_rgb(folder / FRAMES), "face", frames))
        arrays = {
            "landmarks_TK2": tracked.landmarks_TK2,
            "reason_T": np.array(tracked.reason_T, np.str_),
            "width_T": tracked.width_T,
            "motion_T23": tracked.motion_T23,
            "second_face_frames": np.array(tracked.second_face_frames),
            "evidence_T5": tracked.evidence_T5,
        }
        _save(store, wanted, arrays)
    reasons = [str(reason) for reason in arrays["reason_T"]]
    second = int(arrays["second_face_frames"])
    return Tracked(
        arrays["landmarks_TK2"], reasons, arrays["width_T"], arrays["motion_T23"], second, arrays["evidence_T5"]
    )


@dataclass(frozen=True)
class CropMeasures:
    """One entry per frame, zeros where not valid."""

    blur_T: NDArray[np.float32]  # variance of the Laplacian
    exposure_T: NDArray[np.float32]  # mean grey level
    clipped_T: NDArray[np.float32]  # share of black or burnt-out pixels


def crops_stage(folder: Path, affine_T23: NDArray[np.float32], valid_T: NDArray[np.bool_], wanted: str) -> CropMeasures:
    """crops.npy, cut from the decoded frames of frames.mp4."""
    store = folder / FOLDER / "crops.npz"
    arrays = _load(store, wanted)
    if arrays is None or not (folder / CROPS).is_file():
        arrays = _write_crops(folder, affine_T23, valid_T)
        _save(store, wanted, arrays)
    return CropMeasures(**arrays)


def _write_crops(folder: Path, affine_T23: NDArray[np.float32], valid_T: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    count = len(valid_T)
    names = ("blur_T", "exposure_T", "clipped_T")
    measures = np.zeros((3, count), np.float32)
    shape = (count, CROP_PX, CROP_PX, 3)
    # Written in order: a memory map on a full disk kills the process.
    with written_aside(folder / CROPS) as part, part.open("wb") as file:
        np.lib.format.write_array_header_2_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        frames = _bar(iter_rgb(folder / FRAMES), "crops", count)
        for t, frame in zip(range(count), frames, strict=True):
            crop = crop_face(frame, affine_T23[t]) if valid_T[t] else np.zeros(shape[1:], np.uint8)
            file.write(crop.tobytes())
            if valid_T[t]:
                measures[:, t] = _measure(crop)
    return dict(zip(names, measures, strict=True))


def _measure(crop_rgb_HWC: NDArray[np.uint8]) -> tuple[float, float, float]:
    grey = cv2.cvtColor(crop_rgb_HWC, cv2.COLOR_RGB2GRAY)
    clipped = np.mean((grey <= _DARK) | (grey >= _BRIGHT))
    return float(cv2.Laplacian(grey, cv2.CV_32F).var()), float(grey.mean()), float(clipped)


def _bar(items: Any, what: str, count: int) -> Any:
    seconds_between = 0.2 if sys.stderr.isatty() else 10.0  # a log file needs fewer lines than a screen
    return tqdm(items, desc=f"{what:>8}", total=count, unit="frame", dynamic_ncols=True, mininterval=seconds_between)


def _load(store: Path, wanted: str) -> dict[str, NDArray[Any]] | None:
    """A stage's arrays, or None if they are absent, damaged or made from something else."""
    try:
        with np.load(store, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError):
        return None
    return arrays if str(arrays.pop("stamp", "")) == wanted else None


def _save(store: Path, made_from: str, arrays: dict[str, NDArray[Any]]) -> None:
    with written_aside(store) as part:
        np.savez(part, stamp=np.array(made_from), **arrays)  # type: ignore[arg-type]
