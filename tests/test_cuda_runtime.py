"""Half precision with bound buffers, on the CPU provider: near float32, rows apart, refused without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.material import runtimes_here
from services.avatars.loaded import LoadedAvatar
from services.errors import ModelRuntimeError
from services.model_service import ModelService
from services.runtimes.choice import GPU_RUNTIMES, MeasuredRuntime, choose_runtime
from services.runtimes.cuda import BoundGraph, CudaRuntime, make_room, open_session, tensorrt_options
from services.runtimes.names import RuntimeName
from services.runtimes.onnx import CUDA_BATCH, CUDA_OPTIONS, OnnxRuntime, cuda_device_count
from services.runtimes.runtime import Graph, Runtime
from services.runtimes.shared_batches import SharedBatches
from tests.conftest import REPOSITORY
from tests.toy_avatar import NAME, toy_avatars, write_audio_encoder  # noqa: F401

# ruff: noqa: F811

MIB = 1 << 20
ROWS = 10
WITHOUT_GPU = pytest.mark.skipif(cuda_device_count() > 0, reason="this machine has a CUDA device")


def opened(avatars_dir: Path, runtime: Runtime) -> LoadedAvatar:
    return ModelService(avatars_dir, runtime, 64 * MIB, 1, 16 * MIB).open(NAME)  # hardly any features are remembered


@pytest.fixture(scope="module")
def half(toy_avatars: Path) -> LoadedAvatar:
    return opened(toy_avatars, CudaRuntime(device="cpu"))


@pytest.fixture(scope="module")
def float32(toy_avatars: Path) -> LoadedAvatar:
    return opened(toy_avatars, OnnxRuntime("cpu", 1))


def bound(path: Path) -> BoundGraph:
    """The graph behind the line of callers."""
    shared = CudaRuntime(device="cpu").load(path)
    assert isinstance(shared, SharedBatches) and isinstance(shared._graph, BoundGraph)
    return shared._graph


def feeds_for(graph: Graph, rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs; those of the decoder are as large as features are."""
    random, feeds = np.random.default_rng(seed), {}
    for spec in graph.inputs:
        shape = (rows, *[size or 1 for size in spec.shape[1:]])
        values = random.integers(0, 256, shape) if spec.dtype == np.uint8 else random.normal(0, 1, shape)
        feeds[spec.name] = values.astype(spec.dtype)
    return feeds


def sound() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return random.normal(0, 0.1, (ROWS, 8032)).astype(np.float32), random.uniform(0, 1, ROWS).astype(np.float32)


def test_pictures_are_near_those_of_float32(half: LoadedAvatar, float32: LoadedAvatar) -> None:
    assert (half.provider, half.batch_frames) == ("CPUExecutionProvider float16", CUDA_BATCH)
    embedding_BD = [model.encode_audio(*sound()) for model in (half, float32)]
    np.testing.assert_array_equal(*embedding_BD)  # its network stays float32
    pictures = [model.decode(model.encode_template(range(ROWS)), embedding_BD[0]) for model in (half, float32)]
    difference = np.abs(pictures[0].astype(int) - pictures[1])
    assert len(np.unique(pictures[1])) > 200  # there is something to differ in
    assert difference.max() <= 2 and difference.mean() < 0.2
    assert difference.max() > 0  # it was computed in another precision


def test_a_trained_avatar_draws_the_same_in_half_precision() -> None:
    """As exported by torch, with weights stored as int8."""
    runtimes: tuple[Runtime, ...] = (CudaRuntime(device="cpu"), OnnxRuntime("cpu", 1))
    models = [
        ModelService(REPOSITORY / "avatars", runtime, MIB, 1, 256 * MIB).open("demo-unet") for runtime in runtimes
    ]
    embedding_BD = [model.encode_audio(*sound())[:3] for model in models]
    np.testing.assert_array_equal(*embedding_BD)
    pictures = [model.decode(model.encode_template([0, 70, 140]), embedding_BD[0]) for model in models]
    difference = np.abs(pictures[0].astype(int) - pictures[1])
    assert difference.max() <= 1 and 0 < difference.mean() < 0.1


@pytest.mark.parametrize("name", ["unet_encoder.onnx", "unet_decoder.onnx", "audio_encoder.onnx"])
def test_inputs_and_outputs_are_those_of_the_file(toy_avatars: Path, name: str) -> None:
    graph = CudaRuntime(device="cpu").load(toy_avatars / NAME / name)
    reference = OnnxRuntime("cpu", 1).load(toy_avatars / NAME / name)
    assert (graph.inputs, graph.outputs) == (reference.inputs, reference.outputs)
    results = graph.run(feeds_for(graph, 2))
    for spec in reference.outputs:
        assert results[spec.name].dtype == spec.dtype
        np.testing.assert_array_equal(results[spec.name].shape, [2, *spec.shape[1:]])


def test_weights_stored_as_int8_are_rounded_once(tmp_path: Path) -> None:
    """Their scale is kept exact: this one would be 1.3 % off in float16, which has few digits left for it."""
    levels, scale = np.arange(64, 128, dtype=np.int8).reshape(8, 8), np.full((1, 8), 2e-6, np.float32)
    nodes = [
        onnx.helper.make_node("Cast", ["levels"], ["float"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("Mul", ["float", "scale"], ["weight"]),
        onnx.helper.make_node("MatMul", ["x", "weight"], ["y"]),
    ]
    ends = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["B", 8]) for name in "xy"]
    weights = [onnx.numpy_helper.from_array(levels, "levels"), onnx.numpy_helper.from_array(scale, "scale")]
    graph = onnx.helper.make_graph(nodes, "net", ends[:1], ends[1:], initializer=weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "net.onnx")
    x = 1000 * np.eye(8, dtype=np.float32)[:CUDA_BATCH]
    y = bound(tmp_path / "net.onnx").run({"x": x})["y"]
    np.testing.assert_allclose(y, x @ (levels * scale), rtol=1e-3)
    assert not np.array_equal(y, x @ (levels * scale))  # in half precision after all


@pytest.mark.parametrize("name", ["unet_encoder.onnx", "unet_decoder.onnx"])
def test_results_survive_the_next_run(toy_avatars: Path, name: str) -> None:
    graph = bound(toy_avatars / NAME / name)
    for rows in (CUDA_BATCH, 1):
        first = graph.run(feeds_for(graph, rows, seed=1))
        kept = {name: array.copy() for name, array in first.items()}
        second = graph.run(feeds_for(graph, rows, seed=2))
        for output, array in kept.items():
            np.testing.assert_array_equal(first[output], array)
            assert (second[output] != array).any()


@pytest.mark.parametrize("name", ["unet_encoder.onnx", "unet_decoder.onnx", "audio_encoder.onnx"])
def test_a_row_has_the_same_bits_among_any_neighbours(toy_avatars: Path, name: str) -> None:
    graph = bound(toy_avatars / NAME / name)
    feeds = feeds_for(graph, CUDA_BATCH)
    whole = graph.run(feeds)
    for rows in range(1, CUDA_BATCH + 1):
        for first in range(CUDA_BATCH - rows + 1):  # at every place, beside others and beside padding
            picked = slice(first, first + rows)
            for output, array in graph.run({key: values[picked] for key, values in feeds.items()}).items():
                np.testing.assert_array_equal(array, whole[output][picked])


def test_inputs_may_lie_anyhow_in_memory_but_not_be_of_another_form(toy_avatars: Path) -> None:
    graph = bound(toy_avatars / NAME / "audio_encoder.onnx")
    feeds = feeds_for(graph, CUDA_BATCH)
    strided = {**feeds, "pcm_BS": np.asfortranarray(feeds["pcm_BS"])}
    np.testing.assert_array_equal(graph.run(strided)["embedding_BD"], graph.run(feeds)["embedding_BD"])
    for wrong in (feeds["pcm_BS"].astype(np.float64), feeds["pcm_BS"][:, :-1], feeds["pcm_BS"][:2]):
        with pytest.raises(AssertionError):
            graph.run({**feeds, "pcm_BS": wrong})


@pytest.mark.parametrize("name", ["unet_encoder.onnx", "unet_decoder.onnx", "audio_encoder.onnx"])
def test_the_network_has_no_open_size(toy_avatars: Path, name: str) -> None:
    """So that no shape has to be computed when it runs, which CUDA graphs and TensorRT would not like."""
    session = bound(toy_avatars / NAME / name)._session
    for value in (*session.get_inputs(), *session.get_outputs()):
        assert value.shape[0] == CUDA_BATCH and all(isinstance(size, int) for size in value.shape)


def test_threads_do_not_mix(half: LoadedAvatar) -> None:
    embedding_BD = half.encode_audio(*sound())

    def drawn(number: int) -> np.ndarray:
        row = number % ROWS
        return half.decode(half.encode_template([row]), embedding_BD[[row]])

    alone = [drawn(number) for number in range(ROWS)]
    assert len({picture.tobytes() for picture in alone}) == ROWS
    with ThreadPoolExecutor(4) as pool:
        for number, picture in enumerate(pool.map(drawn, range(4 * ROWS))):
            np.testing.assert_array_equal(picture, alone[number % ROWS])


def test_one_thread_runs_a_graph_whoever_calls(toy_avatars: Path) -> None:
    """A captured CUDA graph belongs to the thread that captured it."""
    graph = bound(toy_avatars / NAME / "audio_encoder.onnx")
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda seed: graph.run(feeds_for(graph, 1, seed)), range(9)))
    assert len(graph._thread._threads) == 1


def test_converting_loads_no_torch(toy_avatars: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from services.runtimes.cuda import CudaRuntime
assert "onnx" not in sys.modules
CudaRuntime(device="cpu").load(Path({str(toy_avatars / NAME / "unet_decoder.onnx")!r}))
print(sorted({{"onnx", "torch", "transformers", "scipy"}} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, "['onnx']"), ran.stderr


def test_a_damaged_file_is_reported(toy_avatars: Path, tmp_path: Path) -> None:
    content = (toy_avatars / NAME / "unet_decoder.onnx").read_bytes()
    for damaged in (b"nothing", content[: len(content) // 2], b""):
        (tmp_path / "bad.onnx").write_bytes(damaged)
        with pytest.raises(ModelRuntimeError, match=r"(?s)bad\.onnx.*use the runtime onnxruntime"):
            CudaRuntime(device="cpu").load(tmp_path / "bad.onnx")
    with pytest.raises(ModelRuntimeError, match=r"none\.onnx"):
        CudaRuntime(device="cpu").load(tmp_path / "none.onnx")


def test_a_size_besides_the_batch_must_not_be_open(toy_avatars: Path, tmp_path: Path) -> None:
    model = onnx.load(toy_avatars / NAME / "unet_encoder.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "H"
    onnx.save(model, tmp_path / "open.onnx")
    with pytest.raises(ModelRuntimeError, match=r"target_BHWC is \(None, None, 320, 3\): only the batch may be open"):
        CudaRuntime(device="cpu").load(tmp_path / "open.onnx")


def test_avatars_do_not_share_what_tensorrt_compiled(toy_avatars: Path, tmp_path: Path) -> None:
    """It tells networks of one form but other weights not apart."""
    names = ("unet_encoder.onnx", "unet_decoder.onnx", "unet_encoder.onnx")
    options = [tensorrt_options(tmp_path / "cache", (toy_avatars / NAME / name).read_bytes()) for name in names]
    folders = [Path(option["trt_engine_cache_path"]) for option in options]
    assert folders[0] == folders[2] != folders[1] and all(folder.parent == tmp_path / "cache" for folder in folders)
    assert all(folder.is_dir() for folder in folders) and options[0]["trt_fp16_enable"] == "1"


@pytest.mark.parametrize("name", ["cuda-fp16", "tensorrt"])
@WITHOUT_GPU
def test_without_a_gpu_it_is_refused(name: RuntimeName) -> None:
    for device in ("auto", "cuda"):
        with pytest.raises(ModelRuntimeError, match=f"runtime {name}.*the driver reports no.*; use the runtime auto"):
            choose_runtime(name, device)
    assert name not in runtimes_here()


@pytest.mark.parametrize("name", sorted(GPU_RUNTIMES))
def test_a_runtime_for_gpus_is_not_for_device_cpu(name: RuntimeName) -> None:
    with pytest.raises(ModelRuntimeError, match=f"runtime {name} needs a GPU, but device is cpu"):
        choose_runtime(name, "cpu")


def test_auto_does_not_choose_it() -> None:
    """Until it has been measured on a GPU."""
    assert not isinstance(choose_runtime("auto", "auto"), CudaRuntime)
    chosen = choose_runtime("auto", "cpu")
    assert isinstance(chosen, MeasuredRuntime)
    assert not any(isinstance(candidate, CudaRuntime) for candidate in chosen._candidates.values())


@WITHOUT_GPU
def test_a_provider_that_is_not_there_is_no_reason_to_take_another(tmp_path: Path) -> None:
    write_audio_encoder(tmp_path / "net.onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    cpu: tuple[str, dict[str, str]] = ("CPUExecutionProvider", {})
    assert open_session(content, [cpu]).get_providers() == ["CPUExecutionProvider"]
    with pytest.raises(RuntimeError, match="CUDAExecutionProvider could not be set up"):
        open_session(content, [("CUDAExecutionProvider", CUDA_OPTIONS), cpu])
    with pytest.raises(RuntimeError, match="TensorRT"):
        open_session(content, [("TensorrtExecutionProvider", {"trt_fp16_enable": "1"}), cpu])


@pytest.fixture(params=["cuda-fp16", "tensorrt"])
def on_gpu(request: pytest.FixtureRequest, toy_avatars: Path, tmp_path: Path) -> LoadedAvatar:
    tensorrt = request.param == "tensorrt"
    try:
        return opened(toy_avatars, CudaRuntime(tensorrt, cache_dir=tmp_path))
    except ModelRuntimeError as error:
        if tensorrt and "install TensorRT libraries" in str(error):
            pytest.skip("TensorRT's libraries are not installed")
        raise


@pytest.mark.gpu
@pytest.mark.skipif(cuda_device_count() == 0, reason="no CUDA device")
def test_on_a_gpu_it_draws_what_float32_draws_there(on_gpu: LoadedAvatar, toy_avatars: Path) -> None:
    reference = opened(toy_avatars, OnnxRuntime("cuda"))
    assert on_gpu.provider in {"CUDAExecutionProvider float16", "TensorrtExecutionProvider float16"}
    embedding_BD = [model.encode_audio(*sound()) for model in (on_gpu, reference)]
    np.testing.assert_allclose(*embedding_BD, atol=1e-5)
    for _ in range(3):  # the second replays the captured graph
        drawn = [model.decode(model.encode_template(range(ROWS)), embedding_BD[1]) for model in (on_gpu, reference)]
        difference = np.abs(drawn[0].astype(int) - drawn[1])
        assert difference.max() <= 12 and difference.mean() < 1  # the toy's random weights exaggerate
    with ThreadPoolExecutor(4) as pool:
        rows = pool.map(lambda row: on_gpu.decode(on_gpu.encode_template([row]), embedding_BD[1][[row]]), range(ROWS))
        np.testing.assert_array_equal(np.concatenate(list(rows)), drawn[0])


def test_compiled_networks_take_no_more_than_their_room(tmp_path: Path) -> None:
    for age, name in enumerate(["new", "middle", "old", "oldest"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "graph.engine").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    make_room(tmp_path, 250)
    assert {folder.name for folder in tmp_path.iterdir()} == {"new", "middle"}
    make_room(tmp_path, 10)
    assert {folder.name for folder in tmp_path.iterdir()} == {"new"}  # the last used one stays
