"""A photo avatar in memory: the ears that come with the product, and the photo warped by what they hear.

    sound and gate -> ears -> mouth units, and how loud it is -> the photo with these lips, in its idle loop's state

Axes: B batch, S audio samples (16 kHz), U mouth units, D = U + 1 what a frame is told, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from recipe.shipped import EARS_FILE, checked_ears
from recipe.warp.draw import WarpedFace
from services.avatars.avatar import PhotoAvatar
from services.avatars.networks import check_specs, in_pieces
from services.runtimes.runtime import Runtime

_UNITS: Final = len(MOUTH_UNITS)
_QUIET_DBFS, _LOUD_DBFS = -50.0, -16.0  # of a window's sound, between which the head goes along more and more
_NOD_RAD: Final = 0.030  # the chin sinks where somebody speaks up...
_LIFT: Final = 0.006  # ...with the whole head, in eye distances...
_BROWS: Final = 0.25  # ...and the brows go up


class LoadedPhoto:
    """A photo avatar, ready to speak; implements `services.types.AvatarModel`. Used by any number of sessions."""

    def __init__(self, avatar: PhotoAvatar, runtime: Runtime) -> None:
        """Load the ears and warm up.

        Raises:
            ShippedNetworkError: the ears are missing or damaged.
            BrokenAvatarError: they are not of the agreed form.
            ModelRuntimeError: the runtime refuses them.
        """
        checked_ears()
        self.avatar = avatar
        self._ears = runtime.load(EARS_FILE)
        sound = {PCM: (np.float32, (None, AUDIO_WINDOW_SAMPLES)), GATE: (np.float32, (None,))}
        check_specs(str(EARS_FILE), "input", self._ears.inputs, sound)
        check_specs(str(EARS_FILE), "output", self._ears.outputs, {EMBEDDING: (np.float32, (None, _UNITS))})
        self._face = WarpedFace(avatar.arrays)
        arrays = sum(np.asarray(array).nbytes for array in avatar.arrays.values())
        self.memory_bytes = 2 * arrays + 2 * EARS_FILE.stat().st_size
        silence_BS = np.zeros((1, AUDIO_WINDOW_SAMPLES), np.float32)
        list(self.draw([0], self.encode_audio(silence_BS, np.zeros(1, np.float32))))

    @property
    def batch_frames(self) -> int:
        return self._ears.batch_frames

    @property
    def first_batch_frames(self) -> int:
        return 1  # drawing is most of the work, and is done frame by frame

    @property
    def provider(self) -> str:
        """What the ears run on, as the runtime names it."""
        return self._ears.provider

    def encode_audio(self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32]) -> NDArray[np.float32]:
        """What every frame is told: its mouth units, and 0..1 how loud it is around it, (B, D)."""
        pieces = in_pieces(len(pcm_BS), self._ears.batch_frames)
        units_BU = np.concatenate([self._ears.run({PCM: pcm_BS[i], GATE: gate_B[i]})[EMBEDDING] for i in pieces])
        return np.column_stack([units_BU, loudness(pcm_BS) * gate_B]).astype(np.float32)

    def draw(self, indices: Sequence[int], embedding_BD: NDArray[np.float32]) -> Iterator[NDArray[np.uint8]]:
        """The photo in the states `indices` of its idle loop, with the lips and the nods that the sound asks for."""
        motion = self.avatar.motion
        for k, told_D in zip(indices, embedding_BD, strict=True):
            loud = float(told_D[_UNITS])
            head_5 = motion.head_N5[k] + np.array([0, _LIFT * loud, 0, 0, _NOD_RAD * loud], np.float32)
            brows = float(motion.brows_N[k]) + _BROWS * loud
            yield self._face.draw(told_D[:_UNITS], head_5, float(motion.blink_N[k]), brows, motion.gaze_N2[k])


def loudness(pcm_BS: NDArray[np.float32]) -> NDArray[np.float32]:
    """How loud each window is, its middle counting most: 0 as quiet as a room, 1 as loud as somebody who speaks up."""
    weight_S = np.hanning(pcm_BS.shape[1])
    power_B = np.square(pcm_BS, dtype=np.float64) @ (weight_S / weight_S.sum())
    level_B = 10 * np.log10(np.maximum(power_B, 1e-12))
    return np.clip((level_B - _QUIET_DBFS) / (_LOUD_DBFS - _QUIET_DBFS), 0, 1).astype(np.float32)
