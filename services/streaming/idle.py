"""The avatar while nobody speaks: its own template frames with the mouth closed, drawn once; JPEG or, cut out, WebP.

A frame is what the generator draws in silence at that place of the template, so speech begins and ends without
a jump.

Axes: B batch, S audio samples (16 kHz), H W C picture (RGB, uint8).
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable

import numpy as np

from recipe.recipe_328 import window_samples
from services.avatars.byte_cache import ByteCache
from services.streaming.jpeg import encode_jpeg, encode_webp
from services.types import AvatarModel


class IdleFrames:
    """Draws and remembers idle frames; safe to use from several threads."""

    def __init__(self, budget_bytes: int, jpeg_quality: int) -> None:
        """Set the limits.

        Args:
            budget_bytes: for all remembered pictures together.
            jpeg_quality: 1 to 100.
        """
        self._jpeg_quality = jpeg_quality
        self._drawn: ByteCache[tuple[str, int, bool], bytes] = ByteCache(budget_bytes)
        self._drawing = threading.Lock()  # one at a time: what is being said has the machine first

    def coded(
        self, model: AvatarModel, indices: Iterable[int], transparent: bool = False
    ) -> Generator[tuple[int, bytes], None, None]:
        """(template index, JPEG) of every index; WebP without what is behind the person where that is `transparent`.

        Raises:
            NotCutOutError: what is behind the person is not known.
        """
        avatar_hash = identity(model)
        for index in indices:
            key = (avatar_hash, index, transparent)
            picture = self._drawn.get(key)
            if picture is None:
                with self._drawing:
                    picture = self._drawn.get(key) or self._draw(model, index, transparent)
                    self._drawn.put(key, picture, len(picture))
            yield index, picture

    def forget(self) -> None:
        """Forget all that was drawn."""
        self._drawn.drop_if(lambda _: True)

    def _draw(self, model: AvatarModel, index: int, transparent: bool) -> bytes:
        silence_BS = np.zeros((1, window_samples(model.avatar.manifest.recipe["audio_features"])), np.float32)
        embedding_BD = model.encode_audio(silence_BS, np.zeros(1, np.float32))
        (picture_HWC,) = model.draw([index], embedding_BD)
        if transparent:
            return encode_webp(model.cut_out(index, picture_HWC), self._jpeg_quality)
        return encode_jpeg(picture_HWC, self._jpeg_quality)


def identity(model: AvatarModel) -> str:
    """Differs between any two avatars that draw differently: it is made of the hashes of their files."""
    manifest = model.avatar.manifest
    return "-".join([manifest.name, *(manifest.files[name][:16] for name in sorted(manifest.files))])
