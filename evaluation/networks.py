"""The avatar's own networks, run on frames of the dataset instead of its template.

Axes: T frames, B batch, S samples of an audio window, D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from recipe.avatar_format import AUDIO_ENCODER_FILE, UNET_DECODER_FILE, UNET_ENCODER_FILE
from recipe.recipe_328 import INNER_OFFSET_PX, INNER_PX, PATCH_TOP_PX
from services.avatars.avatar import Avatar
from services.runtimes.runtime import Runtime

INNER = slice(INNER_OFFSET_PX, INNER_OFFSET_PX + INNER_PX)


class Speaker(Protocol):
    """What the evaluation needs of an avatar."""

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio windows and gates -> embeddings (T, D)."""

    def draw(
        self, inner_THWC: NDArray[np.uint8], embeddings: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.uint8]]:
        """Draw several takes on the same frames.

        Args:
            inner_THWC: template frames, (T, 320, 320, 3).
            embeddings: per take (t, D) with t <= T: what is said on the first t frames.
        Returns:
            Per take the strips (t, 192, 320, 3), composited.
        """


class AvatarSpeaker:
    """The three networks of an avatar on disk."""

    def __init__(self, avatar: Avatar, runtime: Runtime) -> None:
        """Load the networks.

        Raises:
            ModelRuntimeError: the runtime refuses a network.
        """
        self._audio = runtime.load(avatar.folder / AUDIO_ENCODER_FILE)
        self._encoder = runtime.load(avatar.folder / UNET_ENCODER_FILE)
        self._decoder = runtime.load(avatar.folder / UNET_DECODER_FILE)
        self._references_HWC = np.concatenate(list(avatar.references_3HWC[:, INNER, INNER]), axis=-1)

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        size = self._audio.batch_frames
        pieces = [slice(start, start + size) for start in range(0, len(pcm_TS), size)]
        runs = [self._audio.run({"pcm_BS": pcm_TS[piece], "gate_B": gate_T[piece]}) for piece in pieces]
        return np.concatenate([run["embedding_BD"] for run in runs])

    def draw(
        self, inner_THWC: NDArray[np.uint8], embeddings: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.uint8]]:
        strips: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in embeddings}
        size = self._decoder.batch_frames
        starts = range(0, len(inner_THWC), size)
        for start in tqdm(starts, desc="drawing", unit="frame", unit_scale=size, disable=None, leave=False):
            target_BHWC = inner_THWC[start : start + size]
            references_BHWC = np.repeat(self._references_HWC[None], len(target_BHWC), axis=0)
            features = self._encoder.run({"target_BHWC": target_BHWC, "references_BHWC": references_BHWC})
            for name, embedding_TD in embeddings.items():
                embedding_BD = embedding_TD[start : start + size]
                if not len(embedding_BD):
                    continue
                known = {key: array[: len(embedding_BD)] for key, array in features.items()}
                patch_BHWC = self._decoder.run({**known, "embedding_BD": embedding_BD})["patch_BHWC"]
                strips[name].append(composite(patch_BHWC, target_BHWC[: len(embedding_BD), PATCH_TOP_PX:]))
        return {name: np.concatenate(pieces) for name, pieces in strips.items()}


def composite(patch_BHWC: NDArray[np.uint8], filmed_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay RGBA patches over filmed strips: alpha * drawn + (1 - alpha) * filmed, rounded."""
    alpha = patch_BHWC[..., 3:].astype(np.uint16)
    mixed = alpha * patch_BHWC[..., :3] + (255 - alpha) * filmed_BHWC
    return ((mixed + 127) // 255).astype(np.uint8)
