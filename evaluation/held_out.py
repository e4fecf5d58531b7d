"""Evaluate an avatar on the block of its recording that it never saw.

    dataset -> test frames -> every take drawn in one pass -> landmarks, sync -> scores

Every test frame is its own template: what is drawn can be compared with what was filmed, pixel by pixel.

Axes: T frames of the block, N windows of five frames, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328, open_dataset
from data_prep.errors import PhotoError
from evaluation import block as block_module
from evaluation import lips, picture
from evaluation.block import HeldOutFrames, NoTestBlockError, consecutive
from evaluation.lpips_distance import find_lpips
from evaluation.metrics import GENERATED, PHOTO, REAL, SHUFFLED, TAKES, Block, Take, leak, score_take
from evaluation.networks import Speaker, speaker_of
from evaluation.photo_take import photo_take
from evaluation.sync import WINDOW_FRAMES, OnnxSyncScorer, SyncScore, SyncScorer, score_sync, voiced_windows
from evaluation.takes import DIGITAL_SILENCE, ROOM_TONE, draw_takes, landmarks_of_takes, shuffled_names
from evaluation.truth import Truth
from evaluation.truth_scores import truth_scores
from evaluation.value import Value, known, unknown
from recipe.mouth import mouth_boxes, pixel_boxes
from recipe.recipe_328 import PATCH_TOP_PX
from services.avatars.avatar import Avatar, FilmAvatar, open_folder
from services.runtimes.onnx import OnnxRuntime
from services.runtimes.runtime import Graph

_OPENING_MEMORY = 4  # frames after which an opening has forgotten itself: so many count as one observation


@dataclass
class Evaluation:
    """What was measured, and what a report shows.

    Attributes:
        scores: flat: `<take>.<metric>`.
        openings: per take the opening curve of the block.
        landmarks: per take, in strip pixels.
        psnr_mouth_T: of the generated take.
        strips: per take the drawn strips.
        notes: what a reader has to know about the measurement.
    """

    frames_T: NDArray[np.int64]
    segment_T: NDArray[np.int64]
    silent_T: NDArray[np.bool_]
    inner_THWC: NDArray[np.uint8]
    scores: dict[str, Value] = field(default_factory=dict)
    openings: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    landmarks: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    psnr_mouth_T: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    strips: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate_avatar(
    avatar_dir: Path, dataset_dir: Path, checkpoint_dir: Path | None = None
) -> dict[str, float | str | None]:
    """Evaluate a packaged avatar on its held-out block.

    Args:
        avatar_dir: avatars/NAME, or a sealed folder that is about to become it.
        dataset_dir: dataset/NAME.
        checkpoint_dir: checkpoint/NAME, for its scoring network; None leaves the sync scores out.
    Returns:
        Flat and JSON-able: `test_frames`, `<take>.<metric>` as numbers, or None with the reason under `<key>.why`.
    """
    avatar, dataset = open_folder(avatar_dir), open_dataset(dataset_dir)
    scorer = find_scorer(checkpoint_dir)
    try:
        evaluation = evaluate_held_out(avatar, dataset, speaker_of(avatar, OnnxRuntime()), scorer)
    except NoTestBlockError as error:
        return {"test_frames": 0.0, "test_frames.why": str(error)}
    return flatten(evaluation.scores, len(evaluation.frames_T))


def flatten(scores: Mapping[str, Value], frames: int) -> dict[str, float | str | None]:
    """Scores as `evaluate_avatar` returns them."""
    flat: dict[str, float | str | None] = {"test_frames": float(frames)}
    for key, value in scores.items():
        flat[key] = None if value.number is None else round(value.number, 5)
        if value.number is None:
            flat[f"{key}.why"] = value.why
    return flat


def find_scorer(checkpoint_dir: Path | None) -> SyncScorer | str:
    """The scoring network of a checkpoint, or the reason why there is none."""
    if checkpoint_dir is None:
        return "no checkpoint folder was given, and the scoring SyncNet lies there"
    try:
        return OnnxSyncScorer(checkpoint_dir / "scorer")
    except FileNotFoundError as error:
        return str(error)


def evaluate_held_out(
    avatar: Avatar,
    dataset: Dataset328,
    speaker: Speaker,
    scorer: SyncScorer | str,
    truth: Truth | None = None,
    photo_ears: Graph | None = None,
) -> Evaluation:
    """Draw all takes of the test block and score them.

    Args:
        speaker: the avatar's networks.
        scorer: the scoring SyncNet, or why there is none.
        truth: of a rendered recording; frame i of it is frame i of the dataset.
        photo_ears: what photo avatars hear with; given, a photo avatar of the same person is measured too.
    Raises:
        ValueError: no usable test block, or the truth is of another recording.
    """
    if truth is not None and len(truth) < len(dataset.valid_T):
        raise ValueError(
            f"the truth has {len(truth)} frames, {dataset.folder} {len(dataset.valid_T)}: it is of another recording"
        )
    test = block_module.held_out_frames(dataset)
    stretches = block_module.other_stretches(test, len(dataset.valid_T))
    strips = draw_takes(avatar, dataset, speaker, test, stretches)
    no_photo = None if photo_ears is None else _add_photo_take(strips, dataset, test, photo_ears)
    landmarks = landmarks_of_takes(dataset, test.frames_T, strips)
    real = Block(strips[REAL], landmarks[REAL], test.segment_T, test.sound.gate_T == 0)
    result = Evaluation(test.frames_T, test.segment_T, real.silent_T, test.inner_THWC)
    takes = [name for name in TAKES if name in strips]
    for name in takes:
        take = Take(strips[name], landmarks[name], _sync_of_take(test, strips[name], scorer))
        result.scores.update({f"{name}.{metric}": value for metric, value in score_take(take, real).items()})
        result.openings[name] = lips.opening_T(landmarks[name])
    result.scores.update(_leak_scores(dataset, landmarks, stretches))
    result.scores.update(_silence_scores(landmarks))
    if truth is not None:
        result.scores.update(truth_scores(dataset, test, landmarks, truth))
    height, width = strips[REAL].shape[1:3]
    mouth = picture.box_regions(pixel_boxes(mouth_boxes(landmarks[REAL]), height, width), height, width)
    result.psnr_mouth_T = picture.psnr_T(strips[GENERATED], strips[REAL], mouth)
    result.strips = {name: strips[name] for name in takes}
    result.landmarks = {name: landmarks[name] for name in takes}
    distance = find_lpips()
    for name in takes:
        seen = unknown(distance) if isinstance(distance, str) else known(distance(strips[name], strips[REAL]))
        result.scores[f"{name}.lpips"] = seen
    result.notes = _notes(avatar, dataset, result, stretches)
    if no_photo:
        result.notes.append(f"There is no photo avatar of this person to compare with: {no_photo}")
    return result


def _add_photo_take(
    strips: dict[str, NDArray[np.uint8]], dataset: Dataset328, test: HeldOutFrames, ears: Graph
) -> str | None:
    """Returns why there is none."""
    try:
        strips[PHOTO] = photo_take(dataset, test, ears)
    except PhotoError as error:
        return str(error)
    return None


def _sync_of_take(test: HeldOutFrames, strips_THWC: NDArray[np.uint8], scorer: SyncScorer | str) -> SyncScore | str:
    """Fit of a take's pictures with the block's own sound."""
    if isinstance(scorer, str):
        return scorer
    stretches = []
    for stretch in consecutive(test.segment_T):
        if stretch.stop - stretch.start < WINDOW_FRAMES:
            continue
        inner_THWC = test.inner_THWC[stretch].copy()
        inner_THWC[:, PATCH_TOP_PX:] = strips_THWC[stretch]
        voiced = voiced_windows(test.sound.gate_T[stretch])
        stretches.append((scorer.picture(inner_THWC), scorer.sound(test.sound.pcm_TS[stretch]), voiced))
    return score_sync(stretches) or "the test block has no speech long enough to slide it against the picture"


def _leak_scores(
    dataset: Dataset328, landmarks: Mapping[str, NDArray[np.float32]], stretches: list[NDArray[np.int64]]
) -> dict[str, Value]:
    source = lips.opening_T(landmarks[REAL])
    shuffled = [lips.opening_T(landmarks[name]) for name in shuffled_names(stretches)]
    filmed = np.where(dataset.valid_T, dataset.opening_T, np.nan).astype(np.float64)
    drawn_r, net_r, chance_r = leak(shuffled, [filmed[stretch] for stretch in stretches], source)
    return {f"{SHUFFLED}.leak_r": drawn_r, f"{SHUFFLED}.leak_net_r": net_r, f"{REAL}.leak_r": chance_r}


def _silence_scores(landmarks: Mapping[str, NDArray[np.float32]]) -> dict[str, Value]:
    """Movement drawn for synthetic silence, and that of the filmed mouth on the same frames."""
    scores = {}
    for name in (DIGITAL_SILENCE, ROOM_TONE):
        drawn = lips.opening_T(landmarks[name])
        always = np.ones(len(drawn), bool)
        filmed = lips.opening_T(landmarks[REAL])[: len(drawn)]
        scores[f"{GENERATED}.{name}_move_percent"] = lips.silence_move_percent(drawn, always)
        scores[f"{REAL}.{name}_move_percent"] = lips.silence_move_percent(filmed, always)
    return scores


def _notes(avatar: Avatar, dataset: Dataset328, result: Evaluation, stretches: list[NDArray[np.int64]]) -> list[str]:
    notes = []
    if avatar.manifest.source_sha256 != dataset.manifest["source"]["sha256"]:
        notes.append(
            "The avatar was packaged from another file than this dataset was prepared from. If it is not the same "
            "recording, the test block is not held out."
        )
    if isinstance(avatar, FilmAvatar):
        notes.append(
            "Each test frame is its own template, and a film's skin around the mouth is the template's: the picture "
            "scores see less of the drawn mouth than those of a trained face do."
        )
    in_test = sum(stop - start for start, stop in dataset.splits["test"])
    if in_test > len(result.frames_T):
        notes.append(f"{len(result.frames_T)} of the {in_test} frames of the test block were measured.")
    if result.silent_T.sum() < lips.MIN_FRAMES:
        notes.append(
            "The test block holds too little silence to measure there; movement in silence is measured on frames "
            "drawn for digital silence and for room tone instead."
        )
    measured = len(stretches) * len(result.frames_T)
    luck = 2 / np.sqrt(max(measured / _OPENING_MEMORY, 1))
    notes.append(
        f"The leak is measured on {measured} frames drawn with {len(stretches)} stretches of other sound. Net of "
        f"chance, an avatar without a leak scores within about {luck:.2f} of 0."
    )
    return notes
