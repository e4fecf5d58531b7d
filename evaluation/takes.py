"""The takes of a test block: pictures drawn, pasted and filmed, and the landmarks found in them.

Axes: T frames of the block, K landmarks, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data_prep.dataset_328 import Dataset328
from evaluation import block as block_module
from evaluation.block import HeldOutFrames, Sound
from evaluation.faces import find_landmarks, pasted_frames, to_strip
from evaluation.metrics import CLOSED, GENERATED, REAL, SHUFFLED
from evaluation.networks import Speaker, laid_over
from recipe.crop import INNER
from recipe.recipe_328 import PATCH_TOP_PX
from services.avatars.avatar import Avatar
from services.avatars.template import TemplateVideo

DIGITAL_SILENCE, ROOM_TONE = "digital_silence", "room_tone"  # takes drawn for synthetic silence
_SILENCE_FRAMES = 150  # they cover so many frames
_FRAMES_CACHE_BYTES = 256 << 20


def draw_takes(
    avatar: Avatar, dataset: Dataset328, speaker: Speaker, test: HeldOutFrames, stretches: list[NDArray[np.int64]]
) -> dict[str, NDArray[np.uint8]]:
    """Strips of every take: TAKES but PHOTO, further shuffled ones, and the synthetic silences on the first frames."""
    count, heard = min(len(test.frames_T), _SILENCE_FRAMES), block_module.heard_samples(dataset)
    sounds: dict[str, Sound] = {GENERATED: test.sound}
    for name, stretch in zip(shuffled_names(stretches), stretches, strict=True):
        sounds[name] = block_module.sound_at(dataset.audio_S, test.recording_gate_T, stretch, heard)
    sounds[DIGITAL_SILENCE] = block_module.digital_silence(count, heard)
    sounds[ROOM_TONE] = block_module.room_tone(count, heard)
    embeddings = {name: speaker.embed(sound.pcm_TS, sound.gate_T) for name, sound in sounds.items()}
    strips = speaker.draw(test, embeddings)
    strips[REAL] = np.ascontiguousarray(test.inner_THWC[:, PATCH_TOP_PX:])
    closed_HWC = avatar.references_3HWC[0][INNER, INNER][PATCH_TOP_PX:]
    strips[CLOSED] = laid_over(np.broadcast_to(closed_HWC, strips[REAL].shape), strips[REAL])
    return strips


def shuffled_names(stretches: list[NDArray[np.int64]]) -> list[str]:
    """The first one is a take of its own; the others serve the leak alone."""
    return [SHUFFLED, *(f"{SHUFFLED} {number}" for number in range(2, len(stretches) + 1))]


def landmarks_of_takes(
    dataset: Dataset328, frames_T: NDArray[np.int64], strips: Mapping[str, NDArray[np.uint8]]
) -> dict[str, NDArray[np.float32]]:
    """Landmarks of every take in strip pixels; the real take is tracked anew, with the same settings."""
    manifest = dataset.manifest
    filmed = TemplateVideo(
        dataset.frames_path, manifest["frames"], manifest["width"], manifest["height"], _FRAMES_CACHE_BYTES
    )
    affine_T23 = dataset.affine_T23[frames_T]
    landmarks = {}
    for name, strips_THWC in tqdm(strips.items(), desc="finding faces", unit="take", disable=None, leave=False):
        frames = pasted_frames(filmed, frames_T, affine_T23, None if name == REAL else strips_THWC)
        landmarks[name] = to_strip(find_landmarks(frames), affine_T23)
    return landmarks
