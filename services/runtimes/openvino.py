"""OpenVINO on the CPU: where the processor multiplies bfloat16, twice as fast as ONNX Runtime at an error nobody sees.

One thread per request and as many requests at a time as there are threads: concurrent sessions then share the
processor without waiting for one another at barriers. Every request has its own input and output memory.
"""

from __future__ import annotations

import functools
import logging
import queue
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import openvino
from numpy.typing import NDArray

from recipe.avatar_format import PCM
from recipe.int8_calibration import LEAST_MOUTH_PSNR_DB, read_calibration
from services.errors import ModelRuntimeError
from services.runtimes.int8 import round_inputs
from services.runtimes.runtime import Arrays, TensorSpec, Trial

logger = logging.getLogger(__name__)

Precision = Literal["int8", "bf16", "f32"]
OPENVINO_VERSION: Final = str(openvino.__version__)
# A log-mel spectrogram in bfloat16 is another sound: an embedding was off by 15 % in the median and by 57 % in one of
# twenty frames, of what embeddings differ by. It costs 0.7 ms of a core per frame.
_OF_SOUND: Final[Precision] = "f32"
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
            precision: what the kernels compute in; inputs, outputs and weights on disk stay as they are. "int8" is
                for the convolutions of a calibrated graph; other graphs are then bf16 where the processor has it.
                Networks that hear sound always compute in float32.
            threads: requests that may run at a time, each on one thread.
        """
        self.precision = precision
        self._threads = threads
        self._core = _core()

    @property
    def computes_bf16(self) -> bool:
        """Whether this processor multiplies bfloat16; elsewhere it would only be emulated."""
        return "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")

    @property
    def _next_best(self) -> Precision:
        return "bf16" if self.computes_bf16 else "f32"

    def suits(self, path: Path) -> bool:
        """Whether a network may be computed in this precision: int8 was measured for it and is good enough.

        Raises:
            ModelRuntimeError: the calibration beside the network is damaged.
        """
        if self.precision != "int8":
            return True
        calibration = read_calibration(path)
        return calibration is not None and calibration.good_enough

    def load(self, path: Path, trial: Trial | None = None) -> OpenVinoGraph:
        """Load a network; one without a calibration computes in the next best precision when int8 is wanted.

        Raises:
            ModelRuntimeError: OpenVINO refuses the file, or int8 is wanted and packaging found it too bad.
        """
        calibration = read_calibration(path) if self.precision == "int8" else None
        if calibration is None:
            if self.precision == "int8":
                logger.info("%s has no int8 calibration: it computes in %s", path, self._next_best)
            return self.compile(path)
        if not calibration.good_enough:
            raise ModelRuntimeError(
                f"{path} in int8 draws mouths of {calibration.mouth_psnr_db:.1f} dB against float32, at least "
                f"{LEAST_MOUTH_PSNR_DB:.0f} are needed: use the runtime auto or openvino-bf16"
            )
        return self.compile(path, calibration.bounds)

    def compile(self, path: Path, bounds: Mapping[str, float] | None = None) -> OpenVinoGraph:
        """Load a network, with its convolutions in int8 if the bounds of their inputs are given.

        Args:
            path: of the network.
            bounds: see services.runtimes.int8; only where the precision is int8.
        Raises:
            ModelRuntimeError: OpenVINO refuses the file, or the bounds are another network's.
        """
        assert bounds is None or self.precision == "int8", self.precision
        precision: Precision = self.precision if self.precision != "int8" or bounds is not None else self._next_best
        options: dict[str, Any] = {
            # Between int8 convolutions bf16 only adds conversions: 8.0 ms per frame, not 7.4.
            "INFERENCE_PRECISION_HINT": "f32" if precision == "int8" else precision,
            # Else it rounds the inputs of linear layers to int8 where their weights are stored so: another sound by
            # up to 1 %, and on processors that it takes for AVX2 without VNNI an empty answer (2026.4).
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0,
            "INFERENCE_NUM_THREADS": self._threads,
            "NUM_STREAMS": self._threads,
            "ENABLE_CPU_PINNING": False,  # two processes would be pinned to the same core
        }
        try:
            model = self._core.read_model(str(path))
            specs = tuple(tuple(_spec(port) for port in ports) for ports in (model.inputs, model.outputs))
            if any(spec.name == PCM for spec in specs[0]):
                options["INFERENCE_PRECISION_HINT"] = precision = _OF_SOUND
            if bounds is not None:
                round_inputs(model, bounds)
            model.reshape({port.any_name: _one_row(port.partial_shape) for port in model.inputs})
            compiled = self._core.compile_model(model, "CPU", options)
            requests = [compiled.create_infer_request() for _ in range(self._threads)]
        except Exception as error:  # OpenVINO raises RuntimeError for everything
            raise ModelRuntimeError(f"OpenVINO {openvino.__version__} cannot load {path}: {error}") from error
        return OpenVinoGraph(path, f"OpenVINO CPU {precision}", specs[0], specs[1], requests)


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
