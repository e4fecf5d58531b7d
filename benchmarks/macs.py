"""Multiply-accumulates of an ONNX graph, from its shapes."""

from __future__ import annotations

import math
from pathlib import Path

import onnx


def count_gmac(path: Path) -> float:
    """Convolutions and matrix products of one row, in billions.

    Raises:
        ValueError: the shape of one of them cannot be inferred.
    """
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        sizes = tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        if all(sizes):
            shapes[value.name] = sizes
    return sum(_macs(node, shapes, path) for node in graph.node) / 1e9


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]], path: Path) -> int:
    if node.op_type not in {"Conv", "ConvTranspose", "Gemm", "MatMul"}:
        return 0
    try:
        first, weight, result = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    except KeyError as error:
        raise ValueError(f"{path.name}: the shape of {error} at a {node.op_type} cannot be inferred") from error
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(first) * math.prod(weight[1:])
    return math.prod(result) * first[-1]
