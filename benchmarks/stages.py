"""Wall and processor time of named stages, and what this machine can do at most, measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import torch

from services.runtimes.openvino import OpenVinoRuntime

T = TypeVar("T")

_GEMM_SIZE: Final = 1024
_GEMM_RUNS: Final = 8
_COPY_BYTES: Final = 128 << 20
_COPY_RUNS: Final = 4


class Stages:
    """Milliseconds per frame by stage; every round adds a value and the median counts."""

    def __init__(self) -> None:
        self._wall_ms: defaultdict[str, list[float]] = defaultdict(list)
        self._cpu_ms: defaultdict[str, list[float]] = defaultdict(list)

    def timed(self, stage: str, frames: int, work: Callable[[], T]) -> T:
        """Do the work of a round and note what it took per frame."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        self.add(stage, (time.perf_counter() - wall) * 1e3 / frames, (time.process_time() - cpu) * 1e3 / frames)
        return result

    def add(self, stage: str, wall_ms: float, cpu_ms: float) -> None:
        """Note a round's value."""
        self._wall_ms[stage].append(wall_ms)
        self._cpu_ms[stage].append(cpu_ms)

    @property
    def names(self) -> list[str]:
        return list(self._wall_ms)

    def wall_ms(self, stage: str) -> float:
        return statistics.median(self._wall_ms[stage])

    def cpu_ms(self, stage: str) -> float:
        """Of all threads of this process together."""
        return statistics.median(self._cpu_ms[stage])


class Laps:
    """Adds up stages that take turns inside a loop over frames."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    @contextmanager
    def of(self, stage: str) -> Iterator[None]:
        """Everything inside belongs to the stage."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        known = self._sums.get(stage, (0.0, 0.0))
        self._sums[stage] = (known[0] + time.perf_counter() - wall, known[1] + time.process_time() - cpu)

    def into(self, stages: Stages, frames: int) -> None:
        """Hand the sums over, per frame."""
        for stage, (wall_s, cpu_s) in self._sums.items():
            stages.add(stage, wall_s * 1e3 / frames, cpu_s * 1e3 / frames)


@dataclass(frozen=True, slots=True)
class Rate:
    """Work done per second of the clock, and per second of all processors' time together."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Peaks:
    """What the machine reached: medians of the run."""

    fp32_gflops: Rate
    bf16_gflops: Rate | None  # None where the processor does not multiply bfloat16
    copy_gb_per_s: Rate  # bytes read and bytes written

    def text(self, threads: int) -> str:
        bf16 = "none" if self.bf16_gflops is None else f"{self.bf16_gflops.wall:.0f} GFLOP/s"
        return (
            f"measured peak on {threads} threads: matrix product {self.fp32_gflops.wall:.0f} GFLOP/s in fp32, {bf16} "
            f"in bf16; copy {self.copy_gb_per_s.wall:.1f} GB/s (read and written)"
        )


class PeakMeter:
    """Measures a matrix product and a copy between the rounds of a benchmark, so that neighbours disturb both alike."""

    def __init__(self, threads: int) -> None:
        torch.set_num_threads(threads)
        self._has_bf16 = OpenVinoRuntime("bf16", 1).computes_bf16
        self._fp32: list[Rate] = []
        self._bf16: list[Rate] = []
        self._copy: list[Rate] = []

    def sample(self) -> None:
        """Measure once more; a third of a second."""
        self._fp32.append(gemm_gflops(torch.float32))
        if self._has_bf16:
            self._bf16.append(gemm_gflops(torch.bfloat16))
        self._copy.append(copy_gb_per_s())

    def peaks(self) -> Peaks:
        bf16 = _median(self._bf16) if self._bf16 else None
        return Peaks(_median(self._fp32), bf16, _median(self._copy))


def _median(rates: list[Rate]) -> Rate:
    return Rate(statistics.median(rate.wall for rate in rates), statistics.median(rate.cpu for rate in rates))


def gemm_gflops(dtype: torch.dtype) -> Rate:
    """A product of two square matrices on the threads that torch was told: billions of operations per second.

    Args:
        dtype: of its elements; products of int8 are summed in int32.
    """
    a, b = ((100 * torch.randn(_GEMM_SIZE, _GEMM_SIZE)).clamp(-127, 127).to(dtype) for _ in range(2))
    product = torch._int_mm if dtype == torch.int8 else torch.mm
    return _best_rate(lambda: product(a, b), _GEMM_RUNS, 2 * _GEMM_SIZE**3 / 1e9)


def copy_gb_per_s() -> Rate:
    """A copy that fits into no cache, bytes read and written."""
    source = torch.zeros(_COPY_BYTES, dtype=torch.uint8)
    target = torch.ones_like(source)
    return _best_rate(lambda: target.copy_(source), _COPY_RUNS, 2 * _COPY_BYTES / 1e9)


def _best_rate(work: Callable[[], object], runs: int, amount: float) -> Rate:
    """The best of some runs after a first one that is not counted: a peak, not an average."""
    work()
    wall_s, cpu_s = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        wall_s.append(time.perf_counter() - wall)
        cpu_s.append(time.process_time() - cpu)
    return Rate(amount / min(wall_s), amount / max(min(cpu_s), 1e-9))
