"""What a photo avatar of the same person would show on the test block: what a recording has to be better than.

    training frames -> the best photo among them -> photo avatar (shipped ears, nothing fitted)
    block's sound -> its lower face -> laid over every filmed frame inside the mask

The head stays as in the photo, and the face is placed once, where the person's rigid points lie in the inner square: so
the photo avatar gets the filmed head, eyes and background for nothing, and is scored on its mouth alone.

Axes: T frames of the block, U mouth units, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.alignment import RIGID_POINTS, similarity
from data_prep.dataset_328 import Dataset328
from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.photo import DEFAULT_SIZE_PX, Stopwatch, prepare_photo
from data_prep.photo_from_video import best_picture
from evaluation.block import HeldOutFrames, sound_at
from evaluation.networks import laid_over
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.crop import INNER, crop_face
from recipe.film.points import places_of
from recipe.progress import progress
from recipe.recipe_328 import INNER_OFFSET_PX, PATCH_TOP_PX
from recipe.warp.draw import WarpedFace
from services.avatars.networks import in_pieces
from services.avatars.template import TemplateVideo
from services.runtimes.runtime import Graph

_LOOKED_AT: Final = 50  # frames, spread over the training split


def photo_take(dataset: Dataset328, test: HeldOutFrames, ears: Graph) -> NDArray[np.uint8]:
    """Strips of the test block with the photo avatar's lower face, (T, 192, 320, 3).

    Args:
        ears: of photo avatars: `services.avatars.photo_model.load_ears`.
    Raises:
        PhotoError: none of the frames makes a photo avatar; says why.
    """
    picture_HWC = _best_of_training(dataset)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "training_frame.png"
        if not cv2.imwrite(str(path), picture_HWC[..., ::-1]):
            raise OSError(f"{path} cannot be written: is the disk full?")
        photo = prepare_photo(path, DEFAULT_SIZE_PX, Stopwatch())
    face = WarpedFace(photo.arrays)
    rigid_R2 = np.median(test.points_TK2[:, places_of(RIGID_POINTS)], axis=0) + INNER_OFFSET_PX
    affine_23 = similarity(photo.found.points_K3[None, RIGID_POINTS, :2], rigid_R2)[0].astype(np.float32)
    told_TU = progress(_heard(dataset, test, ears), desc="drawing the photo avatar", unit="frame")
    crops = [crop_face(face.draw(units_U, np.zeros(5)), affine_23) for units_U in told_TU]
    return laid_over(np.stack(crops)[:, INNER, INNER][:, PATCH_TOP_PX:], test.inner_THWC[:, PATCH_TOP_PX:])


def _best_of_training(dataset: Dataset328) -> NDArray[np.uint8]:
    frames = np.array([t for start, stop in dataset.splits["train"] for t in range(start, stop) if dataset.valid_T[t]])
    chosen = frames[np.linspace(0, len(frames) - 1, min(_LOOKED_AT, len(frames))).round().astype(int)]
    manifest = dataset.manifest
    filmed = TemplateVideo(dataset.frames_path, manifest["frames"], manifest["width"], manifest["height"], 0)
    best = best_picture((filmed.frame(int(t)) for t in chosen), FaceDetector(), FaceMesh())
    assert best is not None, "a dataset has training frames"
    return best


def _heard(dataset: Dataset328, test: HeldOutFrames, ears: Graph) -> NDArray[np.float32]:
    """Mouth units of the block, (T, U)."""
    sound = sound_at(dataset.audio_S, test.recording_gate_T, test.frames_T)
    pieces = in_pieces(len(test.frames_T), ears.batch_frames)
    return np.concatenate([ears.run({PCM: sound.pcm_TS[i], GATE: sound.gate_T[i]})[EMBEDDING] for i in pieces])
