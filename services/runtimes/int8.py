"""Integer convolutions: the bounds that packaging measured, put into a graph whose weights are already int8.

Source: docs/decisions/0009-int8.md
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import openvino
from openvino import opset13

_LEVELS: Final = 256
_CONVOLUTIONS: Final = ("Convolution", "ConvolutionBackpropData")
_STORED_INT8: Final = ".int8"  # training.weights names the levels of a weight so
_VNNI_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni"})
_PROCESSOR_FACTS: Final = Path("/proc/cpuinfo")


def processor_sums_int8(facts: Path = _PROCESSOR_FACTS) -> bool:
    """Whether products of int8 are summed in 32 bits (VNNI).

    Elsewhere OpenVINO sums pairs of them in 16 bits, which overflow: pictures would not be those that were measured.

    Args:
        facts: Linux's list of the processor's abilities; where there is none, the answer is no.
    """
    try:
        lines = facts.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not _VNNI_FLAGS.isdisjoint(flags.split())


def round_inputs(model: openvino.Model, bounds: Mapping[str, float]) -> None:
    """Round the inputs of the convolutions, in place: OpenVINO then computes them in int8.

    Args:
        model: its weights are stored as int8 with a scale per output channel; convolutions so small that they are
            stored as float32 stay as they are.
        bounds: of every convolution, by weight name.
    Raises:
        ValueError: the bounds are not those of the model's convolutions.
    """
    convolutions = {_weight_name(node): node for node in model.get_ops() if node.get_type_name() in _CONVOLUTIONS}
    trained = {name.removesuffix(_STORED_INT8) for name in convolutions}
    if trained != bounds.keys():
        differing = ", ".join(sorted(trained ^ bounds.keys()))
        raise ValueError(f"the calibration is that of another network: they differ in {differing}")
    low = opset13.constant(np.float32(0))
    for name, node in convolutions.items():
        if name.endswith(_STORED_INT8):
            high = opset13.constant(np.float32(bounds[name.removesuffix(_STORED_INT8)]))
            rounded = opset13.fake_quantize(node.input_value(0), low, high, low, high, _LEVELS)
            node.input(0).replace_source_output(rounded.output(0))
    model.validate_nodes_and_infer_types()


def _weight_name(convolution: Any) -> str:
    """The name of the constant that a convolution's weight is computed from."""
    node = convolution.input_value(1).get_node()
    while node.get_input_size() > 0:
        node = node.input_value(0).get_node()
    return str(node.friendly_name)
