"""Which runtime draws on this machine: CUDA where there is a device, else the one that a self-test finds cheapest.

The self-test runs the first network that is loaded, an avatar's decoder, on every candidate for a quarter of a second
and compares processor time, not the clock: on a busy server that is what limits the number of sessions. int8 takes part
only with networks that packaging found good enough in it; the others get the best of the rest.

On a GPU it is ONNX Runtime in float32. Half precision there has not been measured on a GPU: it has to be asked for.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from services.errors import ModelRuntimeError
from services.runtimes.names import Device, RuntimeName
from services.runtimes.onnx import OnnxRuntime, cuda_device_count
from services.runtimes.runtime import Graph, Runtime

logger = logging.getLogger(__name__)

GPU_RUNTIMES: Final[frozenset[RuntimeName]] = frozenset({"cuda-fp16", "tensorrt"})

_WARM_UP_RUNS: Final = 3
_LONGEST_TEST_S: Final = 0.25


class MeasuredRuntime:
    """Measures the candidates on the first network that they suit, and loads every other one with the cheapest."""

    def __init__(self, candidates: Mapping[str, Runtime]) -> None:
        """Remember the candidates.

        Args:
            candidates: by name; every network suits at least one of them.
        """
        self._candidates = candidates
        self._deciding = threading.Lock()
        self.measured_ms: dict[str, float] = {}  # processor time per run, by candidate; filled by the first load

    def suits(self, path: Path) -> bool:
        """Every network: see `__init__`."""
        return True

    def load(self, path: Path) -> Graph:
        """Load a network.

        Raises:
            ModelRuntimeError: see the candidates.
        """
        with self._deciding:
            suited = {name: runtime for name, runtime in self._candidates.items() if runtime.suits(path)}
            if suited.keys() - self.measured_ms.keys():
                return self._decide(path, suited)
            best = min(suited, key=self.measured_ms.__getitem__)
        return suited[best].load(path)

    def _decide(self, path: Path, suited: Mapping[str, Runtime]) -> Graph:
        """Measure all that suit a network side by side, also those that were measured on another one before."""
        graphs = {name: runtime.load(path) for name, runtime in suited.items()}
        self.measured_ms.update({name: round(processor_ms(graph), 2) for name, graph in graphs.items()})
        best = min(suited, key=self.measured_ms.__getitem__)
        measured = ", ".join(f"{name} {self.measured_ms[name]:.1f} ms" for name in suited)
        logger.info("runtime %s is used (processor time for %s: %s)", best, path.name, measured)
        return graphs[best]


def processor_ms(graph: Graph) -> float:
    """Processor time of one run of one row: the least of some."""
    feeds = {spec.name: np.zeros([size or 1 for size in spec.shape], spec.dtype) for spec in graph.inputs}
    for _ in range(_WARM_UP_RUNS):
        graph.run(feeds)
    least, until = float("inf"), time.perf_counter() + _LONGEST_TEST_S
    while time.perf_counter() < until:
        started = time.process_time()
        graph.run(feeds)
        least = min(least, time.process_time() - started)
    return 1000 * least


def ears_runtime(threads: int = 0) -> Runtime:
    """For networks that only hear: two milliseconds of a core, on the CPU wherever the rest runs."""
    from services.runtimes.openvino import OpenVinoRuntime

    return OpenVinoRuntime("f32", threads or os.cpu_count() or 1)


def choose_runtime(name: RuntimeName = "auto", device: Device = "auto", threads: int = 0) -> Runtime:
    """Set up a runtime; nothing is loaded or measured yet.

    Args:
        name: "auto" measures on a CPU, and is ONNX Runtime in float32 on a GPU.
        device: "auto" takes CUDA where the driver reports a device; OpenVINO runs on the CPU only.
        threads: CPU threads; 0 = one per core.
    Raises:
        ModelRuntimeError: what was asked for needs a GPU, and there is none, or `device` is "cpu".
    """
    if name in GPU_RUNTIMES:
        if device == "cpu":
            raise ModelRuntimeError(f"runtime {name} needs a GPU, but device is cpu; use device auto or runtime auto")
        from services.runtimes.cuda import CudaRuntime  # here, because hardly anybody needs it

        return CudaRuntime(tensorrt=name == "tensorrt")
    on_gpu = device == "cuda" or (device == "auto" and cuda_device_count() > 0)
    if name == "onnxruntime" or (name == "auto" and on_gpu):
        return OnnxRuntime(device, threads)
    # Here, because it is not needed on a GPU, and a tenth of a second to import.
    from services.runtimes.openvino import OpenVinoRuntime, Precision

    threads = threads or os.cpu_count() or 1
    if name != "auto":
        precisions: dict[str, Precision] = {"openvino-int8": "int8", "openvino-bf16": "bf16", "openvino-f32": "f32"}
        return OpenVinoRuntime(precisions[name], threads)
    candidates: dict[str, Runtime] = {"onnxruntime": OnnxRuntime("cpu", threads)}
    openvino = OpenVinoRuntime("bf16", threads)
    if openvino.computes_bf16:
        candidates["openvino-bf16"] = openvino
    else:
        candidates["openvino-f32"] = OpenVinoRuntime("f32", threads)
    if openvino.computes_int8:
        candidates["openvino-int8"] = OpenVinoRuntime("int8", threads)
    return MeasuredRuntime(candidates)
