"""What the processor is: its class decides what a figure means and which arithmetic is fast here.

Figures of two machines can be told apart only by it, so benchmarks print it, and what was found out on one processor is
not believed on another.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_FACTS: Final = Path("/proc/cpuinfo")
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")
# What is told, the widest first: by which flags of Linux it is recognised (any of them).
_VECTORS: Final = (("AVX-512", {"avx512f"}), ("AVX2", {"avx2"}), ("AVX", {"avx"}))
_EXTRAS: Final = (
    ("VNNI", {"avx512_vnni", "avx_vnni"}),
    ("bf16", {"avx512_bf16", "amx_bf16"}),
    ("AMX", {"amx_tile"}),
)


@dataclass(frozen=True, slots=True)
class Processor:
    """One kind of processor."""

    model: str
    flags: frozenset[str]
    cores: float  # that this process may use: a container's quota may be a fraction

    @property
    def kind(self) -> str:
        """Its class: "AVX2", "AVX-512 with VNNI and bf16"."""
        vectors = next((name for name, flags in _VECTORS if not self.flags.isdisjoint(flags)), "no AVX")
        extras = [name for name, flags in _EXTRAS if not self.flags.isdisjoint(flags)]
        if not extras:
            return vectors if self.flags else platform.machine()
        return f"{vectors} with {' and '.join([', '.join(extras[:-1]), extras[-1]] if len(extras) > 1 else extras)}"

    @property
    def sums_int8(self) -> bool:
        """Whether products of int8 are summed in 32 bits (VNNI); elsewhere in pairs of 16 bits, which may overflow."""
        return not self.flags.isdisjoint({"avx512_vnni", "avx_vnni"})

    def __str__(self) -> str:
        return f"{self.model}, {self.kind}, {self.cores:g} cores"


def this_processor(facts: Path = _FACTS, quota: Path = _QUOTA) -> Processor:
    """The processor of this machine.

    Args:
        facts: Linux's list of the processor's abilities; where there is none, nothing is known but the architecture.
        quota: how much of the machine a container may use.
    """
    known = _first_entry(facts)
    name = known.get("model name", platform.processor() or platform.machine())
    numbers = [f"{key.removeprefix('cpu ')} {known[key]}" for key in ("cpu family", "model") if key in known]
    return Processor(" ".join([name, *numbers]), frozenset(known.get("flags", "").split()), _cores(quota))


def _first_entry(facts: Path) -> dict[str, str]:
    try:
        text = facts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    entry = text.split("\n\n")[0].splitlines()
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in entry)}


def _cores(quota: Path) -> float:
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, _, period = quota.read_text(encoding="ascii").partition(" ")
    except (OSError, UnicodeDecodeError):
        return float(allowed)
    return float(allowed) if most == "max" else min(float(allowed), int(most) / int(period))
