"""A small dataset of the presenter, avatars whose faults are known, and a scoring network that is always right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import SCHEMA, VERSION, Dataset328
from data_prep.video import FrameWriter, iter_rgb
from evaluation.block import HeldOutFrames, sound_at
from evaluation.faces import find_landmarks
from evaluation.networks import composite
from evaluation.sync import WINDOW_FRAMES
from recipe.crop import crop_face
from recipe.mask_328 import alpha_bounds
from recipe.recipe_328 import PATCH_TOP_PX, SAMPLES_PER_FRAME, recipe
from recipe.sound import load_audio, write_wav
from tests.metrics_material import DATA, SCALE, SHIFT_X, SHIFT_Y, material

FIRST, COUNT = 40, 132  # of the presenter's frames
TEST = (90, 130)
EARLY = 352  # samples by which the presenter's sound comes before her lips, 22 ms: preparation finds and removes it


def write_small_dataset(folder: Path) -> Path:
    """Write what preparation would of 132 frames, with a test block of 40; one affine for all frames."""
    folder.mkdir()
    with FrameWriter(folder / "frames.mp4", 512, 512) as writer:
        for picture in material(FIRST, COUNT).frames_THWC:
            writer.write(picture)
    frames = list(iter_rgb(folder / "frames.mp4"))
    affine_T23 = np.tile(np.array([[SCALE, 0, SHIFT_X], [0, SCALE, SHIFT_Y]], np.float32), (COUNT, 1, 1))
    np.save(folder / "crops.npy", np.stack([crop_face(frame, affine_T23[0]) for frame in frames]))
    np.savez(
        folder / "track.npz", affine_T23=affine_T23, landmarks_TK2=find_landmarks(frames),
        valid_T=np.ones(COUNT, bool), opening_T=material(FIRST, COUNT).opening_T.astype("f4"),
        blur_T=np.ones(COUNT, "f4"), pose_T3=np.zeros((COUNT, 3), "f4"), box_T4=np.zeros((COUNT, 4), "f4"),
    )  # fmt: skip
    sound = slice(FIRST * SAMPLES_PER_FRAME - EARLY, (FIRST + COUNT) * SAMPLES_PER_FRAME - EARLY)
    write_wav(folder / "audio.wav", load_audio(DATA / "presenter.mp4")[sound])
    (folder / "report.html").write_text("")
    manifest = {
        "schema": SCHEMA, "version": VERSION, "name": "toy", "recipe": recipe(), "frames": COUNT, "width": 512,
        "height": 512, "clips": [(0, COUNT)], "splits": {"train": [(0, 70)], "val": [(75, 82)], "test": [TEST]},
        "source": {"sha256": "ab" * 32, "width": 512, "height": 512},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


class Parrot:
    """Draws what was filmed, whatever it hears: perfect pictures, and a complete leak."""

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.zeros((len(pcm_TS), 1), np.float32)

    def draw(self, test: HeldOutFrames, embeddings: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        return {name: test.inner_THWC[: len(said), PATCH_TOP_PX:].copy() for name, said in embeddings.items()}


class Statue(Parrot):
    """Draws one blurred closed mouth on every frame."""

    def __init__(self, closed_inner_HWC: NDArray[np.uint8]) -> None:
        blurred = cv2.GaussianBlur(closed_inner_HWC[PATCH_TOP_PX:], (0, 0), 1.5)
        alpha = (alpha_bounds()[1][PATCH_TOP_PX:, :, None] * 255).round().astype(np.uint8)
        self._patch_1HWC = np.concatenate([blurred, alpha], axis=-1)[None]

    def draw(self, test: HeldOutFrames, embeddings: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        filmed = super().draw(test, embeddings)
        return {
            name: np.concatenate([composite(self._patch_1HWC, strip[None]) for strip in strips])
            for name, strips in filmed.items()
        }


class LipReader:
    """A perfect scoring network: knows which frame's mouth it sees, and which frame's sound it hears."""

    MOUTH = slice(140, 240, 10)  # rows and columns of the inner square

    def __init__(self, dataset: Dataset328) -> None:
        self._sounds = sound_at(dataset.audio_S, np.ones(COUNT, "f4"), np.arange(COUNT)).pcm_TS[:, ::500]
        self._pictures = dataset.crops[:, 4:324, 4:324][:, self.MOUTH, self.MOUTH].astype(np.int64)

    def picture(self, inner_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        seen = inner_THWC[:, self.MOUTH, self.MOUTH].astype(np.int64)
        return self._code([int(np.abs(self._pictures - one).sum(axis=(1, 2, 3)).argmin()) for one in seen])

    def sound(self, pcm_TS: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._code([int(np.abs(self._sounds - one[::500]).sum(axis=1).argmin()) for one in pcm_TS])

    @staticmethod
    def _code(frames: list[int]) -> NDArray[np.float32]:
        return np.eye(COUNT, dtype=np.float32)[frames[: len(frames) - WINDOW_FRAMES + 1]]
