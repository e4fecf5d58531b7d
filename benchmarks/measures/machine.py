"""What `python -m benchmarks.machine` measures; why is said there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import configargparse
import torch

from benchmarks.stages import Rate, copy_gb_per_s, gemm_gflops
from benchmarks.table import Cell, Table, report_all
from services.runtimes.openvino import OpenVinoRuntime
from services.runtimes.processor import this_processor

_COLUMNS: Final = ("what", "unit", "threads", "by the clock", "per second of processor time")


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    processor = this_processor()
    every = max(1, int(processor.cores))
    kinds: dict[str, tuple[str, Callable[[], Rate]]] = {
        "matrix product, float32": ("GFLOP/s", lambda: gemm_gflops(torch.float32)),
        "copy": ("GB/s", copy_gb_per_s),
    }
    if processor.sums_int8:  # PyTorch multiplies int8 a number at a time elsewhere; networks do not run on PyTorch
        kinds["matrix product, int8"] = ("GOP/s", lambda: gemm_gflops(torch.int8))
    if OpenVinoRuntime("bf16", 1).computes_bf16:
        kinds["matrix product, bfloat16"] = ("GFLOP/s", lambda: gemm_gflops(torch.bfloat16))
    rows: list[list[Cell]] = []
    best: dict[tuple[str, int], Rate] = {}
    for threads in sorted({1, every}):
        torch.set_num_threads(threads)
        for what, (unit, measure) in kinds.items():
            found = best[what, threads] = _best([measure() for _ in range(options.rounds)])
            rows.append([what, unit, threads, found.wall, found.cpu])
    notes = [
        f"class: {processor.kind}; threads of the networks: {every}",
        _shared(best, every),
        _expectation(best),
    ]
    report_all([Table("What this machine reaches at most", _COLUMNS, rows, [n for n in notes if n])], options.json)


def _best(rates: list[Rate]) -> Rate:
    return Rate(max(rate.wall for rate in rates), max(rate.cpu for rate in rates))


def _shared(best: Mapping[tuple[str, int], Rate], every: int) -> str:
    """Whether all cores reach together what one reaches so many times."""
    if every == 1:
        return ""
    share = best["matrix product, float32", every].wall / best["matrix product, float32", 1].wall / every
    return f"{every} threads reach {100 * share:.0f} % of {every} times one thread in float32"


def _expectation(best: Mapping[tuple[str, int], Rate]) -> str:
    if ("matrix product, int8", 1) not in best:
        return "int8 is summed in pairs of 16 bits (no VNNI); what it gains a network is told by benchmarks.per_frame"
    ratio = best["matrix product, int8", 1].cpu / best["matrix product, float32", 1].cpu
    return f"int8 runs at {ratio:.1f} times the rate of float32, summed in 32 bits (VNNI)"
