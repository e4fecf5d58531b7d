"""Integer convolutions: the bounds that packaging measured, put into a graph whose weights are already int8.

Source: docs/decisions/0009-int8.md
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import openvino
from numpy.typing import NDArray
from openvino import opset13

_LEVELS: Final = 256
_CONVOLUTIONS: Final = ("Convolution", "ConvolutionBackpropData")
_STORED_INT8: Final = ".int8"  # training.weights names the levels of a weight so
_HALF: Final = 128  # of alpha
_BEST_PSNR_DB: Final = 100.0


def shown_psnr_db(drawn_BHWC: NDArray[np.uint8], exact_BHWC: NDArray[np.uint8]) -> float:
    """How close drawn patches come to the exact ones where they are shown; at most 100.

    Args:
        drawn_BHWC: RGBA patches.
        exact_BHWC: the same in float32.
    Returns:
        Peak signal-to-noise ratio of the colours over the pixels that one of them shows at least half.
    """
    shown_BHW = np.maximum(drawn_BHWC[..., 3], exact_BHWC[..., 3]) >= _HALF
    error = drawn_BHWC[..., :3][shown_BHW].astype(np.float64) - exact_BHWC[..., :3][shown_BHW]
    mean = float(np.square(error).mean()) if error.size else 0.0
    return min(10 * float(np.log10(255**2 / max(mean, 1e-9))), _BEST_PSNR_DB)


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
