"""Driving sets of the presenter: unseen words and voices together with the frames that truly belong to them.

Every true frame is its own template, as in the held-out test: what is drawn from the driving sound can be compared
with what should be seen, pixel by pixel.

Axes: T frames, R rigid points.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from data_prep.alignment import face_affines, person_template, steady_affines
from data_prep.dataset_328 import FRAMES, Dataset328
from data_prep.landmarks import follow_face
from data_prep.video import iter_rgb
from evaluation.faces import to_strip
from evaluation.held_out import evaluate_held_out
from evaluation.networks import Speaker
from evaluation.report import write_side_by_side
from evaluation.sync import SyncScorer
from evaluation.tables import SetScores
from evaluation.truth import Truth, load_truth
from evaluation.visemes import LipReader, accuracy_percent, dominant_T
from recipe.crop import crop_face
from recipe.mouth import mouth_opening
from recipe.recipe_328 import CROP_PX, SAMPLES_PER_FRAME
from recipe.sound import load_audio
from services.avatars.avatar import Avatar

SCHEMA = "avatar328/driving_set/1"
_FIELDS = ("name", "driving", "truth", "ground_truth")


@dataclass(frozen=True)
class DrivingSet:
    """A sound, and the frames and the truth that belong to it."""

    name: str
    sound: Path
    video: Path
    truth: Path


def read_driving_set(folder: Path) -> DrivingSet:
    """Read the set.json of a folder.

    Raises:
        ValueError: it is no driving set, or a file of it is missing.
    """
    path = folder / "set.json"
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{folder.absolute()} is no driving set ({error}); make one: python -m presenter heldout"
        ) from error
    absent = [field for field in _FIELDS if not isinstance(facts.get(field), str)]
    if facts.get("schema") != SCHEMA or absent:
        raise ValueError(
            f"{path} is not of the form {SCHEMA} (missing: {', '.join(absent) or 'nothing'}); make it anew"
        )
    found = DrivingSet(facts["name"], *(folder / facts[field] for field in _FIELDS[1:]))
    for file in (found.sound, found.video, found.truth):
        if not file.is_file():
            raise ValueError(f"{file} of the driving set {found.name!r} is missing; make the set anew")
    return found


@contextmanager
def as_dataset(driving: DrivingSet, recording: Dataset328) -> Iterator[Dataset328]:
    """The set as a dataset whose every frame is held out.

    Args:
        recording: of the same person; the crops are placed as its crops are.
    Raises:
        ValueError: no face is found, or sound and picture differ in length.
    """
    tracked = follow_face(iter_rgb(driving.video))
    valid_T, count = tracked.valid_T, len(tracked.valid_T)
    if not valid_T.any():
        raise ValueError(f"{driving.video} shows no face")
    audio_S = load_audio(driving.sound)
    if abs(len(audio_S) - count * SAMPLES_PER_FRAME) > SAMPLES_PER_FRAME:
        raise ValueError(
            f"{driving.sound} lasts {len(audio_S) / SAMPLES_PER_FRAME:.1f} frames, {driving.video} {count}: "
            "they do not belong together"
        )
    known = recording.valid_T
    template_R2 = person_template(recording.landmarks_TK2[known], recording.opening_T[known])
    clips = [(0, count)]
    affine_T23 = face_affines(tracked.landmarks_TK2, valid_T, template_R2)
    affine_T23 = steady_affines(affine_T23, valid_T, clips, tracked.motion_T23)
    crops = np.zeros((count, CROP_PX, CROP_PX, 3), np.uint8)
    size = {"width": 0, "height": 0}
    for t, frame in enumerate(iter_rgb(driving.video)):
        size = {"width": frame.shape[1], "height": frame.shape[0]}
        if valid_T[t]:
            crops[t] = crop_face(frame, affine_T23[t])
    with TemporaryDirectory() as folder:
        (Path(folder) / FRAMES).symlink_to(driving.video.resolve())
        yield Dataset328(
            folder=Path(folder),
            manifest={
                **recording.manifest, **size, "name": driving.name, "frames": count,
                "source": {**recording.manifest["source"], **size},
            },
            crops=crops,
            affine_T23=affine_T23,
            landmarks_TK2=tracked.landmarks_TK2,
            valid_T=valid_T,
            opening_T=mouth_opening(tracked.landmarks_TK2),
            blur_T=np.zeros(count, np.float32),
            pose_T3=np.zeros((count, 3), np.float32),
            box_T4=np.zeros((count, 4), np.float32),
            audio_S=np.pad(audio_S, (0, SAMPLES_PER_FRAME))[: count * SAMPLES_PER_FRAME],
            clips=clips,
            splits={"train": [], "val": [], "test": [(0, count)]},
        )  # fmt: skip


def evaluate_set(
    driving: DrivingSet,
    avatar: Avatar,
    recording: Dataset328,
    speaker: Speaker,
    scorer: SyncScorer | str,
    reader: LipReader | None,
    video: Path,
) -> SetScores:
    """Let the avatar say a set on the set's own frames, compare with them, and write both side by side.

    Args:
        reader: reads visemes; None leaves the viseme scores out.
        video: the MP4 to write.
    Raises:
        ValueError: see `as_dataset`.
    """
    truth = load_truth(driving.truth)
    with as_dataset(driving, recording) as dataset:
        evaluation = evaluate_held_out(avatar, dataset, speaker, scorer, truth)
        write_side_by_side(video, evaluation, dataset.audio_S)
    scores, confusion = dict(evaluation.scores), {}
    if reader is not None:
        shown_T = dominant_T(truth, evaluation.frames_T)
        for take, landmarks_TK2 in evaluation.landmarks.items():
            confusion[take] = reader.confusion(landmarks_TK2, shown_T)
            scores[f"{take}.truth_viseme_percent"] = accuracy_percent(confusion[take])
    names = reader.names if reader is not None else ()
    return SetScores(driving.name, len(evaluation.frames_T), scores, confusion, names, video)


def reader_of(recording: Dataset328, truth: Truth) -> LipReader:
    """A lip reader that learnt from the filmed training frames of a rendered recording.

    Raises:
        ValueError: see `LipReader.learn`.
    """
    frames = [t for start, stop in recording.splits["train"] for t in range(start, stop) if recording.valid_T[t]]
    frames_T = np.array(frames, np.int64)
    upright_TK2 = to_strip(recording.landmarks_TK2[frames_T], recording.affine_T23[frames_T])
    return LipReader.learn(upright_TK2, dominant_T(truth, frames_T), truth.viseme_names)
