"""What may be asked to compute, by name: the vocabulary of settings and command lines."""

from __future__ import annotations

from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
RuntimeName = Literal["auto", "onnxruntime", "openvino-int8", "openvino-bf16", "openvino-f32", "cuda-fp16", "tensorrt"]
