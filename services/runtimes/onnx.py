"""ONNX Runtime, on CUDA where there is a device, else on the CPU."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from services.errors import ModelRuntimeError
from services.runtimes.names import Device
from services.runtimes.runtime import Arrays, Graph, TensorSpec, Trial, padded
from services.runtimes.shared_batches import SharedBatches

logger = logging.getLogger(__name__)

ONNXRUNTIME_VERSION: Final = str(onnxruntime.__version__)
_CPU_BATCH: Final = 1
CUDA_BATCH: Final = 4
# HEURISTIC: the kernel depends on the shape alone, not on a race between kernels at start-up.
CUDA_OPTIONS: Final = {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"}
_NUMPY_TYPES: Final[dict[str, type]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
}


def cuda_device_count() -> int:
    """CUDA devices that the driver reports; 0 without a driver. (ONNX Runtime lists CUDA on any machine.)"""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


class OnnxRuntime:
    """ONNX Runtime on CUDA where there is a device, else on the CPU."""

    def __init__(self, device: Device = "auto", threads: int = 0) -> None:
        """Choose the device.

        Args:
            device: "auto" takes CUDA where the driver reports a device.
            threads: CPU threads per network; 0 = one per core.
        Raises:
            ModelRuntimeError: "cuda" was asked for and there is no device.
        """
        devices = 0 if device == "cpu" else cuda_device_count()
        if device == "cuda" and devices == 0:
            raise ModelRuntimeError("device cuda was asked for, but the driver reports none; use cpu or auto")
        self._threads = threads
        self._providers: list[str | tuple[str, dict[str, str]]] = ["CPUExecutionProvider"]
        if devices:
            onnxruntime.preload_dlls()
            self._providers.insert(0, ("CUDAExecutionProvider", CUDA_OPTIONS))

    def suits(self, path: Path) -> bool:
        """Every network: nothing is rounded."""
        return True

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        """Load a network; on CUDA concurrent callers share its batches.

        Raises:
            ModelRuntimeError: ONNX Runtime refuses the file.
        """
        options = session_options(self._threads)
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=self._providers)
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise ModelRuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot load {path}: {error}") from error
        graph = OnnxGraph(session, path)
        if len(self._providers) > 1 and graph.provider == "CPUExecutionProvider":
            logger.warning("%s runs on the CPU although there is a CUDA device", path.name)
        return SharedBatches(graph) if graph.batch_frames > 1 else graph


class OnnxGraph:
    """A network in an ONNX Runtime session."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path) -> None:
        self._session = session
        self._path = path
        self.provider: str = session.get_providers()[0]
        self.batch_frames = CUDA_BATCH if self.provider == "CUDAExecutionProvider" else _CPU_BATCH
        self.inputs = tuple(_spec(value) for value in session.get_inputs())
        self.outputs = tuple(_spec(value) for value in session.get_outputs())
        self._output_names = [spec.name for spec in self.outputs]

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        rows = len(next(iter(feeds.values())))
        assert 1 <= rows <= self.batch_frames, (rows, self.batch_frames)
        try:
            results = self._session.run(self._output_names, dict(padded(feeds, self.batch_frames)))
        except Exception as error:  # ONNX Runtime's errors have no base class of their own
            raise ModelRuntimeError(f"{self._path} failed on {self.provider}: {error}") from error
        return {name: result[:rows] for name, result in zip(self._output_names, results, strict=True)}


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of every session; 0 threads = one per core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that wait must sleep: with busy neighbours, spinning ones took 180 ms of CPU time per frame, not 62.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    kind = _NUMPY_TYPES.get(value.type)
    return TensorSpec(value.name, None if kind is None else np.dtype(kind), shape)
