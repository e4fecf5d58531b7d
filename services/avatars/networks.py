"""An avatar in memory: three networks, the template, and a cache of what the encoder said of each template frame.

The U-Net's encoder never hears the sound, so its features belong to the template frame alone. They are kept
within a byte budget; a frame whose features were dropped is computed again, with the same bits.

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe.avatar_format import AUDIO_ENCODER_FILE, FRAMES_FILE, UNET_DECODER_FILE, UNET_ENCODER_FILE
from recipe.crop import crop_face
from recipe.errors import BrokenAvatarError
from recipe.recipe_328 import INNER_OFFSET_PX, INNER_PX, PATCH_HEIGHT_PX, REFERENCE_COUNT, window_samples
from services.avatars.avatar import Avatar
from services.avatars.byte_cache import ByteCache
from services.avatars.template import TemplateVideo
from services.runtimes.runtime import Graph, Runtime, TensorSpec
from services.runtimes.shared_batches import SharedBatches
from services.types import Features

FEATURES: Final = ("f160", "f80", "f40", "f20", "f10")
_REFERENCE_CHANNELS: Final = 3 * REFERENCE_COUNT
_WEIGHTS_FACTOR: Final = 2  # a session holds the file's weights and ONNX Runtime's re-ordered copy of them
_INNER = slice(INNER_OFFSET_PX, INNER_OFFSET_PX + INNER_PX)


class LoadedAvatar:
    """An avatar in memory, ready to speak; used by any number of sessions at the same time."""

    def __init__(self, avatar: Avatar, runtime: Runtime, features_bytes: int, template_bytes: int) -> None:
        """Load the networks, check their inputs and outputs, and run each once.

        Raises:
            BrokenAvatarError: a network or the template is not of the agreed form.
            ModelRuntimeError: the runtime refuses a network.
        """
        self.avatar = avatar
        manifest = avatar.manifest
        self.template = TemplateVideo(
            avatar.folder / FRAMES_FILE, manifest.frames, manifest.width, manifest.height, template_bytes
        )
        self._decoder = runtime.load(avatar.folder / UNET_DECODER_FILE)  # first: a self-test of the runtime takes it
        self._encoder = runtime.load(avatar.folder / UNET_ENCODER_FILE)
        self._audio = runtime.load(avatar.folder / AUDIO_ENCODER_FILE)
        _check_graphs(avatar, self._audio, self._encoder, self._decoder)
        inner_3HWC = avatar.references_3HWC[:, _INNER, _INNER]
        self._references_1HWC = np.ascontiguousarray(np.concatenate(inner_3HWC, axis=-1)[None])
        self._features: ByteCache[int, Features] = ByteCache(features_bytes)
        weights_bytes = sum((avatar.folder / name).stat().st_size for name in manifest.files if name.endswith(".onnx"))
        self.memory_bytes = _WEIGHTS_FACTOR * weights_bytes + features_bytes + template_bytes
        self._warm_up()

    @property
    def batch_frames(self) -> int:
        return self._decoder.batch_frames

    @property
    def first_batch_frames(self) -> int:
        # Elsewhere small calls help nobody: the rows of one call run side by side, or there is one row.
        return 1 if isinstance(self._decoder, SharedBatches) else self.batch_frames

    @property
    def provider(self) -> str:
        """What the networks run on, as the runtime names it."""
        return self._decoder.provider

    def encode_audio(self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32]) -> NDArray[np.float32]:
        pieces = _pieces(len(pcm_BS), self._audio.batch_frames)
        return np.concatenate(
            [self._audio.run({"pcm_BS": pcm_BS[i], "gate_B": gate_B[i]})["embedding_BD"] for i in pieces]
        )

    def encode_template(self, indices: Sequence[int]) -> list[Features]:
        found = {index: self._features.get(index) for index in indices}
        missing = [index for index, features in found.items() if features is None]
        for piece in _pieces(len(missing), self._encoder.batch_frames):
            found.update(self._encode(missing[piece]))
        return [features for index in indices if (features := found[index]) is not None]

    def _encode(self, indices: list[int]) -> dict[int, Features]:
        crops = [crop_face(self.template.frame(index), self.avatar.affine_T23[index]) for index in indices]
        target_BHWC = np.stack([crop[_INNER, _INNER] for crop in crops])
        references_BHWC = np.repeat(self._references_1HWC, len(indices), axis=0)
        results = self._encoder.run({"target_BHWC": target_BHWC, "references_BHWC": references_BHWC})
        encoded: dict[int, Features] = {}
        for row, index in enumerate(indices):
            # A row of a larger batch is copied, so that the cache does not keep its neighbours alive.
            features = {name: _own(results[name][row : row + 1]) for name in FEATURES}
            self._features.put(index, features, sum(array.nbytes for array in features.values()))
            encoded[index] = features
        return encoded

    def decode(self, features: Sequence[Features], embedding_BD: NDArray[np.float32]) -> NDArray[np.uint8]:
        patches = []
        for piece in _pieces(len(features), self._decoder.batch_frames):
            feeds = {name: _join([one[name] for one in features[piece]]) for name in FEATURES}
            patches.append(self._decoder.run({**feeds, "embedding_BD": embedding_BD[piece]})["patch_BHWC"])
        return np.concatenate(patches)

    def _warm_up(self) -> None:
        embedding_BD = self.encode_audio(np.zeros((1, _hears(self.avatar)), np.float32), np.ones(1, np.float32))
        self.decode(self.encode_template([0]), embedding_BD)


def _pieces(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _own(array: NDArray[Any]) -> NDArray[Any]:
    return array if array.base is None or array.base.nbytes == array.nbytes else array.copy()


def _join(arrays: list[NDArray[np.float16]]) -> NDArray[np.float16]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _hears(avatar: Avatar) -> int:
    """Samples of one audio window."""
    return window_samples(avatar.manifest.recipe["audio_features"])


def _check_graphs(avatar: Avatar, audio: Graph, encoder: Graph, decoder: Graph) -> None:
    """Compare the networks' inputs and outputs with what this program feeds and reads."""
    features = {spec.name: spec for spec in encoder.outputs}
    widths = {spec.name: spec.shape[-1] for spec in audio.outputs}
    feature_shapes = {
        name: (np.float16, features[name].shape if name in features else (None,) * 4) for name in FEATURES
    }
    embedding = {"embedding_BD": (np.float32, (None, widths.get("embedding_BD")))}
    picture = (np.uint8, (None, INNER_PX, INNER_PX, 3))
    references = (np.uint8, (None, INNER_PX, INNER_PX, _REFERENCE_CHANNELS))
    patch = (np.uint8, (None, PATCH_HEIGHT_PX, INNER_PX, 4))
    sound = {"pcm_BS": (np.float32, (None, _hears(avatar))), "gate_B": (np.float32, (None,))}
    for filename, kind, specs, expected in (
        (AUDIO_ENCODER_FILE, "input", audio.inputs, sound),
        (AUDIO_ENCODER_FILE, "output", audio.outputs, embedding),
        (UNET_ENCODER_FILE, "input", encoder.inputs, {"target_BHWC": picture, "references_BHWC": references}),
        (UNET_ENCODER_FILE, "output", encoder.outputs, feature_shapes),
        (UNET_DECODER_FILE, "input", decoder.inputs, {**feature_shapes, **embedding}),
        (UNET_DECODER_FILE, "output", decoder.outputs, {"patch_BHWC": patch}),
    ):
        _check_specs(f"{avatar.folder / filename}", kind, specs, expected)


def _check_specs(where: str, kind: str, specs: Sequence[TensorSpec], expected: dict[str, Any]) -> None:
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
