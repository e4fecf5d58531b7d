"""The three networks of an avatar: the one place that knows what goes in and what comes out.

    sound and gate -> embedding        target and references -> features        features and embedding -> patch

Every result depends on its own row alone, so that callers may hand over any number of rows: they are run in pieces of
the batch size that the runtime computes at a time.

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe.avatar_format import (
    AUDIO_ENCODER_FILE,
    EMBEDDING,
    FEATURES,
    GATE,
    PATCH,
    PCM,
    REFERENCES,
    TARGET,
    UNET_DECODER_FILE,
    UNET_ENCODER_FILE,
)
from recipe.crop import INNER
from recipe.errors import BrokenAvatarError
from recipe.recipe_328 import INNER_PX, PATCH_HEIGHT_PX, REFERENCE_COUNT, window_samples
from services.avatars.avatar import Avatar
from services.runtimes.runtime import Runtime, TensorSpec, Trial
from services.runtimes.shared_batches import SharedBatches

_REFERENCE_CHANNELS: Final = 3 * REFERENCE_COUNT


class Networks:
    """An avatar's networks in a runtime; used from any number of threads."""

    def __init__(self, avatar: Avatar, runtime: Runtime, trial: Trial | None = None) -> None:
        """Load the networks and check their inputs and outputs.

        Args:
            avatar: whose they are.
            runtime: loads them.
            trial: frames on which a runtime may compare its pictures of the decoder with exact ones.
        Raises:
            BrokenAvatarError: a network is not of the agreed form.
            ModelRuntimeError: the runtime refuses a network.
        """
        self._decoder = runtime.load(avatar.folder / UNET_DECODER_FILE, trial)  # first: it decides
        self._encoder = runtime.load(avatar.folder / UNET_ENCODER_FILE)
        self._audio = runtime.load(avatar.folder / AUDIO_ENCODER_FILE)
        self.hears_samples = window_samples(avatar.manifest.recipe["audio_features"])
        self._check(avatar)
        inner_3HWC = avatar.references_3HWC[:, INNER, INNER]
        self._references_1HWC = np.ascontiguousarray(np.concatenate(inner_3HWC, axis=-1)[None])

    @property
    def batch_frames(self) -> int:
        """Rows that the decoder computes at a time."""
        return self._decoder.batch_frames

    @property
    def shares_batches(self) -> bool:
        """Whether the rows of concurrent callers are computed together."""
        return isinstance(self._decoder, SharedBatches)

    @property
    def provider(self) -> str:
        """What the networks run on, as the runtime names it."""
        return self._decoder.provider

    def embed(self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32]) -> NDArray[np.float32]:
        """Audio windows and their gates -> embeddings (B, D)."""
        pieces = in_pieces(len(pcm_BS), self._audio.batch_frames)
        return np.concatenate([self._audio.run({PCM: pcm_BS[i], GATE: gate_B[i]})[EMBEDDING] for i in pieces])

    def encode(self, target_BHWC: NDArray[np.uint8]) -> list[dict[str, NDArray[np.float16]]]:
        """Inner squares of template frames -> their features, each (1, C, H, W) by name, one mapping per row."""
        rows: list[dict[str, NDArray[np.float16]]] = []
        for piece in in_pieces(len(target_BHWC), self._encoder.batch_frames):
            target = target_BHWC[piece]
            references_BHWC = np.repeat(self._references_1HWC, len(target), axis=0)
            results = self._encoder.run({TARGET: target, REFERENCES: references_BHWC})
            # A row of a larger batch is copied, so that whoever keeps it does not keep its neighbours alive.
            rows += [{name: _own(results[name][r : r + 1]) for name in FEATURES} for r in range(len(target))]
        return rows

    def decode(
        self, features: Sequence[Mapping[str, NDArray[np.float16]]], embedding_BD: NDArray[np.float32]
    ) -> NDArray[np.uint8]:
        """Features, one mapping per row, and embeddings -> RGBA patches (B, PATCH_HEIGHT_PX, INNER_PX, 4)."""
        patches = []
        for piece in in_pieces(len(features), self._decoder.batch_frames):
            feeds = {name: _join([one[name] for one in features[piece]]) for name in FEATURES}
            patches.append(self._decoder.run({**feeds, EMBEDDING: embedding_BD[piece]})[PATCH])
        return np.concatenate(patches)

    def _check(self, avatar: Avatar) -> None:
        """Compare the networks' inputs and outputs with what this program feeds and reads."""
        audio, encoder, decoder = self._audio, self._encoder, self._decoder
        features = {spec.name: spec for spec in encoder.outputs}
        widths = {spec.name: spec.shape[-1] for spec in audio.outputs}
        feature_shapes = {
            name: (np.float16, features[name].shape if name in features else (None,) * 4) for name in FEATURES
        }
        embedding = {EMBEDDING: (np.float32, (None, widths.get(EMBEDDING)))}
        picture = (np.uint8, (None, INNER_PX, INNER_PX, 3))
        references = (np.uint8, (None, INNER_PX, INNER_PX, _REFERENCE_CHANNELS))
        patch = (np.uint8, (None, PATCH_HEIGHT_PX, INNER_PX, 4))
        sound = {PCM: (np.float32, (None, self.hears_samples)), GATE: (np.float32, (None,))}
        for filename, kind, specs, expected in (
            (AUDIO_ENCODER_FILE, "input", audio.inputs, sound),
            (AUDIO_ENCODER_FILE, "output", audio.outputs, embedding),
            (UNET_ENCODER_FILE, "input", encoder.inputs, {TARGET: picture, REFERENCES: references}),
            (UNET_ENCODER_FILE, "output", encoder.outputs, feature_shapes),
            (UNET_DECODER_FILE, "input", decoder.inputs, {**feature_shapes, **embedding}),
            (UNET_DECODER_FILE, "output", decoder.outputs, {PATCH: patch}),
        ):
            check_specs(f"{avatar.folder / filename}", kind, specs, expected)


def in_pieces(count: int, size: int) -> Iterator[slice]:
    """Rows in groups of at most `size`."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _own(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.base is None or array.base.nbytes == array.nbytes else array.copy()


def _join(arrays: list[NDArray[np.float16]]) -> NDArray[np.float16]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def check_specs(where: str, kind: str, specs: Sequence[TensorSpec], expected: dict[str, Any]) -> None:
    """Compare a network's inputs or outputs with name -> (dtype, shape), where None fits any size.

    Raises:
        BrokenAvatarError: they differ.
    """
    if {spec.name for spec in specs} != set(expected):
        names = ", ".join(spec.name for spec in specs)
        raise BrokenAvatarError(
            f"{where} has the {kind}s {names}; expected {', '.join(expected)}; package the avatar again"
        )
    for spec in specs:
        dtype, shape = expected[spec.name]
        sizes_fit = len(spec.shape) == len(shape) and all(
            want in (None, got) or got is None for want, got in zip(shape, spec.shape, strict=True)
        )
        if spec.dtype != dtype or not sizes_fit or spec.shape[0] is not None:
            raise BrokenAvatarError(
                f"{where}: {kind} {spec.name} is {spec.dtype} {spec.shape}, expected {np.dtype(dtype)} {shape} with an "
                "open batch size; package the avatar again"
            )
