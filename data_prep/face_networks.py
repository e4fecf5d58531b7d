"""The face networks that lie in mediapipe's package, run by OpenVINO without importing mediapipe."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def network_path(name: str) -> Path:
    """The file of a network, given as its path among mediapipe's modules.

    Raises:
        FileNotFoundError: mediapipe is not installed, or is a version without networks.
    """
    spec = find_spec("mediapipe")  # of a top-level name: looks, and imports nothing
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "modules" / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"mediapipe's {name} is not in {folders or 'this environment'}: install mediapipe 0.10.21")


def read_network(path: Path) -> Any:
    """A network without operations of mediapipe's own, as an `openvino.Model`."""
    return _core().read_model(str(path))


def open_network(name: str, read: Callable[[Path], Any] = read_network) -> Any:
    """An `openvino.InferRequest` of one's own, for one run at a time; the network is compiled once per process.

    Args:
        name: its path among mediapipe's modules.
        read: makes an `openvino.Model` of the file.
    """
    return _compiled(name, read).create_infer_request()


@functools.cache
def _compiled(name: str, read: Callable[[Path], Any]) -> Any:
    return compile_network(read(network_path(name)))  # up to a second: too long for every recording of many


def compile_network(model: Any) -> Any:
    """Ready for the CPU, on one thread: the networks are small, and results do not depend on the machine's cores."""
    return _core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"})


@functools.cache
def _core() -> Any:
    """For as long as the process lives: once OpenVINO 2026.4 is gone from a thread, Ctrl-C there is a crash."""
    import openvino  # here: serving imports this package too, and need not have it

    return openvino.Core()
