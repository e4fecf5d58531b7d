"""A photo avatar in memory: the ears that come with the product, and the photo warped by what they hear.

    sound and gate -> ears -> mouth units, and how loud it is -> the photo with these lips, in its idle loop's state
    or phones with their times -> mouth units

Axes: B batch, S audio samples (16 kHz), U mouth units, D = U + 1 what a frame is told, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.face_restorer import FaceRestorer
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from recipe.shipped import EARS_FILE, checked_ears
from recipe.warp.draw import WarpedFace
from services.avatars.avatar import PhotoAvatar
from services.avatars.networks import check_specs, in_pieces
from services.avatars.side_by_side import SideBySide
from services.errors import NotCutOutError
from services.mouth_rate import shown_rows
from services.runtimes.runtime import Graph, Runtime
from services.types import Patch, Place, ToldLips

_UNITS: Final = len(MOUTH_UNITS)
_QUIET_DBFS, _LOUD_DBFS = -50.0, -16.0  # of a window's sound, between which the head goes along more and more
_NOD_RAD: Final = 0.030  # the chin sinks where somebody speaks up...
_LIFT: Final = 0.006  # ...with the whole head, in eye distances...
_BROWS: Final = 0.25  # ...and the brows go up


class LoadedPhoto:
    """A photo avatar, ready to speak; implements `services.types.AvatarModel`. Used by any number of sessions."""

    def __init__(self, avatar: PhotoAvatar, ears: Graph) -> None:
        """Warm up.

        Args:
            avatar: of a photo.
            ears: from `load_ears`; all photo avatars may have the same.
        """
        self.avatar = avatar
        self._ears = ears
        self._restorer: FaceRestorer | None = None
        self._face = WarpedFace(avatar.arrays)
        arrays = sum(np.asarray(array).nbytes for array in avatar.arrays.values())
        self.memory_bytes = 2 * arrays
        self._drawn = SideBySide(self._draw_one, ears.batch_frames)
        silence_BS = np.zeros((1, AUDIO_WINDOW_SAMPLES), np.float32)
        list(self.draw([0], self.encode_audio(silence_BS, np.zeros(1, np.float32))))

    def restored_by(self, restorer: FaceRestorer) -> LoadedPhoto:
        """The same avatar, the mouth of every frame drawn anew: far from real time, and for one thread at a time."""
        other = copy(self)
        other._restorer = restorer
        other._drawn = SideBySide(other._draw_one, 1)
        return other

    @property
    def batch_frames(self) -> int:
        return self._ears.batch_frames

    @property
    def first_batch_frames(self) -> int:
        return 1  # drawing is most of the work, and is done frame by frame

    @property
    def keeps_template(self) -> bool:
        return True  # there is nothing to keep

    @property
    def provider(self) -> str:
        """What the ears run on, as the runtime names it."""
        return self._ears.provider

    def encode_audio(
        self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32], lips: ToldLips = ()
    ) -> NDArray[np.float32]:
        """What every frame is told: its mouth units, and 0..1 how loud it is around it, (B, D)."""
        told = lips or [None] * len(pcm_BS)
        units_BU = np.stack([np.zeros(_UNITS, np.float32) if units_U is None else units_U for units_U in told])
        heard = [row for row, units_U in enumerate(told) if units_U is None]
        for piece in in_pieces(len(heard), self._ears.batch_frames):
            rows = heard[piece]
            units_BU[rows] = self._ears.run({PCM: pcm_BS[rows], GATE: gate_B[rows]})[EMBEDDING]
        return np.column_stack([units_BU, loudness(pcm_BS) * gate_B]).astype(np.float32)

    def draw(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        """The photo in the states `indices` of its idle loop, with the lips and the nods that the sound asks for.

        There are no filmed frames that could go on: where a mouth is held, the whole picture is.
        """
        groups = shown_rows(len(indices), held)
        drawn = self._drawn((indices[rows[0]], embedding_BD[rows[0]]) for rows in groups)
        for rows, picture_HWC in zip(groups, drawn, strict=True):
            for _ in rows:
                yield picture_HWC

    def _draw_one(self, asked: tuple[int, NDArray[np.float32]]) -> NDArray[np.uint8]:
        k, told_D = asked
        motion, loud = self.avatar.motion, float(told_D[_UNITS])
        head_5 = motion.head_N5[k] + np.array([0, _LIFT * loud, 0, 0, _NOD_RAD * loud], np.float32)
        brows = float(motion.brows_N[k]) + _BROWS * loud
        picture = self._face.draw(told_D[:_UNITS], head_5, float(motion.blink_N[k]), brows, motion.gaze_N2[k])
        if self._restorer is None:
            return picture
        points_K2 = self._face.landmarks(told_D[:_UNITS], head_5, brows)
        return self._restorer.restored(picture, points_K2, within="mouth")

    def draw_patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[Patch]:
        """The rectangle of `draw`'s pictures in which the face moves: head, lids and brows go along with the sound."""
        left, top, right, bottom = self._face.moving_box
        for picture_HWC in self.draw(indices, embedding_BD, held):
            yield Patch(Place(left, top), picture_HWC[top:bottom, left:right])

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Not for this kind: the outline moves with the sound."""
        raise NotCutOutError(self.avatar.manifest)


def load_ears(runtime: Runtime) -> Graph:
    """The network that comes with the product, and tells what lips do in a sound.

    Raises:
        ShippedNetworkError: it is missing or damaged.
        BrokenAvatarError: it is not of the agreed form.
        ModelRuntimeError: the runtime refuses it.
    """
    checked_ears()
    ears = runtime.load(EARS_FILE)
    sound = {PCM: (np.float32, (None, AUDIO_WINDOW_SAMPLES)), GATE: (np.float32, (None,))}
    check_specs(str(EARS_FILE), "input", ears.inputs, sound)
    check_specs(str(EARS_FILE), "output", ears.outputs, {EMBEDDING: (np.float32, (None, _UNITS))})
    return ears


def loudness(pcm_BS: NDArray[np.float32]) -> NDArray[np.float32]:
    """How loud each window is, its middle counting most: 0 as quiet as a room, 1 as loud as somebody who speaks up."""
    weight_S = np.hanning(pcm_BS.shape[1])
    power_B = np.square(pcm_BS, dtype=np.float64) @ (weight_S / weight_S.sum())
    level_B = 10 * np.log10(np.maximum(power_B, 1e-12))
    return np.clip((level_B - _QUIET_DBFS) / (_LOUD_DBFS - _QUIET_DBFS), 0, 1).astype(np.float32)
