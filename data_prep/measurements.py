"""From landmarks to all that is known per frame before the crops are cut: geometry, opening, pose, clips, sound.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data_prep.alignment import face_affines, person_template, steady_affines
from data_prep.av_offset import AvOffset, estimate_av_offset
from data_prep.checks import check_face
from data_prep.clips import find_clips
from data_prep.evidence import time_codes, unseen
from data_prep.landmarks import Tracked, face_box
from data_prep.pose import head_pose
from data_prep.recorded_sound import recorded_sound
from data_prep.recording import Recording
from data_prep.video import NormalisedPictures
from recipe.mouth import mouth_opening
from recipe.recipe_328 import FPS, SAMPLES_PER_FRAME

DAMAGED: Final = "damaged picture"
FROZEN: Final = "picture stands still while the sound goes on"
TURNED_AWAY: Final = "face turned away"
NO_SOUND: Final = "no sound of its own once the offset is removed"
_TURNED_YAW_DEG, _TURNED_PITCH_DEG = 50.0, 45.0


@dataclass(frozen=True)
class Measurements:
    """One entry per frame; landmarks, affine, opening, pose and box are zeros where not valid."""

    affine_T23: NDArray[np.float32]  # smoothed
    raw_affine_T23: NDArray[np.float32]
    landmarks_TK2: NDArray[np.float32]
    valid_T: NDArray[np.bool_]
    opening_T: NDArray[np.float32]
    pose_T3: NDArray[np.float32]
    box_T4: NDArray[np.float32]
    clips: list[tuple[int, int]]
    reason_T: NDArray[np.object_]  # why a frame is left out, "" where it is not
    sound_S: NDArray[np.float32]  # offset removed
    av_offset: AvOffset

    @property
    def excluded(self) -> dict[str, int]:
        """Frames that are left out, by reason."""
        return dict(Counter(reason for reason in self.reason_T.tolist() if reason))

    @property
    def excluded_at(self) -> dict[str, str]:
        """Where they lie in the recording, by reason, as time codes."""
        return {reason: time_codes(self.reason_T == reason) for reason in self.excluded}

    def track(self) -> dict[str, NDArray[Any]]:
        """The arrays of track.npz that are known before the crops are."""
        names = ("affine_T23", "landmarks_TK2", "valid_T", "opening_T", "pose_T3", "box_T4")
        return {name: getattr(self, name) for name in names}


def measure(
    recording: Recording, pictures: NormalisedPictures, tracked: Tracked, sound_S: NDArray[np.float32]
) -> Measurements:
    """Work out everything but the crops; takes seconds, so it is done anew in every run.

    Raises:
        FaceError: too few frames have a good face.
    """
    landmarks_TK2 = tracked.landmarks_TK2
    pose_T3 = head_pose(landmarks_TK2, tracked.valid_T, pictures.width, pictures.height)
    reason_T = _reasons(tracked, pictures, pose_T3)
    check_face(reason_T.tolist(), tracked.width_T, recording)
    valid_T = reason_T == ""

    opening_T = mouth_opening(landmarks_TK2)
    template = person_template(landmarks_TK2[valid_T], opening_T[valid_T])
    raw_affine_T23 = face_affines(landmarks_TK2, valid_T, template)
    clips = find_clips(pictures.thumbnails_THW, raw_affine_T23, valid_T)

    offset = estimate_av_offset(opening_T, valid_T, sound_S, clips)
    if offset.clear:
        sound_S, heard_T = _moved_sound(recording, offset.frames)
        reason_T[valid_T & ~heard_T] = NO_SOUND
        valid_T = reason_T == ""
    keep = valid_T.astype(np.float32)
    return Measurements(
        affine_T23=steady_affines(raw_affine_T23, valid_T, clips, tracked.motion_T23),
        raw_affine_T23=raw_affine_T23 * keep[:, None, None],
        landmarks_TK2=landmarks_TK2 * keep[:, None, None],
        valid_T=valid_T,
        opening_T=opening_T * keep,
        pose_T3=pose_T3 * keep[:, None],
        box_T4=np.stack([face_box(points) for points in landmarks_TK2]) * keep[:, None],
        clips=clips,
        reason_T=reason_T,
        sound_S=sound_S,
        av_offset=offset,
    )


def _reasons(tracked: Tracked, pictures: NormalisedPictures, pose_T3: NDArray[np.float32]) -> NDArray[np.object_]:
    """Why a frame is left out, "" where it is not."""
    reason_T = np.array(tracked.reason_T, dtype=object)
    turned = (np.abs(pose_T3[:, 1]) > _TURNED_YAW_DEG) | (np.abs(pose_T3[:, 0]) > _TURNED_PITCH_DEG)
    for also, reason in ((pictures.damaged_T, DAMAGED), (pictures.frozen_T, FROZEN), (turned, TURNED_AWAY)):
        reason_T[also & (reason_T == "")] = reason
    return np.where(reason_T == "", unseen(tracked.evidence_T5), reason_T)


def _moved_sound(recording: Recording, late_frames: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Sound cut as much later as it is late, and the frames that still have sound of their own."""
    start_s = recording.start_s + late_frames / FPS
    sound_S = recorded_sound(recording.path, start_s, recording.frames * SAMPLES_PER_FRAME)
    middle_s = start_s + (np.arange(recording.frames) + 0.5) / FPS
    return sound_S, (middle_s > recording.sound_start_s) & (middle_s < recording.sound_stop_s)
