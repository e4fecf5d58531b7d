"""Evaluate an avatar on any sound, in whole frames as a viewer gets them, without filmed truth.

The frames come from the very generator that serving uses. Axes: T frames, S audio samples (16 kHz), K landmarks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation import lips
from evaluation.faces import find_landmarks
from evaluation.metrics import sync_values
from evaluation.sync import WINDOW_FRAMES, SyncScore, SyncScorer, score_sync, voiced_windows
from evaluation.truth import Truth, opening_over_eyes_T, score_openings
from evaluation.value import Value
from recipe.audio_window import window_pcm
from recipe.crop import INNER, crop_face
from recipe.recipe_328 import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, window_samples
from recipe.sound import load_audio
from services.avatars.avatar import Avatar
from services.frame_generation_service import FrameGenerationService
from services.streaming.video_writer import Mp4Writer
from services.types import AvatarModel

MAX_FRAMES = 1500
_LOUDNESS_FLOOR_DB = -60.0


@dataclass(frozen=True)
class Driven:
    """What was measured on one sound: scores, the opening curve, the loudness it was said with (dB), the gate.

    `true_scores` are those of the truth's own opening, empty without a truth.
    """

    scores: dict[str, Value]
    true_scores: dict[str, Value]
    opening_T: NDArray[np.float64]
    loudness_T: NDArray[np.float64]
    gate_T: NDArray[np.float64]
    video: Path
    notes: list[str]


def evaluate_driven(
    model: AvatarModel, wav: Path, video: Path, scorer: SyncScorer | str, truth: Truth | None = None
) -> Driven:
    """Let the avatar say a sound, write the video, and score what can be scored without a filmed truth.

    Args:
        wav: any sound file; its first minute is used.
        video: the MP4 to write.
        scorer: the scoring SyncNet, or why there is none.
        truth: of the same sound, rendered: frame i of it has the sound of frame i.
    Raises:
        ValueError: the truth is shorter than the sound.
    """
    pcm_S = load_audio(wav)[: MAX_FRAMES * SAMPLES_PER_FRAME]
    shown: list[tuple[int, float]] = []  # template index and gate per frame
    inner: list[NDArray[np.uint8]] = []
    landmarks_TK2 = find_landmarks(_watched(model, pcm_S, video, shown, inner if not isinstance(scorer, str) else None))
    count = len(landmarks_TK2)
    if truth is not None and len(truth) < count - 1:
        raise ValueError(f"{wav} lasts {count} frames, its truth {len(truth)}: it is of another sound")
    opening = lips.opening_T(landmarks_TK2)
    gate_T = np.array([gate for _, gate in shown])
    loudness = loudness_T(pcm_S, count)
    heard = window_samples(model.avatar.manifest.recipe["audio_features"])
    scores = {
        "silence_move_percent": lips.silence_move_percent(opening, gate_T == 0),
        "silence_opening_percent": lips.silence_opening_percent(opening, gate_T == 0),
        "opening_loudness_r": lips.pearson(opening, loudness),
        **_leak(model, opening, [index for index, _ in shown]),
        **_sync_scores(inner, window_pcm(pcm_S, 0, len(inner), heard), gate_T, scorer),
    }
    true_scores: dict[str, Value] = {}
    if truth is not None:
        known, one_stretch = np.arange(min(count, len(truth))), np.zeros(min(count, len(truth)), np.int64)
        over_eyes = opening_over_eyes_T(landmarks_TK2)[: len(known)]
        scores.update(score_openings(over_eyes, truth, known, one_stretch))
        true_scores = score_openings(truth.opening_T[: len(known)], truth, known, one_stretch)
    notes = [] if len(pcm_S) < MAX_FRAMES * SAMPLES_PER_FRAME else [f"The first {MAX_FRAMES} frames were measured."]
    return Driven(scores, true_scores, opening, loudness, gate_T, video, notes)


def _leak(model: AvatarModel, opening_T: NDArray[np.float64], shown: list[int]) -> dict[str, Value]:
    """How much the drawn mouth follows the filmed one beneath it; a photo has none that moves."""
    avatar = model.avatar
    if not isinstance(avatar, Avatar):
        return {}
    return {"leak_r": lips.pearson(opening_T, avatar.opening_T[shown].astype(np.float64))}


def loudness_T(pcm_S: NDArray[np.float32], frames: int) -> NDArray[np.float64]:
    """Root mean square of each frame and its two neighbours, dB, not below the floor."""
    power = np.zeros(frames * SAMPLES_PER_FRAME)
    power[: len(pcm_S)] = pcm_S.astype(np.float64)[: len(power)] ** 2
    smooth = np.convolve(power.reshape(frames, -1).mean(axis=1), np.ones(3) / 3, "same")
    return np.asarray(10 * np.log10(np.maximum(smooth, 10 ** (_LOUDNESS_FLOOR_DB / 10))))


def _watched(
    model: AvatarModel,
    pcm_S: NDArray[np.float32],
    video: Path,
    shown: list[tuple[int, float]],
    inner: list[NDArray[np.uint8]] | None,
) -> Iterator[NDArray[np.uint8]]:
    """Generated pictures, written to the video on the way; what is needed later is kept without them."""
    manifest = model.avatar.manifest
    with Mp4Writer(video, manifest.width, manifest.height, SAMPLE_RATE_HZ, 1) as writer:
        for frame in FrameGenerationService().generate(model, [pcm_S]):
            writer.write(frame.frame_rgb_HWC, frame.pcm_S[None])
            if inner is not None and isinstance(model.avatar, Avatar):
                affine_23 = model.avatar.affine_T23[frame.template_index]
                inner.append(crop_face(frame.frame_rgb_HWC, affine_23)[INNER, INNER])
            shown.append((frame.template_index, frame.gate))
            yield frame.frame_rgb_HWC


def _sync_scores(
    inner: list[NDArray[np.uint8]], pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float64], scorer: SyncScorer | str
) -> dict[str, Value]:
    """Fit with the sound that was said, and beside it with the same sound turned round by half."""
    own: SyncScore | str
    turned: SyncScore | str
    if isinstance(scorer, str):
        own = turned = scorer
    elif len(inner) < WINDOW_FRAMES:
        own = turned = f"only {len(inner)} frames, a window has {WINDOW_FRAMES}"
    else:
        nothing = "no speech that is long enough to slide against the picture"
        picture_ND = scorer.picture(np.stack(inner))
        sound_ND = scorer.sound(pcm_TS)
        voiced_N = voiced_windows(gate_T)
        own = score_sync([(picture_ND, sound_ND, voiced_N)]) or nothing
        turned = score_sync([(picture_ND, np.roll(sound_ND, len(sound_ND) // 2, axis=0), voiced_N)]) or nothing
    return {**sync_values(own), **{f"shuffled_{key}": value for key, value in sync_values(turned).items()}}
