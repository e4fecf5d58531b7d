"""OpenVINO on the CPU: where the processor multiplies bfloat16, twice as fast as ONNX Runtime at an error nobody sees.

One thread per request and as many requests at a time as there are threads: concurrent sessions then share the
processor without waiting for one another at barriers. Every request has its own input and output memory.
"""

from __future__ import annotations

import functools
import queue
from collections import deque
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from services.errors import ModelRuntimeError
from services.runtime import Arrays, TensorSpec

Precision = Literal["bf16", "f32"]
_NUMPY_TYPES: Final = {"f32": np.float32, "f16": np.float16, "u8": np.uint8}


@functools.cache
def _core() -> openvino.Core:
    """The only one, for as long as the process lives.

    Its CPU plugin gives the thread that creates it a stack for signal handlers and frees that memory with itself, but
    leaves the thread pointing there (2026.4): after that, Ctrl-C would be a segmentation fault.
    """
    return openvino.Core()


class OpenVinoRuntime:
    """Loads networks for the CPU."""

    def __init__(self, precision: Precision, threads: int) -> None:
        """Remember the choices; nothing is loaded yet.

        Args:
            precision: what the kernels compute in; inputs, outputs and weights on disk stay as they are.
            threads: requests that may run at a time, each on one thread.
        """
        self.precision = precision
        self._threads = threads
        self._core = _core()

    @property
    def computes_bf16(self) -> bool:
        """Whether this processor multiplies bfloat16; elsewhere it would only be emulated."""
        return "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    def load(self, path: Path) -> OpenVinoGraph:
        """Load a network.

        Raises:
            ModelRuntimeError: OpenVINO refuses the file.
        """
        options = {
            "INFERENCE_PRECISION_HINT": self.precision,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._threads,
            "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same core
        }
        try:
            model = self._core.read_model(str(path))
            specs = tuple(tuple(_spec(port) for port in ports) for ports in (model.inputs, model.outputs))
            model.reshape({port.any_name: _one_row(port.partial_shape) for port in model.inputs})
            compiled = self._core.compile_model(model, "CPU", options)
            requests = [compiled.create_infer_request() for _ in range(self._threads)]
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise ModelRuntimeError(f"OpenVINO {openvino.__version__} cannot load {path}: {error}") from error
        return OpenVinoGraph(path, f"OpenVINO CPU {self.precision}", specs[0], specs[1], requests)


class OpenVinoGraph:
    """A compiled network; `run` may be called from several threads."""

    def __init__(
        self,
        path: Path,
        provider: str,
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        requests: list[Any],
    ) -> None:
        self.provider, self.inputs, self.outputs = provider, inputs, outputs
        self.batch_frames = len(requests)
        self._path = path
        self._idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for request in requests:
            self._idle.put(request)

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Run on rows, each by a request of its own, side by side as far as requests are free."""
        rows = len(next(iter(feeds.values())))
        results: list[list[NDArray[Any]]] = [[] for _ in range(rows)]
        running: deque[tuple[int, Any, Arrays]] = deque()
        try:
            for row in range(rows):
                request = self._free_request(running, results)
                own = {name: np.ascontiguousarray(array[row : row + 1]) for name, array in feeds.items()}
                running.append((row, request, own))  # its inputs are shared: they must live until it is done
                request.start_async(own, share_inputs=True)
            while running:
                self._finish(running, results)
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise ModelRuntimeError(f"{self._path} failed on {self.provider}: {error}") from error
        finally:
            for _, request, _ in running:
                self._idle.put(request)
        return {spec.name: _joined([row[index] for row in results]) for index, spec in enumerate(self.outputs)}

    def _free_request(self, running: deque[tuple[int, Any, Arrays]], results: list[list[NDArray[Any]]]) -> Any:
        """An idle request; while others hold them all, our own that finishes first. Waits only when it has none."""
        while True:
            try:
                return self._idle.get(block=not running)
            except queue.Empty:
                self._finish(running, results)

    def _finish(self, running: deque[tuple[int, Any, Arrays]], results: list[list[NDArray[Any]]]) -> None:
        row, request, _ = running[0]
        request.wait()
        results[row] = [np.array(request.get_output_tensor(index).data) for index in range(len(self.outputs))]
        running.popleft()
        self._idle.put(request)


def _joined(rows: list[NDArray[Any]]) -> NDArray[Any]:
    return rows[0] if len(rows) == 1 else np.concatenate(rows)


def _one_row(shape: Any) -> list[int]:
    return [1 if size.is_dynamic else size.get_length() for size in shape]


def _spec(port: Any) -> TensorSpec:
    shape = tuple(None if size.is_dynamic else size.get_length() for size in port.partial_shape)
    kind = _NUMPY_TYPES.get(port.element_type.get_type_name())
    return TensorSpec(port.any_name, None if kind is None else np.dtype(kind), shape)
