"""Weights stored as int8: near the exact ones, a quarter of the size, everything else untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.weights import quantise, store_as_int8


@pytest.mark.parametrize("axis", [0, 1])
def test_the_axis_along_which_the_sizes_differ_is_scaled(axis: int) -> None:
    random = np.random.default_rng(0)
    sizes = np.tile(np.array([1e-3, 1.0, 30.0, 0.0], np.float32), 16).reshape((64, 1) if axis == 0 else (1, 64))
    values = (random.normal(size=(64, 64)) * sizes).astype(np.float32)
    levels, scale = quantise(values)
    assert scale.shape == sizes.shape and levels.dtype == np.int8
    np.testing.assert_array_less(np.abs(levels * scale - values), np.broadcast_to(scale * 0.51, values.shape))


def test_a_stored_graph_computes_almost_the_same_and_other_tensors_stay(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    weight = random.normal(size=(64, 32, 3, 3)).astype(np.float32)
    table = random.normal(size=(1, 64, 16, 16)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "conv.weight"], ["y"], pads=[1, 1, 1, 1]),
            helper.make_node("Add", ["y", "table"], ["z"]),
        ],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 32, 16, 16])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["B", 64, 16, 16])],
        initializer=[numpy_helper.from_array(weight, "conv.weight"), numpy_helper.from_array(table, "table")],
    )
    path = tmp_path / "small.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    x = random.normal(size=(1, 32, 16, 16)).astype(np.float32)
    before, size = _run(path, x), path.stat().st_size
    store_as_int8(path)
    after = _run(path, x)
    assert 20 * np.log10(before.std() / (after - before).std()) > 35
    assert path.stat().st_size < size - 0.7 * weight.nbytes
    tables = [numpy_helper.to_array(t) for t in onnx.load(str(path)).graph.initializer if t.name == "table"]
    np.testing.assert_array_equal(tables[0], table)
    assert [p.name for p in tmp_path.iterdir()] == ["small.onnx"]


def test_a_linear_layer_has_a_scale_per_output(tmp_path: Path) -> None:
    """With one per input OpenVINO died of a division by zero when it compiled the layer to bfloat16."""
    random = np.random.default_rng(2)
    weight = (random.normal(size=(64, 128)) * np.geomspace(0.01, 1, 128)).astype(np.float32)  # inputs differ
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", 128])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", 64])
    layer = helper.make_node("Gemm", ["x", "linear.weight"], ["y"], transB=1)
    graph = helper.make_graph([layer], "linear", [x], [y], [numpy_helper.from_array(weight, "linear.weight")])
    path = tmp_path / "linear.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), str(path))
    store_as_int8(path)
    scales = [t.dims for t in onnx.load(str(path)).graph.initializer if t.name.endswith(".scale")]
    assert [list(dims) for dims in scales] == [[64, 1]]


def _run(path: Path, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]
