"""Runtimes agree with one another, run from several threads, and the cheapest is taken."""

from __future__ import annotations

import gc
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from services.avatars.loaded import LoadedAvatar
from services.errors import ModelRuntimeError
from services.model_service import ModelService
from services.runtimes.choice import MeasuredRuntime, choose_runtime
from services.runtimes.onnx import OnnxRuntime
from services.runtimes.openvino import OpenVinoRuntime
from services.runtimes.runtime import Arrays, Graph, TensorSpec, Trial
from tests.toy_avatar import NAME, build_toy_avatar

MIB = 1 << 20


@pytest.fixture(scope="module")
def avatars_dir(tmp_path_factory: pytest.TempPathFactory, presenter_video: Path) -> Path:
    folder = tmp_path_factory.mktemp("avatars")
    build_toy_avatar(folder / NAME, presenter_video)
    return folder


def opened(avatars_dir: Path, runtime: OnnxRuntime | OpenVinoRuntime) -> LoadedAvatar:
    return ModelService(avatars_dir, runtime, 64 * MIB, 16 * MIB, 16 * MIB).open(NAME)


def drawn(model: LoadedAvatar, frame: int) -> np.ndarray:
    pcm_BS = np.random.default_rng(frame).normal(0, 0.1, (1, 8032)).astype(np.float32)
    return model.decode(model.encode_template([frame]), model.encode_audio(pcm_BS, np.ones(1, np.float32)))


def test_openvino_draws_what_onnxruntime_draws(avatars_dir: Path) -> None:
    reference = opened(avatars_dir, OnnxRuntime("cpu", 1))
    for precision, levels in (("f32", 1), ("bf16", 12)):  # the toy's random weights exaggerate
        model = opened(avatars_dir, OpenVinoRuntime(precision, 2))
        assert model.provider == f"OpenVINO CPU {precision}"
        difference = drawn(model, 3).astype(int) - drawn(reference, 3)
        assert np.abs(difference).max() <= levels and np.abs(difference).mean() < 1


def test_requests_from_several_threads_do_not_mix(avatars_dir: Path) -> None:
    model = opened(avatars_dir, OpenVinoRuntime("f32", 2))
    alone = [drawn(model, frame) for frame in range(12)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda frame: drawn(model, frame % 12), range(48)))
    for number, picture in enumerate(together):
        np.testing.assert_array_equal(picture, alone[number % 12])


def test_rows_run_side_by_side_give_the_bits_of_rows_alone(avatars_dir: Path) -> None:
    model = opened(avatars_dir, OpenVinoRuntime("f32", 3))
    assert model.batch_frames == 3
    pcm_BS = np.random.default_rng(1).normal(0, 0.1, (7, 8032)).astype(np.float32)
    embedding_BD = model.encode_audio(pcm_BS, np.ones(7, np.float32))
    features = model.encode_template(list(range(7)))
    together = model.decode(features, embedding_BD)
    for row in range(7):
        np.testing.assert_array_equal(together[[row]], model.decode([features[row]], embedding_BD[[row]]))


def test_a_file_that_is_no_network_is_reported(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelRuntimeError, match=r"bad\.onnx"):
        OpenVinoRuntime("f32", 1).load(tmp_path / "bad.onnx")


class _Fake:
    """A runtime and its graph in one, that takes so much processor time."""

    provider, batch_frames = "fake", 1
    inputs = outputs = (TensorSpec("x", np.dtype(np.float32), (None, 4)),)

    def __init__(self, work_s: float, only: str = "") -> None:
        self.work_s, self.loaded, self._only = work_s, 0, only

    def suits(self, path: Path) -> bool:
        return self._only in path.name

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        self.loaded += 1
        return self

    def run(self, feeds: Arrays) -> dict[str, np.ndarray]:
        until = time.process_time() + self.work_s
        while time.process_time() < until:
            pass
        return {"x": feeds["x"]}


def test_the_cheapest_is_taken_and_stays() -> None:
    slow, fast = _Fake(0.004), _Fake(0.001)
    runtime = MeasuredRuntime({"slow": slow, "fast": fast})
    assert runtime.measured_ms == {}
    assert runtime.load(Path("a.onnx")) is fast
    assert runtime.load(Path("b.onnx")) is fast and (slow.loaded, fast.loaded) == (1, 2)
    assert runtime.measured_ms["slow"] > 2 * runtime.measured_ms["fast"] > 0


def test_one_that_does_not_suit_every_network_is_measured_and_used_only_where_it_does() -> None:
    slow, fast, fastest = _Fake(0.004), _Fake(0.002), _Fake(0.0005, only="good")
    runtime = MeasuredRuntime({"slow": slow, "fast": fast, "fastest": fastest})
    assert runtime.load(Path("old_decoder.onnx")) is fast and "fastest" not in runtime.measured_ms
    assert runtime.load(Path("good_decoder.onnx")) is fastest and slow.loaded == 2  # compared on the same network
    assert runtime.load(Path("encoder.onnx")) is fast
    assert runtime.load(Path("good_decoder.onnx")) is fastest and slow.loaded == 2
    assert runtime.measured_ms["fastest"] < runtime.measured_ms["fast"] < runtime.measured_ms["slow"]


def test_ctrl_c_is_survived_when_openvino_was_dropped(avatars_dir: Path) -> None:
    OpenVinoRuntime("f32", 1).load(avatars_dir / NAME / "unet_decoder.onnx")
    gc.collect()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_a_name_is_a_wish_that_is_granted() -> None:
    assert isinstance(choose_runtime("onnxruntime", "cpu"), OnnxRuntime)
    chosen = choose_runtime("openvino-f32", "cpu")
    assert isinstance(chosen, OpenVinoRuntime) and chosen.precision == "f32"
    assert isinstance(choose_runtime("auto", "cpu"), MeasuredRuntime)
