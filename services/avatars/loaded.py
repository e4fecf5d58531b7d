"""An avatar in memory: its networks, its template, and a cache of what the encoder said of each template frame.

The U-Net's encoder never hears the sound, so its features belong to the template frame alone. They are kept
within a byte budget; a frame whose features were dropped is computed again, with the same bits.

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.avatar_format import FRAMES_FILE
from recipe.crop import INNER, crop_face
from recipe.paste import paste_patch, plan_paste
from services.avatars.avatar import Avatar
from services.avatars.byte_cache import ByteCache
from services.avatars.networks import Networks
from services.avatars.regions import pasted_region
from services.avatars.template import TemplateVideo
from services.avatars.trial import trial_of
from services.errors import NotCutOutError
from services.mouth_rate import shown_rows
from services.runtimes.runtime import Runtime
from services.types import Patch, ToldLips

# What the encoder knows of one template frame: graph output name -> (1, C, H, W).
Features = Mapping[str, NDArray[np.float16]]

_WEIGHTS_FACTOR: Final = 2  # a session holds the file's weights and ONNX Runtime's re-ordered copy of them


class LoadedAvatar:
    """An avatar in memory, ready to speak; used by any number of sessions at the same time."""

    def __init__(self, avatar: Avatar, runtime: Runtime, features_bytes: int, template_bytes: int) -> None:
        """Load the networks and run each once.

        Raises:
            BrokenAvatarError: a network or the template is not of the agreed form.
            ModelRuntimeError: the runtime refuses a network.
        """
        self.avatar = avatar
        manifest = avatar.manifest
        self.template = TemplateVideo(
            avatar.folder / FRAMES_FILE, manifest.frames, manifest.width, manifest.height, template_bytes
        )
        self._networks = Networks(avatar, runtime, trial_of(avatar, self.template))
        self._features: ByteCache[int, Features] = ByteCache(features_bytes)
        self._features_bytes = features_bytes
        weights_bytes = sum((avatar.folder / name).stat().st_size for name in manifest.files if name.endswith(".onnx"))
        self.memory_bytes = _WEIGHTS_FACTOR * weights_bytes + features_bytes + template_bytes
        self._frame_bytes = self._warm_up()

    @property
    def batch_frames(self) -> int:
        return self._networks.batch_frames

    @property
    def first_batch_frames(self) -> int:
        # Elsewhere small calls help nobody: the rows of one call run side by side, or there is one row.
        return 1 if self._networks.shares_batches else self.batch_frames

    @property
    def keeps_template(self) -> bool:
        """Whether the features of all template frames fit into their budget."""
        return self.avatar.manifest.frames * self._frame_bytes <= self._features_bytes

    @property
    def provider(self) -> str:
        """What the networks run on, as the runtime names it."""
        return self._networks.provider

    def encode_audio(
        self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32], lips: ToldLips = ()
    ) -> NDArray[np.float32]:
        """See `services.types.AvatarModel`; these networks listen."""
        return self._networks.embed(pcm_BS, gate_B)

    def encode_template(self, indices: Sequence[int]) -> list[Features]:
        """Features of template frames, one mapping per index."""
        found = {index: self._features.get(index) for index in indices}
        missing = [index for index, features in found.items() if features is None]
        if missing:
            crops = [crop_face(self.template.frame(index), self.avatar.affine_T23[index]) for index in missing]
            encoded = self._networks.encode(np.stack([crop[INNER, INNER] for crop in crops]))
            for index, new in zip(missing, encoded, strict=True):
                self._features.put(index, new, _bytes(new))
                found[index] = new
        return [features for index in indices if (features := found[index]) is not None]

    def decode(self, features: Sequence[Features], embedding_BD: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The patches (B, PATCH_HEIGHT_PX, INNER_PX, 4): RGB and straight alpha."""
        return self._networks.decode(features, embedding_BD)

    def draw(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        """Template frames with the patch that the sound asks for, one after the other."""
        for index, patch_HWC in self._patches(indices, embedding_BD, held):
            picture_HWC = self.template.frame(index)
            yield paste_patch(picture_HWC, patch_HWC, plan_paste(self.avatar.affine_T23[index], *picture_HWC.shape[:2]))

    def draw_patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[Patch]:
        """The rectangles of `draw`'s pictures that the drawn patch touches."""
        for index, patch_HWC in self._patches(indices, embedding_BD, held):
            plan = plan_paste(self.avatar.affine_T23[index], self.template.height, self.template.width)
            yield pasted_region(self.template, index, plan, patch_HWC)

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Not for this kind."""
        raise NotCutOutError(self.avatar.manifest)

    def _patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool]
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        groups = shown_rows(len(indices), held)
        first = [rows[0] for rows in groups]
        features = self.encode_template([indices[row] for row in first])
        for rows, patch_HWC in zip(groups, self.decode(features, embedding_BD[first]), strict=True):
            for row in rows:
                yield indices[row], patch_HWC

    def _warm_up(self) -> int:
        """Run each network once; bytes of a frame's features."""
        silence_BS = np.zeros((1, self._networks.hears_samples), np.float32)
        features = self.encode_template([0])
        self.decode(features, self.encode_audio(silence_BS, np.ones(1, np.float32)))
        return _bytes(features[0])


def _bytes(features: Features) -> int:
    return sum(array.nbytes for array in features.values())
