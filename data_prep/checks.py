"""Can this recording become a dataset, on this disk? Each check raises an error that says what to do.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import PRODUCTS
from data_prep.errors import DiskFullError, FaceError
from data_prep.landmarks import MIN_FACE_PX, NO_FACE, TOO_SMALL
from data_prep.recording import Recording
from data_prep.video import LONGEST_SIDE_PX
from recipe.errors import NoAudioError
from recipe.recipe_328 import CROP_PX, SAMPLES_PER_FRAME

MIN_VALID_SHARE: Final = 0.5
SILENT_DBFS: Final = -55.0  # nobody speaks if even the loudest frames are below this
_LOUDEST_PERCENTILE: Final = 98
_SPARE_BYTES: Final = 100 << 20
_CODED_BYTES_PER_PX: Final = 0.05  # of frames.mp4; measured 0.014 to 0.034
_TRACK_BYTES_PER_FRAME: Final = 16_000  # landmarks twice, sound, thumbnail


def needed_bytes(recording: Recording) -> int:
    """About how much disk the dataset takes."""
    scale = min(1.0, LONGEST_SIDE_PX / max(recording.width, recording.height))
    frame_px = recording.width * recording.height * scale**2
    per_frame = CROP_PX * CROP_PX * 3 + _CODED_BYTES_PER_PX * frame_px + _TRACK_BYTES_PER_FRAME
    return int(recording.frames * per_frame) + _SPARE_BYTES


def check_space(folder: Path, recording: Recording) -> None:
    """Before hours are spent: does it fit? What an earlier run wrote will be replaced, so it counts as free.

    Raises:
        DiskFullError: it does not.
    """
    reused = sum((folder / product).stat().st_size for product in PRODUCTS if (folder / product).is_file())
    free = shutil.disk_usage(folder).free + reused
    if free < needed_bytes(recording):
        raise DiskFullError(
            f"{folder} needs about {needed_bytes(recording) >> 20} MB for {recording.duration_s:.0f} s of video, but "
            f"its disk has {free >> 20} MB free: free some space, or choose another disk with --dataset_dir"
        )


def check_audible(sound_S: NDArray[np.float32], recording: Recording) -> None:
    """Is anybody to be heard?

    Raises:
        NoAudioError: the sound track is silent.
    """
    frames = sound_S[: len(sound_S) // SAMPLES_PER_FRAME * SAMPLES_PER_FRAME].reshape(-1, SAMPLES_PER_FRAME)
    loudness = np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1))
    level_db = 20 * np.log10(max(float(np.percentile(loudness, _LOUDEST_PERCENTILE)), 1e-9))
    if level_db < SILENT_DBFS:
        level = "no sound at all" if level_db <= -179 else f"{level_db:.0f} dBFS at its loudest"
        raise NoAudioError(
            f"the sound track of {recording.path.name} is silent ({level}, speech is above {SILENT_DBFS:.0f} dBFS): "
            "check the microphone and record again"
        )


def check_face(reason_T: Sequence[str], width_T: NDArray[np.float32], recording: Recording) -> None:
    """Can one face be used in most of the recording?

    Args:
        reason_T: why a frame is left out, "" where it is not.
        width_T: of the face, px; 0 where none was found.
    Raises:
        FaceError: it cannot; names the most frequent reason.
    """
    reasons = Counter(reason for reason in reason_T if reason)
    if reasons.total() <= (1 - MIN_VALID_SHARE) * len(reason_T):
        return
    reason, count = reasons.most_common(1)[0]
    share = f"in {count} of {len(reason_T)} frames of {recording.path.name}"
    if reason == NO_FACE:
        raise FaceError(f"no face was found {share}: show one face, well lit, towards the camera, all the time")
    if reason == TOO_SMALL:
        width = np.median([width for width, why in zip(width_T, reason_T, strict=True) if why == TOO_SMALL])
        raise FaceError(
            f"the face is too small {share}: {width:.0f} px wide, at least {MIN_FACE_PX} px are needed and 300 px are "
            "recommended: move closer to the camera, or record in a higher resolution"
        )
    raise FaceError(f"{reason} {share}: keep the whole face inside the picture, uncovered and towards the camera")
