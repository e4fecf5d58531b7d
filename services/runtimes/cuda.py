"""ONNX Runtime on an NVIDIA GPU in half precision: as a CUDA graph, or compiled by TensorRT.

    rows of concurrent callers -> SharedBatches -> one thread -> buffers at fixed addresses -> network -> copies

This has never run on a GPU. The same code was tested on ONNX Runtime's CPU provider, so "auto" does not choose it.

Batches have a fixed size (services/runtimes/runtime.py): the batch axis is made static, inputs and outputs are bound
once, and a run copies rows in and results out. That is what a CUDA graph needs, which replays all kernels with one
call.
ONNX Runtime keeps a captured graph per thread, so every network has a thread of its own.

The U-Net computes in float16, the audio encoder in float32: powers of a spectrogram do not fit into float16, and it is
a hundredth of the work. For CUDA the network is converted here. TensorRT rounds by itself: it may then fuse layers
freely and choose float32 where that is faster. It runs without a CUDA graph: the decoder ends with bytes being moved,
which ONNX Runtime gives to CUDA, and it only captures what TensorRT runs as a whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from recipe.avatar_format import AUDIO_ENCODER_FILE
from recipe.places import at_home
from services.errors import ModelRuntimeError
from services.runtimes.onnx import CUDA_BATCH, CUDA_OPTIONS, cuda_device_count, session_options
from services.runtimes.runtime import Arrays, Graph, TensorSpec, Trial, padded
from services.runtimes.shared_batches import SharedBatches

logger = logging.getLogger(__name__)

Providers = list[tuple[str, dict[str, str]]]

_CPU: Final[tuple[str, dict[str, str]]] = ("CPUExecutionProvider", {})
_TENSORRT_CACHE: Final = at_home("cache/tensorrt")
_ENGINES_BYTES: Final = 8 << 30  # what TensorRT compiled, for all avatars; `python -m services.models` lists it


class CudaRuntime:
    """Loads networks for a GPU; refuses what it cannot run there instead of running it elsewhere."""

    def __init__(
        self, tensorrt: bool = False, device: Literal["cuda", "cpu"] = "cuda", cache_dir: Path = _TENSORRT_CACHE
    ) -> None:
        """Remember the choices; nothing is loaded yet.

        Args:
            tensorrt: compile with TensorRT (minutes at the first load of a network) instead of running a CUDA graph.
            device: "cpu" runs the same code on ONNX Runtime's CPU provider, slowly: for tests without a GPU.
            cache_dir: where TensorRT keeps what it compiled.
        Raises:
            ModelRuntimeError: there is no CUDA device.
        """
        assert not (tensorrt and device == "cpu")
        self._tensorrt, self._device, self._cache_dir = tensorrt, device, cache_dir
        if device == "cuda":
            if cuda_device_count() == 0:
                name = "tensorrt" if tensorrt else "cuda-fp16"
                raise ModelRuntimeError(
                    f"runtime {name} was asked for, but the driver reports no CUDA device; use the runtime auto"
                )
            onnxruntime.preload_dlls()

    def suits(self, path: Path) -> bool:
        """Every network: whoever wants half precision names this runtime."""
        return True

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        """Load a network and run it once, which captures its CUDA graph; concurrent callers share its batches.

        Raises:
            ModelRuntimeError: the file is damaged, or ONNX Runtime cannot run all of it as asked.
        """
        import onnx  # here, because serving elsewhere does not need it

        half = path.name != AUDIO_ENCODER_FILE
        try:
            content = path.read_bytes()
            model = onnx.load_from_string(content)
            inputs, outputs = ([_spec(value) for value in values] for values in (model.graph.input, model.graph.output))
            _fix_batch(model)
            if half and not self._tensorrt:
                model = _in_half_precision(model)
            providers = self._providers(half, content)
            session = open_session(model.SerializeToString(), providers)
            graph = BoundGraph(session, path, self._device, "float16" if half else "float32", inputs, outputs)
        except Exception as error:  # protobuf's, the converter's and ONNX Runtime's errors have no common base class
            raise ModelRuntimeError(
                f"ONNX Runtime {onnxruntime.__version__} cannot prepare {path} for a GPU: {error}; "
                "use the runtime onnxruntime"
            ) from error
        return SharedBatches(graph)

    def _providers(self, half: bool, content: bytes) -> Providers:
        """The wanted provider first, then those that may take over single operators."""
        if self._device == "cpu":
            return [_CPU]
        cuda = ("CUDAExecutionProvider", CUDA_OPTIONS)
        if self._tensorrt and half:
            return [("TensorrtExecutionProvider", tensorrt_options(self._cache_dir, content)), cuda, _CPU]
        return [(cuda[0], {**CUDA_OPTIONS, "enable_cuda_graph": "1"}), _CPU]


def tensorrt_options(cache_dir: Path, content: bytes) -> dict[str, str]:
    """Options of the TensorRT provider for one network, and the folder for what it compiles.

    The folder is the network's own: the provider names its files by the graph's form, not its weights, so avatars that
    shared one would draw one another's faces (https://github.com/microsoft/onnxruntime/issues/6455).
    """
    folder = cache_dir / f"{onnxruntime.__version__}-{hashlib.sha256(content).hexdigest()[:16]}"
    folder.mkdir(parents=True, exist_ok=True)
    os.utime(folder)
    make_room(cache_dir, _ENGINES_BYTES)
    return {"trt_fp16_enable": "1", "trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder)}


def make_room(cache_dir: Path, most_bytes: int) -> None:
    """Remove compiled networks, the ones not used for longest first, until the others fit; the last used one stays."""
    folders = sorted(cache_dir.iterdir(), key=lambda folder: folder.stat().st_mtime, reverse=True)
    used_bytes = 0
    for number, folder in enumerate(folders):
        used_bytes += sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if number and used_bytes > most_bytes:
            try:
                shutil.rmtree(folder)
            except OSError as error:
                logger.warning("%s cannot be removed (%s): compiled networks take more than allowed", folder, error)
            else:
                logger.info("%s removed: compiled networks may take %d GiB", folder, most_bytes >> 30)


def open_session(model: bytes, providers: Providers) -> onnxruntime.InferenceSession:
    """A session on the first of the providers.

    Raises:
        RuntimeError: that provider is not there; ONNX Runtime alone would take the next and go on.
    """
    session = onnxruntime.InferenceSession(model, session_options(1), providers=providers, enable_fallback=0)
    wanted, got = providers[0][0], session.get_providers()[0]
    if got != wanted:
        raise RuntimeError(f"{wanted} could not be set up, {got} would run it; are its libraries installed?")
    return session


class BoundGraph:
    """A network whose inputs and outputs have fixed addresses; only one thread may call `run` at a time."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        path: Path,
        device: Literal["cuda", "cpu"],
        precision: str,
        inputs: Sequence[TensorSpec],
        outputs: Sequence[TensorSpec],
    ) -> None:
        """Allocate the buffers and run once.

        Args:
            session: of the network with a static batch of CUDA_BATCH.
            device: where the buffers are.
            path, precision: of the network, for messages and `provider`.
            inputs: as the file has them, with an open batch; outputs likewise.
        Raises:
            ModelRuntimeError: the first run failed; on a GPU it captures the CUDA graph.
        """
        self.provider = f"{session.get_providers()[0]} {precision}"
        self.batch_frames = CUDA_BATCH
        self.inputs, self.outputs = tuple(inputs), tuple(outputs)
        self._session, self._path = session, path
        zeros = {spec.name: np.zeros((CUDA_BATCH, *_row(spec)), spec.dtype) for spec in (*inputs, *outputs)}
        self._buffers = {name: onnxruntime.OrtValue.ortvalue_from_numpy(zeros[name], device, 0) for name in zeros}
        self._binding = session.io_binding()
        for spec in inputs:
            self._binding.bind_ortvalue_input(spec.name, self._buffers[spec.name])
        for spec in outputs:
            self._binding.bind_ortvalue_output(spec.name, self._buffers[spec.name])
        self._thread = ThreadPoolExecutor(1, "graph")  # ends with this object
        self.run({spec.name: zeros[spec.name] for spec in inputs})

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(feeds.values())))
        assert 1 <= rows <= self.batch_frames, (rows, self.batch_frames)
        for spec in self.inputs:  # ONNX Runtime would copy another type's bytes without a word
            array = feeds[spec.name]
            assert array.dtype == spec.dtype and array.shape == (rows, *_row(spec)), (spec, array.dtype, array.shape)
        try:
            return self._thread.submit(self._run, padded(feeds, self.batch_frames), rows).result()
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise ModelRuntimeError(f"{self._path} failed on {self.provider}: {error}") from error

    def _run(self, feeds: Arrays, rows: int) -> dict[str, NDArray[Any]]:
        for spec in self.inputs:
            self._buffers[spec.name].update_inplace(feeds[spec.name])
        self._binding.synchronize_inputs()
        self._session.run_with_iobinding(self._binding)
        self._binding.synchronize_outputs()
        # Copied: on the CPU .numpy() is the buffer itself, which the next run overwrites.
        return {spec.name: self._buffers[spec.name].numpy()[:rows].copy() for spec in self.outputs}


def _row(spec: TensorSpec) -> list[int]:
    """The shape of a tensor without its batch."""
    sizes = [size for size in spec.shape[1:] if size is not None]
    if len(sizes) != len(spec.shape) - 1:
        raise ValueError(f"{spec.name} is {spec.shape}: only the batch may be open")
    return sizes


def _spec(value: Any) -> TensorSpec:
    import onnx

    kind = value.type.tensor_type
    shape = tuple(size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim)
    return TensorSpec(value.name, np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape)


def _fix_batch(model: Any) -> None:
    """Give every input and output CUDA_BATCH rows; ONNX Runtime then needs no shapes at run time."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = CUDA_BATCH
    del model.graph.value_info[:]  # they say that it is open


def _in_half_precision(model: Any) -> Any:
    """Compute in float16; inputs and outputs keep their types."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    _fold_constants(model)
    return convert_float_to_float16(model, keep_io_types=True)


def _fold_constants(model: Any) -> None:
    """Compute in float32 what depends on no input, such as weights from int8 and scale, so that it is rounded once.

    A scale may be so small that float16 holds few of its digits.
    """
    import onnx

    known = {weight.name for weight in model.graph.initializer}
    constant, rest = [], []
    for node in model.graph.node:
        if all(name in known for name in node.input if name):
            known.update(node.output)
            constant.append(node)
        else:
            rest.append(node)
    wanted = sorted({name for one in constant for name in one.output} & {name for one in rest for name in one.input})
    if not wanted:
        return
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in wanted]
    graph = onnx.helper.make_graph(constant, "constants", [], outputs, initializer=model.graph.initializer)
    part = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    values = open_session(part.SerializeToString(), [_CPU]).run(wanted, {})
    model.graph.initializer.extend(map(onnx.numpy_helper.from_array, values, wanted))
    del model.graph.node[:]
    model.graph.node.extend(rest)
