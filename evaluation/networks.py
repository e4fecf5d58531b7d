"""The avatar's own networks, run on frames of the dataset instead of its template.

Axes: T frames, B batch, S samples of an audio window, D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from evaluation.block import HeldOutFrames
from recipe.film.draw import FilmFace
from recipe.mask_328 import alpha_bounds
from recipe.progress import progress
from recipe.recipe_328 import PATCH_TOP_PX
from services.avatars.avatar import Avatar, FilmAvatar
from services.avatars.film_model import LoadedFilm
from services.avatars.networks import Networks
from services.runtimes.runtime import Runtime

_FRAMES_CACHE_BYTES = 64 << 20


class Speaker(Protocol):
    """What the evaluation needs of an avatar."""

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio windows and gates -> embeddings (T, D)."""

    def draw(self, test: HeldOutFrames, embeddings: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        """Draw several takes on the same frames.

        Args:
            test: the frames that are drawn on.
            embeddings: per take (t, D) with t <= T: what is said on the first t frames.
        Returns:
            Per take the strips (t, 192, 320, 3), composited.
        """


class AvatarSpeaker:
    """The three networks of an avatar on disk."""

    def __init__(self, avatar: Avatar, runtime: Runtime) -> None:
        """Load the networks.

        Raises:
            BrokenAvatarError: a network is not of the agreed form.
            ModelRuntimeError: the runtime refuses a network.
        """
        self._networks = Networks(avatar, runtime)

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._networks.embed(pcm_TS, gate_T)

    def draw(self, test: HeldOutFrames, embeddings: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        strips: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in embeddings}
        inner_THWC = test.inner_THWC
        size = self._networks.batch_frames
        for start in progress(range(0, len(inner_THWC), size), desc="drawing", unit="frame", unit_scale=size):
            target_BHWC = inner_THWC[start : start + size]
            features = self._networks.encode(target_BHWC)
            for name, embedding_TD in embeddings.items():
                embedding_BD = embedding_TD[start : start + size]
                if not len(embedding_BD):
                    continue
                patch_BHWC = self._networks.decode(features[: len(embedding_BD)], embedding_BD)
                strips[name].append(composite(patch_BHWC, target_BHWC[: len(embedding_BD), PATCH_TOP_PX:]))
        return {name: np.concatenate(pieces) for name, pieces in strips.items()}


class FilmSpeaker:
    """A film avatar on frames of its dataset: their upper faces tell where the head is, their mouths nothing."""

    def __init__(self, avatar: FilmAvatar, runtime: Runtime) -> None:
        """Load the ears.

        Raises:
            BrokenAvatarError, ModelRuntimeError: see `services.avatars.film_model.LoadedFilm`.
        """
        self._film = avatar.film
        self._model = LoadedFilm(avatar, runtime, _FRAMES_CACHE_BYTES)

    def embed(self, pcm_TS: NDArray[np.float32], gate_T: NDArray[np.float32]) -> NDArray[np.float32]:
        return self._model.encode_audio(pcm_TS, gate_T)

    def draw(self, test: HeldOutFrames, embeddings: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.uint8]]:
        face = FilmFace({**self._film, "track_TK2": test.points_TK2})
        strips: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in embeddings}
        with threadpool_limits(1, user_api="blas"):  # as where it is served: its threads would wait more than compute
            for t in progress(range(len(test.inner_THWC)), desc="drawing", unit="frame"):
                inner_HWC = test.inner_THWC[t]
                for name, embedding_TD in embeddings.items():
                    if t < len(embedding_TD):
                        patch_HWC = face.patch(inner_HWC, t, embedding_TD[t])
                        strips[name].append(composite(patch_HWC[None], inner_HWC[None, PATCH_TOP_PX:])[0])
        return {name: np.stack(drawn) for name, drawn in strips.items()}


def speaker_of(avatar: Avatar, runtime: Runtime) -> Speaker:
    """What draws an avatar that was made of a recording."""
    return FilmSpeaker(avatar, runtime) if isinstance(avatar, FilmAvatar) else AvatarSpeaker(avatar, runtime)


def laid_over(strips_THWC: NDArray[np.uint8], filmed_THWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lower faces blended into filmed strips inside the mask."""
    alpha_1HW1 = (alpha_bounds()[1][None, PATCH_TOP_PX:, :, None] * 255).round().astype(np.uint8)
    pairs = zip(strips_THWC, filmed_THWC, strict=True)
    return np.concatenate(
        [composite(np.concatenate([strip[None], alpha_1HW1], axis=-1), filmed[None]) for strip, filmed in pairs]
    )


def composite(patch_BHWC: NDArray[np.uint8], filmed_BHWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Lay RGBA patches over filmed strips: alpha * drawn + (1 - alpha) * filmed, rounded."""
    alpha = patch_BHWC[..., 3:].astype(np.uint16)
    mixed = alpha * patch_BHWC[..., :3] + (255 - alpha) * filmed_BHWC
    return ((mixed + 127) // 255).astype(np.uint8)
