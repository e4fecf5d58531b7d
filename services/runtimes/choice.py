"""Which runtime draws on this machine: CUDA where there is a device, else the one that a self-test finds cheapest.

The self-test runs a network on every candidate for a tenth of a second and compares processor time, not the clock: on
a busy server that is what limits the number of sessions. int8 takes part only with networks that packaging found good
enough in it, and is taken only when its pictures of the avatar's own frames, computed on this very processor, are near
those in float32: without VNNI sums may overflow, and whether they do is measured, not looked up. What was found out is
kept on disk (verdicts.py), so that only the first start pays for it.

On a GPU it is ONNX Runtime in float32. Half precision there has not been measured on a GPU: it has to be asked for.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from recipe.avatar_format import PATCH
from recipe.int8_calibration import LEAST_MOUTH_PSNR_DB
from services.errors import ModelRuntimeError
from services.runtimes.names import Device, RuntimeName
from services.runtimes.onnx import ONNXRUNTIME_VERSION, OnnxRuntime, cuda_device_count
from services.runtimes.processor import this_processor
from services.runtimes.runtime import Arrays, Graph, Runtime, Trial
from services.runtimes.verdicts import Verdict, Verdicts

logger = logging.getLogger(__name__)

GPU_RUNTIMES: Final[frozenset[RuntimeName]] = frozenset({"cuda-fp16", "tensorrt"})

_WARM_UP_RUNS: Final = 2
_LONGEST_TEST_S: Final = 0.1


class MeasuredRuntime:
    """Measures the candidates on the first network that they suit, and loads every other one with the cheapest."""

    def __init__(
        self,
        candidates: Mapping[str, Runtime],
        rounding: str | None = None,
        exact: str | None = None,
        verdicts: Verdicts | None = None,
    ) -> None:
        """Remember the candidates.

        Args:
            candidates: by name; every network suits at least one of them.
            rounding: the candidate whose pictures are compared before it is taken, for every network anew.
            exact: the candidate they are compared with.
            verdicts: what is known from earlier starts; by default nothing, and nothing is kept.
        """
        self._candidates = candidates
        self._rounding, self._exact = rounding, exact
        self._verdicts = Verdicts(None, {}) if verdicts is None else verdicts
        self._deciding = threading.Lock()
        self.measured_ms: dict[str, float] = {}  # processor time per run, by candidate; filled by the first load

    def suits(self, path: Path) -> bool:
        """Every network: see `__init__`."""
        return True

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        """Load a network.

        Args:
            path: of the network.
            trial: frames on which rounded pictures are compared with exact ones; without it packaging is believed.
        Raises:
            ModelRuntimeError: see the candidates.
        """
        with self._deciding:
            suited = {name: runtime for name, runtime in self._candidates.items() if runtime.suits(path)}
            if suited.keys() - self.measured_ms.keys() or (self._rounding in suited and trial is not None):
                return self._judged(path, suited, trial)
            best = min(suited, key=self.measured_ms.__getitem__)
        return suited[best].load(path)

    def _judged(self, path: Path, suited: Mapping[str, Runtime], trial: Trial | None) -> Graph:
        known = self._verdicts.find(path, suited)
        if known is None:
            return self._decide(path, suited, trial)
        self.measured_ms.update(known.measured_ms)
        logger.info("runtime %s is used (%s, found out at an earlier start)", known.runtime, _told(path, known))
        return suited[known.runtime].load(path)

    def _decide(self, path: Path, suited: Mapping[str, Runtime], trial: Trial | None) -> Graph:
        """Measure all that suit a network side by side, also those that were measured on another one before."""
        graphs = {name: runtime.load(path) for name, runtime in suited.items()}
        measured_ms = {name: round(processor_ms(graph), 2) for name, graph in graphs.items()}
        self.measured_ms.update(measured_ms)
        best, psnr_db = min(measured_ms, key=measured_ms.__getitem__), None
        if best == self._rounding and self._exact is not None and trial is not None:
            psnr_db = round(self._compare(graphs[best], graphs[self._exact], trial(suited[self._exact])), 1)
            if psnr_db < LEAST_MOUTH_PSNR_DB:
                best = min(measured_ms.keys() - {best}, key=measured_ms.__getitem__)
                logger.warning(
                    "%s is not used for %s: on this processor it draws pictures of %.1f dB against float32, "
                    "and at least %.0f are needed",
                    self._rounding,
                    path,
                    psnr_db,
                    LEAST_MOUTH_PSNR_DB,
                )
        verdict = Verdict(best, measured_ms, psnr_db)
        if self._rounding not in suited or best != self._rounding or psnr_db is not None:  # else it is half a verdict
            self._verdicts.keep(path, verdict)
        logger.info("runtime %s is used (%s)", best, _told(path, verdict))
        return graphs[best]

    @staticmethod
    def _compare(rounded: Graph, exact: Graph, frames: Sequence[Arrays]) -> float:
        """Pictures of the same frames: see `shown_psnr_db`."""
        from services.runtimes.int8 import shown_psnr_db  # OpenVINO is not needed on a GPU

        drawn, wanted = (np.concatenate([graph.run(feeds)[PATCH] for feeds in frames]) for graph in (rounded, exact))
        return shown_psnr_db(drawn, wanted)


def _told(path: Path, verdict: Verdict) -> str:
    measured = ", ".join(f"{name} {ms:.1f} ms" for name, ms in verdict.measured_ms.items())
    near = "" if verdict.psnr_db is None else f"; int8 draws pictures of {verdict.psnr_db:.1f} dB"
    return f"processor time for {path.name}: {measured}{near}"


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


def choose_runtime(
    name: RuntimeName = "auto", device: Device = "auto", threads: int = 0, verdicts_dir: Path | None = None
) -> Runtime:
    """Set up a runtime; nothing is loaded or measured yet.

    Args:
        name: "auto" measures on a CPU, and is ONNX Runtime in float32 on a GPU.
        device: "auto" takes CUDA where the driver reports a device; OpenVINO runs on the CPU only.
        threads: CPU threads; 0 = one per core.
        verdicts_dir: where "auto" keeps what it measured; None measures at every start.
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
    from services.runtimes.openvino import OPENVINO_VERSION, OpenVinoRuntime, Precision

    threads = threads or os.cpu_count() or 1
    if name != "auto":
        precisions: dict[str, Precision] = {"openvino-int8": "int8", "openvino-bf16": "bf16", "openvino-f32": "f32"}
        if name == "openvino-int8" and not this_processor().sums_int8:
            logger.warning("this processor has no VNNI: sums of int8 may overflow; the runtime auto measures it")
        return OpenVinoRuntime(precisions[name], threads)
    candidates: dict[str, Runtime] = {"onnxruntime": OnnxRuntime("cpu", threads)}
    openvino = OpenVinoRuntime("bf16", threads)
    if openvino.computes_bf16:
        candidates["openvino-bf16"] = openvino
    else:
        candidates["openvino-f32"] = OpenVinoRuntime("f32", threads)
    candidates["openvino-int8"] = OpenVinoRuntime("int8", threads)
    computing = {"threads": str(threads), "openvino": OPENVINO_VERSION, "onnxruntime": ONNXRUNTIME_VERSION}
    return MeasuredRuntime(candidates, "openvino-int8", "onnxruntime", Verdicts(verdicts_dir, computing))
