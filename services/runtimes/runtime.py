"""The networks' runtime behind two small interfaces, so that another one is one more class.

A graph is run on pieces of a fixed batch size (`batch_frames`). Why: a stream must give the same bits
however its sound was cut, and a runtime may choose other kernels for another batch size. On the CPU the size
is 1: measured with the full-size networks, ONNX Runtime gives identical bits and the same time per frame for
batches of 1 to 16 (decoder 11 to 13 ms on two cores), and a batch of 1 needs neither padding nor copies. On a
GPU it is 4, padded by repeating the last row; there, concurrent callers share batches (shared_batches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """An input or output of a graph; None stands for the batch and other open sizes."""

    name: str
    dtype: np.dtype[Any] | None
    shape: tuple[int | None, ...]


class Graph(Protocol):
    """One loaded network."""

    @property
    def provider(self) -> str: ...

    @property
    def batch_frames(self) -> int: ...

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...

    @property
    def outputs(self) -> tuple[TensorSpec, ...]: ...

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Run on at most `batch_frames` rows; the results have as many rows."""


class Runtime(Protocol):
    """Loads networks."""

    def suits(self, path: Path) -> bool:
        """Whether a network comes out as good as it should; only then may it be chosen without being asked for."""

    def load(self, path: Path, trial: Trial | None = None) -> Graph:
        """Load a network.

        Args:
            path: of the network.
            trial: what it is given for some frames, for a runtime that wants to compare pictures before it chooses.
        """


# Inputs of a network for some frames, one row each; everything before it is computed by the runtime given.
Trial = Callable[[Runtime], Sequence[Arrays]]


def padded(feeds: Arrays, batch: int) -> Arrays:
    """Fill a batch up by repeating the last row."""
    padding = batch - len(next(iter(feeds.values())))
    if not padding:
        return feeds
    return {name: np.concatenate([array, *[array[-1:]] * padding]) for name, array in feeds.items()}
