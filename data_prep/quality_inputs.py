"""What the judgement of a recording reads, and what it says.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from data_prep.av_offset import AvOffset

Level = Literal["ok", "warn", "bad"]


@dataclass(frozen=True)
class QualityInputs:
    """What preparation measured. Entries of frames that are not valid are ignored."""

    duration_s: float
    source_fps: float
    source_width: int
    source_height: int
    face_width_T: NDArray[np.float32]  # px of the normalised frame
    pose_T3: NDArray[np.float32]  # pitch, yaw, roll in degrees
    affine_T23: NDArray[np.float32]  # frame px -> crop px
    blur_T: NDArray[np.float32]  # variance of the Laplacian of the grey crop
    exposure_T: NDArray[np.float32]  # mean luma of the crop, 0..255
    clipped_T: NDArray[np.float32]  # share of the crop's pixels that are burnt out or black
    valid_T: NDArray[np.bool_]
    excluded: dict[str, int]  # reason -> frames that are left out for it
    second_face_frames: int
    audio_S: NDArray[np.float32]  # the offset may be removed already
    opening_T: NDArray[np.float32]  # inner lips' distance over that of the outer eye corners
    clips: list[tuple[int, int]]  # half-open ranges between jump cuts
    av_offset: AvOffset
    excluded_at: Mapping[str, str] = field(default_factory=dict)  # reason -> time codes
    converted: tuple[Finding, ...] = ()  # what was put right while the recording was read


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    level: Level
    value: str
    advice: str = ""  # what to do or to redo; empty when there is nothing


def graded(value: float, ok_from: float, warn_from: float) -> Level:
    """The level of a value of which more is better."""
    return "ok" if value >= ok_from else "warn" if value >= warn_from else "bad"
