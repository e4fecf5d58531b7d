"""A loaded avatar draws each frame from that frame's own inputs, whatever it is computed together with."""

from __future__ import annotations

import gc
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from config import Models
from recipe.avatar_format import FEATURES, seal_avatar
from recipe.colour import decode_rgb
from recipe.crop import crop_face
from recipe.errors import BadNameError, BrokenAvatarError
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from services.avatars.avatar import record_consent
from services.avatars.byte_cache import ByteCache
from services.avatars.loaded import LoadedAvatar
from services.container import build_services
from services.errors import ModelRuntimeError
from services.model_service import ModelService
from services.runtimes.onnx import OnnxGraph, OnnxRuntime, cuda_device_count
from services.runtimes.runtime import Arrays, Trial
from tests.toy_avatar import (  # noqa: F401
    FRAMES,
    NAME,
    toy_avatars,
    toy_facts,
    toy_model,
    toy_services,
    write_audio_encoder,
    write_unet_decoder,
)

# The tests of this file use the module's fixtures under these names.
# ruff: noqa: F811

ROOM = 1 << 30


class SpyRuntime(OnnxRuntime):
    """Remembers what every network was fed; computes at another fixed batch size when asked."""

    def __init__(self, batch_frames: int = 1) -> None:
        super().__init__("cpu", threads=1)
        self.batch_frames = batch_frames
        self.fed: dict[str, list[Arrays]] = {}

    def load(self, path: Path, trial: Trial | None = None) -> OnnxGraph:
        graph = super().load(path, trial)
        graph.batch_frames = self.batch_frames
        calls = self.fed.setdefault(path.stem, [])
        run = graph.run

        def remembering(feeds: Arrays) -> dict[str, Any]:
            calls.append(feeds)
            return run(feeds)

        graph.run = remembering  # type: ignore[method-assign]
        return graph


def service(
    avatars_dir: Path, runtime: OnnxRuntime | None = None, loaded: int = ROOM, features: int = ROOM
) -> ModelService:
    return ModelService(avatars_dir, runtime or SpyRuntime(), loaded, features, template_bytes=ROOM)


@pytest.fixture(scope="module")
def sound() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    pcm_BS = (random.normal(0, 0.1, (11, AUDIO_WINDOW_SAMPLES))).astype(np.float32)
    return pcm_BS, random.uniform(0, 1, 11).astype(np.float32)


def draw(model: LoadedAvatar, sound: tuple[np.ndarray, np.ndarray], rows: slice) -> tuple[np.ndarray, np.ndarray]:
    embedding_BD = model.encode_audio(sound[0][rows], sound[1][rows])
    indices = list(range(20, 31))[rows]
    return embedding_BD, model.decode(model.encode_template(indices), embedding_BD)


@pytest.mark.parametrize("batch_frames", [1, 4])
@pytest.mark.parametrize("group", [1, 3, 8])
def test_a_row_does_not_depend_on_its_batch(
    toy_avatars: Path,
    toy_model: LoadedAvatar,
    sound: tuple[np.ndarray, np.ndarray],
    batch_frames: int,
    group: int,
) -> None:
    model = service(toy_avatars, SpyRuntime(batch_frames)).open(NAME)
    whole = draw(toy_model, sound, slice(0, 11))
    pieces = [draw(model, sound, slice(start, start + group)) for start in range(0, 11, group)]
    for expected, got in zip(whole, zip(*pieces, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(got), expected)
    assert len(np.unique(whole[1].reshape(11, -1), axis=0)) == 11  # every frame is drawn differently


def test_every_run_has_the_same_shape(toy_avatars: Path, sound: tuple[np.ndarray, np.ndarray]) -> None:
    """A short last piece is padded inside the runtime; no network ever sees another batch size."""
    runtime = SpyRuntime(4)
    graph = runtime.load(toy_avatars / NAME / "audio_encoder.onnx")
    sizes = []
    session_run = graph._session.run

    class Session:
        def run(self, names: list[str], feeds: dict[str, Any]) -> Any:
            sizes.append({len(value) for value in feeds.values()})
            return session_run(names, feeds)

    graph._session = Session()
    for rows in (1, 2, 3, 4):
        result = graph.run({"pcm_BS": sound[0][:rows], "gate_B": sound[1][:rows]})
        assert len(result["embedding_BD"]) == rows
    assert sizes == [{4}] * 4


def test_the_network_sees_the_training_crop(toy_avatars: Path) -> None:
    """Byte for byte: crop_face of the frame as data_prep decodes it, inner square; references side by side."""
    runtime = SpyRuntime()
    model = service(toy_avatars, runtime).open(NAME)
    runtime.fed["unet_encoder"].clear()
    model.encode_template([33, 7])
    with av.open(str(toy_avatars / NAME / "frames.mp4")) as container:
        frames = [decode_rgb(frame) for frame in container.decode(video=0)]
    affine_T23, references = model.avatar.affine_T23, model.avatar.references_3HWC
    for index, feeds in zip((33, 7), runtime.fed["unet_encoder"], strict=True):
        crop = crop_face(frames[index], affine_T23[index])
        np.testing.assert_array_equal(feeds["target_BHWC"][0], crop[4:324, 4:324])
        for i in range(3):
            shown = feeds["references_BHWC"][0, ..., 3 * i : 3 * i + 3]
            np.testing.assert_array_equal(shown, references[i, 4:324, 4:324])


def test_features_are_computed_once_and_again_when_dropped(toy_avatars: Path) -> None:
    runtime = SpyRuntime()
    model = service(toy_avatars, runtime).open(NAME)
    first = model.encode_template([3, 4, 5])
    runtime.fed["unet_encoder"].clear()
    again = model.encode_template([5, 4, 3, 3])
    assert runtime.fed["unet_encoder"] == []
    assert [one["f10"] is two["f10"] for one, two in zip(again, [*first[::-1], first[0]], strict=True)] == [True] * 4
    forgetful = service(toy_avatars, features=0).open(NAME)
    for index in (3, 4, 5, 3):
        features = forgetful.encode_template([index])[0]
        for name in FEATURES:
            np.testing.assert_array_equal(features[name], first[index - 3][name])


def test_features_stay_within_their_budget(toy_avatars: Path) -> None:
    probe = service(toy_avatars, SpyRuntime(4)).open(NAME)
    one_bytes = sum(array.nbytes for array in probe.encode_template([0])[0].values())
    model = service(toy_avatars, SpyRuntime(4), features=5 * one_bytes).open(NAME)
    kept = [weakref.ref(features["f160"]) for features in model.encode_template(list(range(1, 21)))]
    gc.collect()
    assert [i for i, reference in enumerate(kept) if reference() is not None] == [15, 16, 17, 18, 19]
    assert model._features.used_bytes == 5 * one_bytes


def test_a_walk_over_a_template_that_does_not_fit_meets_what_it_saw_last(toy_avatars: Path) -> None:
    """To and fro, the last frames seen are the next ones shown: room for a third saves a third of the encoder's runs.

    No policy does better: between two visits of all frames, what does not fit has to be computed once.
    """
    one_bytes = sum(array.nbytes for array in service(toy_avatars).open(NAME).encode_template([0])[0].values())
    runtime = SpyRuntime()
    model = service(toy_avatars, runtime, features=FRAMES // 3 * one_bytes).open(NAME)
    runs = []
    up, down = list(range(FRAMES)), list(range(FRAMES - 1, -1, -1))
    for way in (up, down, up, down):
        runtime.fed["unet_encoder"].clear()
        for index in way:
            model.encode_template([index])
        runs.append(len(runtime.fed["unet_encoder"]))
    assert runs == [FRAMES - 1, *[FRAMES - FRAMES // 3] * 3]  # the warm-up saw frame 0


def test_the_gate_decides_between_sound_and_silence(
    toy_model: LoadedAvatar, sound: tuple[np.ndarray, np.ndarray]
) -> None:
    closed = toy_model.encode_audio(sound[0], np.zeros(11, np.float32))
    np.testing.assert_array_equal(closed, np.repeat(closed[:1], 11, axis=0))
    opened = toy_model.encode_audio(sound[0], np.ones(11, np.float32))
    assert len(np.unique(opened, axis=0)) == 11


def test_sessions_in_parallel_get_what_they_get_alone(
    toy_avatars: Path, toy_model: LoadedAvatar, sound: tuple[np.ndarray, np.ndarray]
) -> None:
    model = service(toy_avatars, features=0).open(NAME)
    results: dict[int, np.ndarray] = {}

    def work(start: int) -> None:
        results[start] = np.concatenate([draw(model, sound, slice(i, i + 1))[1] for i in range(start, 11)])

    threads = [threading.Thread(target=work, args=(start,)) for start in (0, 2, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = draw(toy_model, sound, slice(0, 11))[1]
    for start, patches in results.items():
        np.testing.assert_array_equal(patches, expected[start:])


@pytest.fixture
def avatars_dir(toy_avatars: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(toy_avatars, tmp_path / "avatars"))


def test_an_avatar_is_loaded_once_and_again_when_it_changed(avatars_dir: Path) -> None:
    models = service(avatars_dir)
    first = models.open(NAME)
    assert models.open(NAME) is first
    record_consent(avatars_dir, NAME, "Ada, 2026-11-20, demos")
    second = models.open(NAME)
    assert second is not first
    assert second.avatar.manifest.consent is not None
    shutil.rmtree(avatars_dir / NAME)
    with pytest.raises(Exception, match="no avatar 'toy'"):
        models.open(NAME)


def test_the_avatar_used_least_recently_is_dropped(avatars_dir: Path) -> None:
    for name in ("b", "c"):
        shutil.copytree(avatars_dir / NAME, avatars_dir / name)
    one_bytes = service(avatars_dir, features=1).open(NAME).memory_bytes
    models = service(avatars_dir, loaded=2 * one_bytes, features=1)
    held = {name: weakref.ref(models.open(name)) for name in (NAME, "b")}
    models.open(NAME)
    models.open("c")
    gc.collect()
    assert held["b"]() is None
    assert held[NAME]() is models.open(NAME)


def test_a_dropped_avatar_lives_on_for_its_session(
    avatars_dir: Path, toy_model: LoadedAvatar, sound: tuple[np.ndarray, np.ndarray]
) -> None:
    shutil.copytree(avatars_dir / NAME, avatars_dir / "b")
    models = service(avatars_dir, loaded=0)
    model = models.open(NAME)
    models.open("b")
    patches = draw(model, sound, slice(0, 3))[1]
    np.testing.assert_array_equal(patches, draw(toy_model, sound, slice(0, 3))[1])


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda f: (f / "unet_encoder.onnx").write_bytes(b"no net"), ModelRuntimeError, r"cannot load .*unet_encoder"),
        (lambda f: shutil.copy(f / "unet_decoder.onnx", f / "unet_encoder.onnx"), BrokenAvatarError, "the inputs f160"),
        (lambda f: write_audio_encoder(f / "audio_encoder.onnx", 7040), BrokenAvatarError, r"pcm_BS .*7040.*8032"),
        (lambda f: (f / "frames.mp4").write_bytes(b"no video"), BrokenAvatarError, "cannot be read as a video"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    avatars_dir: Path, damage: Callable[[Path], object], error: type[Exception], message: str
) -> None:
    """The hashes are right, as after a packaging by a faulty program: what is inside is looked at, too."""
    damage(avatars_dir / NAME)
    seal_avatar(avatars_dir / NAME, toy_facts(NAME))
    with pytest.raises(error, match=message):
        service(avatars_dir).open(NAME)


def test_another_number_of_frames_is_refused(avatars_dir: Path) -> None:
    folder = avatars_dir / NAME
    with np.load(folder / "track.npz") as file:
        track = {key: value[: FRAMES - 1] if key.endswith(("T", "T3", "T23")) else value for key, value in file.items()}
    np.savez(folder / "track.npz", **track)
    seal_avatar(folder, {**toy_facts(NAME), "frames": FRAMES - 1})
    with pytest.raises(BrokenAvatarError, match=r"holds 60 frames .* says 59"):
        service(avatars_dir).open(NAME)


def test_names_are_checked_before_they_meet_a_path(avatars_dir: Path) -> None:
    with pytest.raises(BadNameError):
        service(avatars_dir / NAME).open("../toy")


@pytest.mark.skipif(cuda_device_count() > 0, reason="this machine has a CUDA device")
def test_cuda_is_not_promised_where_there_is_none(toy_avatars: Path) -> None:
    with pytest.raises(ModelRuntimeError, match="the driver reports none"):
        OnnxRuntime("cuda")
    graph = OnnxRuntime("auto").load(toy_avatars / NAME / "unet_decoder.onnx")
    assert (graph.provider, graph.batch_frames) == ("CPUExecutionProvider", 1)


@pytest.mark.gpu
@pytest.mark.skipif(cuda_device_count() == 0, reason="no CUDA device")
def test_rows_do_not_depend_on_their_batch_on_a_gpu(toy_avatars: Path, sound: tuple[np.ndarray, np.ndarray]) -> None:
    model = ModelService(toy_avatars, OnnxRuntime("cuda"), ROOM, ROOM, ROOM).open(NAME)
    assert model.provider == "CUDAExecutionProvider"
    whole = draw(model, sound, slice(0, 11))[1]
    single = np.concatenate([draw(model, sound, slice(i, i + 1))[1] for i in range(11)])
    np.testing.assert_array_equal(single, whole)


def test_the_cache_keeps_what_was_used_last() -> None:
    cache: ByteCache[str, str] = ByteCache(10)
    for key in "abc":
        cache.put(key, key.upper(), 4)
    assert [cache.get(key) for key in "abc"] == [None, "B", "C"]
    cache.get("b")
    cache.put("d", "D", 4)
    assert [cache.get(key) for key in "bcd"] == ["B", None, "D"]
    cache.put("b", "B2", 10)
    assert [cache.get(key) for key in "bd"] == ["B2", None]
    cache.put("e", "E", 99)
    assert (cache.get("e"), cache.used_bytes) == ("E", 99)


def test_it_tells_what_is_in_memory(toy_avatars: Path) -> None:
    models = build_services(Models(avatars_dir=toy_avatars, device="cpu", threads=1, runtime="onnxruntime")).models
    assert models.loaded() == []
    models.open(NAME)
    assert models.loaded() == [NAME]
