"""mediapipe's face mesh with attention, made runnable in OpenVINO.

The network looks at a face of 192 px, places 468 points, and then looks again at the lips and at either eye: squares
around them, turned with the face, are cut out of an early feature map and measured on their own. TFLite has no
operation for such cuts; mediapipe brings three of its own, which no other runtime knows. They are rebuilt here from
OpenVINO's operations.

Source: Grishchenko et al., Attention Mesh, 2020 (arXiv:2006.10962); the operations' formulas and the order of the
refined points are those of mediapipe 0.10.21 (mediapipe/util/tflite/operations, Apache-2.0), told again.

Axes: K landmarks, H W C image or feature map. A placement (2, 3) maps px of a cut to px of the feature map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

# Which of the 468 points each refined part measures, in the order of its output. Left is left in the picture.
# fmt: off
LIPS: Final = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
    76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306, 184, 74, 73, 72, 11, 302, 303, 304, 408,
    62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292, 183, 42, 41, 38, 12, 268, 271, 272, 407,
)
LEFT_EYE: Final = (
    33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173,
    130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190,
    226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189,
    35, 124, 46, 53, 52, 65,
    143, 111, 117, 118, 119, 120, 121, 128, 245, 156, 70, 63, 105, 66, 107, 55, 193,
)
RIGHT_EYE: Final = (
    263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398,
    359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414,
    446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413,
    265, 353, 276, 283, 282, 295,
    372, 340, 346, 347, 348, 349, 350, 357, 465, 383, 300, 293, 334, 296, 336, 285, 417,
)
# fmt: on
_CUT_PX: Final = 16  # side of a cut; the network's later layers are made for it
_MARGIN: Final = 1.5  # size of a cut in sizes of its points


@dataclass(frozen=True)
class _Part:
    points: tuple[int, ...]
    start: int  # the line from here
    end: int  # to here is level in the cut


# By the name of the tensor that holds the placement of the part's cut.
_PARTS: Final = {
    "landmarks_to_transform_matrix_v2": _Part(LIPS, 61, 291),
    "landmarks_to_transform_matrix_v2_1": _Part(LEFT_EYE, 33, 133),
    "landmarks_to_transform_matrix_v2_2": _Part(RIGHT_EYE, 362, 263),
}


def read_attention_mesh(path: Path) -> Any:
    """The network of face_landmark_with_attention.tflite as an `openvino.Model`.

    Its outputs keep their names: output_mesh_identity, output_lips, output_left_eye, output_right_eye,
    output_left_iris, output_right_iris (px of the 192-px input) and conv_faceflag (before the sigmoid).

    Raises:
        ValueError: the file holds another network than mediapipe 0.10.21's.
    """
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("tflite")
    model = frontend.convert_partially(frontend.load(str(path)))
    rebuilt = 0
    for node in model.get_ordered_ops():
        if node.get_type_name() == "TFFrameworkNode":
            replacement = _rebuild(node, path)
            replacement.set_names(node.output(0).names)
            node.output(0).replace(replacement)
            rebuilt += 1
    model.validate_nodes_and_infer_types()
    if rebuilt != 11:
        raise ValueError(f"{path} has {rebuilt} operations of mediapipe's own, expected 11: install mediapipe 0.10.21")
    return model


def _rebuild(node: Any, path: Path) -> Any:
    (name,) = node.output(0).names
    inputs = [value.get_source_output() for value in node.inputs()]
    if name in _PARTS:
        return _placement(inputs[0], _PARTS[name])
    if name.startswith("transform_tensor_bilinear_v2"):
        return _cut(*inputs)
    if name.startswith("transform_landmarks_v2"):
        return _place(*inputs)
    raise ValueError(f"{path} has an unknown operation {name}: install mediapipe 0.10.21")


def _placement(points_1K3: Any, part: _Part) -> Any:
    """Where a part's cut lies on the feature map, (1, 4, 4); only the first two rows matter, the third column is 0."""
    from openvino import opset13 as ops

    flat_K2 = ops.gather(ops.squeeze(points_1K3, _ints(0)), _ints(0, 1), _ints(1))
    ends = [ops.gather(flat_K2, _ints(k), _ints(0)) for k in (part.start, part.end)]
    along = ops.subtract(ends[1], ends[0])
    along = ops.divide(along, ops.sqrt(ops.reduce_sum(ops.multiply(along, along), _ints(1), True)))
    across = ops.multiply(ops.gather(along, _ints(1, 0), _ints(1)), _floats(-1, 1))
    turn_22 = ops.concat([along, across], 0)  # rows: the cut's axes on the feature map
    level_K2 = ops.matmul(ops.gather(flat_K2, _ints(*part.points), _ints(0)), turn_22, False, True)
    low, high = ops.reduce_min(level_K2, _ints(0), True), ops.reduce_max(level_K2, _ints(0), True)
    centre = ops.matmul(ops.multiply(ops.add(low, high), _floats(0.5)), turn_22, False, False)
    size = ops.multiply(ops.subtract(high, low), _floats(_MARGIN / _CUT_PX))
    linear_22 = ops.multiply(ops.transpose(turn_22, _ints(1, 0)), size)
    origin = ops.subtract(centre, ops.matmul(_floats(*[_CUT_PX / 2] * 2)[None], linear_22, False, True))
    columns = [linear_22, np.zeros((2, 1), np.float32), ops.transpose(origin, _ints(1, 0))]
    rows = ops.concat([ops.concat(columns, 1), np.eye(4, dtype=np.float32)[2:]], 0)
    return ops.unsqueeze(rows, _ints(0)).output(0)


def _cut(features_1HWC: Any, placement_144: Any) -> Any:
    """A part's square of the feature map, bilinear, 0 where it reaches beyond the map: (1, 16, 16, C)."""
    from openvino import opset13 as ops

    _, height, width, _ = features_1HWC.get_shape()
    y, x = np.mgrid[:_CUT_PX, :_CUT_PX].reshape(2, -1).astype(np.float32) + 0.5  # middles of the cut's pixels
    last = _floats(width - 1, height - 1)
    source = ops.subtract(_place(np.stack([x, y], axis=-1)[None], placement_144), _floats(0.5))
    inside = ops.logical_and(ops.greater_equal(source, _floats(0)), ops.less_equal(source, last))
    weight = ops.convert(ops.reduce_logical_and(inside, _ints(2), True), "f32")
    grid = ops.subtract(ops.multiply(source, 2 / last), _floats(1))
    cut_1CHW = ops.grid_sample(
        ops.transpose(features_1HWC, _ints(0, 3, 1, 2)),
        ops.reshape(grid, _ints(1, _CUT_PX, _CUT_PX, 2), False),
        {"align_corners": True, "mode": "bilinear", "padding_mode": "border"},
    )
    cut_1HWC = ops.transpose(cut_1CHW, _ints(0, 2, 3, 1))
    return ops.multiply(cut_1HWC, ops.reshape(weight, _ints(1, _CUT_PX, _CUT_PX, 1), False)).output(0)


def _place(points_1K2: Any, placement_144: Any) -> Any:
    """Points of a cut on the feature map, or on the input when the placement is scaled accordingly: (1, K, 2)."""
    from openvino import opset13 as ops

    rows = ops.gather(placement_144, _ints(0, 1), _ints(1))
    linear, shift = (ops.gather(rows, _ints(*columns), _ints(2)) for columns in ((0, 1), (3,)))
    moved = ops.matmul(points_1K2, linear, False, True)
    return ops.add(moved, ops.transpose(shift, _ints(0, 2, 1))).output(0)


def _ints(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)
