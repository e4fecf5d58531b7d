"""The shipped ears as a network that can be trained: their weights, read back from the graph that is served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

from models.ears import Ears
from recipe.shipped import EARS_FILE, ShippedNetworkError, checked_ears
from training.ears.stage import new_ears

_PREFIX = "ears."


def shipped_ears(path: Path = EARS_FILE) -> Ears:
    """The ears with the weights of their graph; those that it stores in eight bits are the rounded ones.

    Raises:
        ShippedNetworkError: the graph is missing, another one, or does not hold them all.
    """
    checked_ears(path)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(path)).graph.initializer}
    # The exporter names the weights of a normalisation by the order of its steps, and shapes them (channels, 1).
    nameless = sorted((name for name, found in stored.items() if _is_norm(name, found)), key=lambda name: int(name[4:]))
    norms = iter([stored[name][:, 0] for name in nameless])
    ears = new_ears()
    weights = {}
    for name, wanted in ears.state_dict().items():
        if name == "encoder.silence":  # the ears never answer with it
            weights[name] = wanted
            continue
        found = _named(stored, _PREFIX + name)
        found = next(norms, None) if found is None else found
        if found is None or found.size != wanted.numel():
            raise ShippedNetworkError(f"{path} holds no weights {name} of shape {tuple(wanted.shape)}; install again")
        weights[name] = torch.from_numpy(np.array(found, np.float32)).reshape(wanted.shape)
    ears.load_state_dict(weights)
    return ears.eval()


def _named(stored: dict[str, NDArray[np.generic]], name: str) -> NDArray[np.generic] | None:
    if name in stored:
        return stored[name]
    if f"{name}.int8" in stored:
        return stored[f"{name}.int8"].astype(np.float32) * stored[f"{name}.scale"].astype(np.float32)
    return None


def _is_norm(name: str, found: NDArray[np.generic]) -> bool:
    return name.startswith("val_") and found.ndim == 2 and found.shape[1] == 1
