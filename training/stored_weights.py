"""Weights of a network, read back from the graph that is served, and put into it again.

The exporter keeps the names of weights, but for those of normalisations: it names these by the order of its steps and
shapes them (channels, 1). `training.weights` may have stored a weight in eight bits with its scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from recipe.errors import UserError
from recipe.files import written_aside
from training.weights import quantise

Array = NDArray[np.generic]


class StoredWeightsError(UserError):
    """A graph does not hold the weights of the network that it should be."""


def read_weights(path: Path, network: nn.Module, prefix: str, folded: Collection[str] = ()) -> dict[str, Tensor]:
    """State of a network as its graph has it; weights in eight bits are the rounded ones.

    Args:
        path: the graph.
        network: gives names and shapes.
        prefix: what the exporter put before the names.
        folded: names that the graph cannot hold; the network's own are returned.
    Raises:
        StoredWeightsError: some are missing.
    """
    stored = _initializers(onnx.load(str(path)))
    state = network.state_dict()
    names = _names(stored, {name: value for name, value in state.items() if name not in folded}, prefix, path)
    return state | {name: torch.from_numpy(_values(stored, names[name])).reshape(state[name].shape) for name in names}


def replace_weights(path: Path, network: nn.Module, prefix: str, folded: Collection[str] = ()) -> None:
    """Put a network's state into its graph in one step; all else stays, and what was in eight bits is again.

    Args, Raises: see `read_weights`.
    """
    model = onnx.load(str(path))
    stored = _initializers(model)
    state = {name: value for name, value in network.state_dict().items() if name not in folded}
    new: dict[str, Array] = {}
    for name, at in _names(stored, state, prefix, path).items():
        values = state[name].detach().cpu().numpy().astype(np.float32)
        if f"{at}.int8" in stored:
            new[f"{at}.int8"], new[f"{at}.scale"] = quantise(values, int(np.argmax(stored[f"{at}.scale"].shape)))
        else:
            new[at] = values.reshape(stored[at].shape)
    for tensor in model.graph.initializer:
        if tensor.name in new:
            tensor.CopyFrom(numpy_helper.from_array(new[tensor.name], tensor.name))
    with written_aside(path) as part:
        onnx.save(model, str(part))
        onnx.checker.check_model(str(part))


def _initializers(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _names(stored: Mapping[str, Array], state: Mapping[str, Tensor], prefix: str, path: Path) -> dict[str, str]:
    """Where each weight lies in the graph."""
    nameless = [name for name, found in stored.items() if name.startswith("val_") and found.shape[1:] == (1,)]
    norms = iter(sorted(nameless, key=lambda name: int(name[4:])))
    names: dict[str, str] = {}
    for name, wanted in state.items():
        known = prefix + name
        at = known if known in stored or f"{known}.int8" in stored else next(norms, None)
        if at is None or stored.get(at, stored.get(f"{at}.int8", _NOTHING)).size != wanted.numel():
            raise StoredWeightsError(f"{path} holds no weights {name} of shape {tuple(wanted.shape)}")
        names[name] = at
    return names


_NOTHING = np.zeros(0)


def _values(stored: Mapping[str, Array], at: str) -> NDArray[np.float32]:
    if at in stored:
        return np.array(stored[at], np.float32)
    return stored[f"{at}.int8"].astype(np.float32) * stored[f"{at}.scale"].astype(np.float32)
