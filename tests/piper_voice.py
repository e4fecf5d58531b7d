"""A tiny valid Piper voice for tests: it hums, and how long depends on the number of phonemes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

_SAMPLES_PER_ID = 400
RATE_HZ = 22_050


def write_piper_voice(folder: Path, name: str = "en_US-toy-low", rate_hz: int = RATE_HZ, gain: float = 0.4) -> Path:
    """Write NAME.onnx and NAME.onnx.json; returns the former. Sample i of the voice is gain * sin(i / 20)."""
    from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

    folder.mkdir(parents=True, exist_ok=True)

    def constant(label: str, value: np.ndarray) -> onnx.TensorProto:
        return numpy_helper.from_array(value, label)

    weights = [
        constant("per_id", np.array(_SAMPLES_PER_ID, np.float32)),
        constant("one", np.array(1, np.float32)),
        constant("zero", np.array(0, np.float32)),
        constant("pace", np.array(1 / 20, np.float32)),
        constant("gain", np.array(gain, np.float32)),
        constant("index", np.array([1])),
        constant("flat", np.array([], np.int64)),
        constant("axes", np.array([0, 1])),
    ]
    nodes = [
        helper.make_node("Gather", ["scales", "index"], ["length_1"]),
        helper.make_node("Reshape", ["length_1", "flat"], ["length"]),
        helper.make_node("Cast", ["input_lengths"], ["ids_1"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["ids_1"], ["ids"], keepdims=0),
        helper.make_node("Mul", ["ids", "per_id"], ["natural"]),
        helper.make_node("Mul", ["natural", "length"], ["samples"]),
        helper.make_node("Range", ["zero", "samples", "one"], ["t"]),
        helper.make_node("Mul", ["t", "pace"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["wave"]),
        helper.make_node("Mul", ["wave", "gain"], ["loud"]),
        helper.make_node("Unsqueeze", ["loud", "axes"], ["output"]),
    ]
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, ["b", "n"]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, ["b"]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    outputs = [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["b", "c", "t"])]
    graph = helper.make_graph(nodes, "voice", inputs, outputs, initializer=weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / f"{name}.onnx"
    onnx.save(model, str(path))
    facts = {
        "audio": {"sample_rate": rate_hz},
        "espeak": {"voice": "en-us"},
        "num_symbols": 256,
        "num_speakers": 1,
        "phoneme_id_map": DEFAULT_PHONEME_ID_MAP,
    }
    Path(f"{path}.json").write_text(json.dumps(facts), encoding="utf-8")
    return path
