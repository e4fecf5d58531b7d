"""Loaded avatars: three networks, the template, and a cache of what the encoder said of each template frame.

The U-Net's encoder never hears the sound, so its features belong to the template frame alone. They are kept
within a byte budget; a frame whose features were dropped is computed again, with the same bits.

Axes: B batch, S audio samples (16 kHz), D embedding, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data_prep.face_crop import crop_face
from data_prep.names import check_name
from data_prep.recipe_328 import (
    INNER_OFFSET_PX,
    INNER_PX,
    PATCH_HEIGHT_PX,
    REFERENCE_COUNT,
    window_samples,
)
from services.avatar import Avatar, open_avatar
from services.avatar_manifest import (
    AUDIO_ENCODER_FILE,
    FRAMES_FILE,
    MANIFEST_FILE,
    UNET_DECODER_FILE,
    UNET_ENCODER_FILE,
)
from services.byte_cache import ByteCache
from services.errors import BrokenAvatarError
from services.runtime import Graph, Runtime, TensorSpec
from services.shared_batches import SharedBatches
from services.template import TemplateVideo
from services.types import Features

logger = logging.getLogger(__name__)

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


class ModelService:
    """Opens avatars and keeps the ones used last in memory.

    An avatar that was dropped, or packaged again on disk, lives on for the sessions that use it, and is freed
    with the last of them.
    """

    def __init__(
        self, avatars_dir: Path, runtime: Runtime, loaded_bytes: int, features_bytes: int, template_bytes: int
    ) -> None:
        """Set the limits.

        Args:
            avatars_dir: folder of the avatars.
            runtime: loads the networks.
            loaded_bytes: for all loaded avatars together; the one used last always stays.
            features_bytes: for one avatar's encoder features.
            template_bytes: for one avatar's decoded template frames.
        """
        self._avatars_dir = avatars_dir
        self._runtime = runtime
        self._features_bytes = features_bytes
        self._template_bytes = template_bytes
        self._loaded: ByteCache[str, tuple[LoadedAvatar, tuple[int, int]]] = ByteCache(loaded_bytes)
        self._loading = threading.Lock()

    def open(self, name: str) -> LoadedAvatar:
        """Load an avatar, or return it if it is loaded and unchanged on disk.

        Raises:
            BadNameError: the name does not fit the pattern of names.
            AvatarNotFoundError, BrokenAvatarError, ModelRuntimeError: see services.errors.
        """
        with self._loading:
            stamp = _stamp(self._avatars_dir / check_name(name))
            found = self._loaded.get(name)
            if found is not None and found[1] == stamp:
                return found[0]
            avatar = open_avatar(self._avatars_dir, name)
            loaded = LoadedAvatar(avatar, self._runtime, self._features_bytes, self._template_bytes)
            self._loaded.put(name, (loaded, stamp), loaded.memory_bytes)
            logger.info("avatar %s loaded on %s", name, loaded.provider)
            return loaded


def _stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever avatar.json is written; a folder without one is reported by `open_avatar`."""
    try:
        status = (folder / MANIFEST_FILE).stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
