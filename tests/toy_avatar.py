"""A tiny but complete avatar for tests: real graphs of the agreed names and shapes, a real template.

The networks are hand-made ONNX with fixed random weights, so that every part of the picture, the references and
the sound changes what is drawn; what they draw means nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from config import Models
from recipe.avatar_format import FEATURES, MANIFEST_FILE, seal_avatar, seal_of
from recipe.colour import decode_rgb, encode_rgb
from recipe.crop import crop_face
from recipe.mask_328 import alpha_bounds, hidden_mask
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, FPS, PATCH_TOP_PX, recipe
from services.avatars.loaded import LoadedAvatar
from services.container import Services, build_services

NAME = "toy"
FRAMES = 60
SIZE = 256
_WIDTHS = (4, 4, 8, 8, 8)
_EMBEDDING = 8
_ROWS = (96, 48, 24, 12, 6)


class _Graph:
    """Collects nodes and weights of an ONNX graph."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int, std: float = 0.0) -> str:
        std = std or float(1.5 / np.sqrt(np.prod(shape[1:])))
        return self.constant(self.random.normal(0, std, shape).astype(np.float32))

    def node(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def conv(self, x: str, channels_in: int, channels_out: int, stride: int = 1) -> str:
        weight = self.weight(channels_out, channels_in, 3, 3)
        return self.node("Relu", self.node("Conv", x, weight, pads=[1, 1, 1, 1], strides=[stride, stride]))

    def picture(self, name: str) -> str:
        """uint8 BHWC -> float BCHW in [0, 1]."""
        x = self.node("Cast", name, to=TensorProto.FLOAT)
        scaled = self.node("Mul", x, self.constant(np.float32(1 / 255)))
        return self.node("Transpose", scaled, perm=[0, 3, 1, 2])

    def save(self, path: Path, inputs: Sequence[tuple[str, int, Sequence[Any]]], outputs: Sequence[Any]) -> None:
        infos = [[helper.make_tensor_value_info(*value) for value in values] for values in (inputs, outputs)]
        graph = helper.make_graph(self.nodes, path.stem, *infos, initializer=self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))


def _feature_infos() -> list[tuple[str, int, list[Any]]]:
    return [
        (name, TensorProto.FLOAT16, ["B", width, rows, rows * 5 // 3])
        for name, width, rows in zip(FEATURES, _WIDTHS, _ROWS, strict=True)
    ]


def write_audio_encoder(path: Path, window: int = AUDIO_WINDOW_SAMPLES) -> None:
    graph = _Graph(1)
    heard = graph.node("Tanh", graph.node("MatMul", "pcm_BS", graph.weight(window, _EMBEDDING, std=0.3)))
    gate = graph.node("Unsqueeze", "gate_B", graph.constant(np.array([1])))
    silence = graph.weight(1, _EMBEDDING, std=0.5)
    rest = graph.node("Mul", graph.node("Sub", graph.constant(np.float32(1)), gate), silence)
    graph.node("Add", graph.node("Mul", gate, heard), rest, output="embedding_BD")
    graph.save(
        path,
        [("pcm_BS", TensorProto.FLOAT, ["B", window]), ("gate_B", TensorProto.FLOAT, ["B"])],
        [("embedding_BD", TensorProto.FLOAT, ["B", _EMBEDDING])],
    )


def write_unet_encoder(path: Path) -> None:
    graph = _Graph(2)
    visible = graph.constant(1 - hidden_mask()[None, None])
    target = graph.node("Mul", graph.picture("target_BHWC"), visible)
    x = graph.node("Concat", target, graph.picture("references_BHWC"), axis=1)
    channels = 12
    for name, width, rows in zip(FEATURES, _WIDTHS, _ROWS, strict=True):
        x, channels = graph.conv(x, channels, width, stride=2), width
        top, end = np.array([rows * 2 // 3]), np.array([rows * 5 // 3])
        lower = graph.node("Slice", x, *map(graph.constant, (top, end, np.array([2]))))
        graph.node("Cast", lower, to=TensorProto.FLOAT16, output=name)
    pictures = [("target_BHWC", TensorProto.UINT8, ["B", 320, 320, 3])]
    pictures += [("references_BHWC", TensorProto.UINT8, ["B", 320, 320, 9])]
    graph.save(path, pictures, _feature_infos())


def write_unet_decoder(path: Path) -> None:
    graph = _Graph(3)
    bias = graph.node("MatMul", "embedding_BD", graph.weight(_EMBEDDING, _WIDTHS[-1], std=1.0))
    features = [graph.node("Cast", name, to=TensorProto.FLOAT) for name in FEATURES]
    x = graph.node("Add", features[-1], graph.node("Unsqueeze", bias, graph.constant(np.array([2, 3]))))
    for i in range(len(_WIDTHS) - 1, 0, -1):
        scales = graph.constant(np.array([1, 1, 2, 2], np.float32))
        x = graph.node("Resize", graph.conv(x, _WIDTHS[i], _WIDTHS[i - 1]), "", scales, mode="nearest")
        x = graph.node("Add", x, features[i - 1])
    x = graph.node("Conv", x, graph.weight(16, _WIDTHS[0], 3, 3), pads=[1, 1, 1, 1])
    drawn = graph.node("Sigmoid", graph.node("DepthToSpace", x, blocksize=2))
    low, high = (np.repeat(a[None, None, PATCH_TOP_PX:], 4, axis=1) for a in alpha_bounds())
    low[:, :3], high[:, :3] = 0, 1
    bounded = graph.node("Mul", drawn, graph.constant(high - low))
    bounded = graph.node("Add", bounded, graph.constant(low))
    levels = graph.node("Round", graph.node("Mul", bounded, graph.constant(np.float32(255))))
    rows_last = graph.node("Transpose", levels, perm=[0, 2, 3, 1])
    graph.node("Cast", rows_last, to=TensorProto.UINT8, output="patch_BHWC")
    embedding = ("embedding_BD", TensorProto.FLOAT, ["B", _EMBEDDING])
    graph.save(path, [*_feature_infos(), embedding], [("patch_BHWC", TensorProto.UINT8, ["B", 192, 320, 4])])


def write_template(path: Path, pictures: list[np.ndarray], gop: int = FPS) -> None:
    """H.264 in closed groups without B-frames, as a dataset's frames.mp4 is."""
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "14", "preset": "ultrafast", "bf": "0", "g": str(gop), "sc_threshold": "0"}
        for index, picture in enumerate(pictures):
            frame = encode_rgb(picture)
            frame.pts = index
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def presenter_pictures(video: Path, frames: int) -> list[np.ndarray]:
    with av.open(str(video)) as container:
        pictures = [decode_rgb(frame) for frame in islice(container.decode(video=0), frames)]
    return [cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_AREA) for picture in pictures]


def toy_affines(frames: int) -> np.ndarray:
    """A crop that turns and drifts by fractions of a pixel around the presenter's face."""
    t = np.arange(frames)
    turn = 1.7 * np.exp(0.03j * np.sin(t / 9))
    centre = (128 + 2 * np.sin(t / 7)) + 1j * (128.3 + np.cos(t / 5))
    shift = (164 + 164j) - turn * centre
    rows = [[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]]
    return np.moveaxis(np.array(rows, np.float32), (0, 1), (1, 2)).astype(np.float32)


def build_toy_avatar(folder: Path, video: Path, **facts: Any) -> Path:
    """Write a valid avatar.

    Args:
        folder: its folder; the name is the avatar's.
        video: tests/data/presenter.mp4.
        facts: fields of avatar.json that shall differ.
    """
    folder.mkdir(parents=True)
    pictures = presenter_pictures(video, FRAMES)
    write_template(folder / "frames.mp4", pictures)
    affine_T23 = toy_affines(FRAMES)
    t = np.arange(FRAMES)
    track = {
        "affine_T23": affine_T23,
        "opening_T": np.zeros(FRAMES, np.float32),
        "pose_T3": np.zeros((FRAMES, 3), np.float32),
        "motion_T": (1 + np.cos(t / 3)).astype(np.float32),
        "references_3HWC": np.stack([crop_face(pictures[i], affine_T23[i]) for i in (0, 20, 40)]),
    }
    np.savez(folder / "track.npz", **track)
    cv2.imwrite(str(folder / "poster.jpg"), pictures[0][..., ::-1])
    write_audio_encoder(folder / "audio_encoder.onnx")
    write_unet_encoder(folder / "unet_encoder.onnx")
    write_unet_decoder(folder / "unet_decoder.onnx")
    seal_avatar(folder, {**toy_facts(folder.name), **facts})
    return folder


def toy_facts(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "recipe": recipe(),
        "versions": {"avatar328": "test"},
        "consent": None,
        "synthetic": True,
        "source_sha256": "ab" * 32,
        "licence": "CC0-1.0",
        "frames": FRAMES,
        "width": SIZE,
        "height": SIZE,
        "metrics": {"generated.psnr_mouth_db": 31.5, "generated.opening_r": 0.87},
        "onnx_max_abs_error": {"unet_decoder": 0.0},
        "template": {"source_start": 0, "source_stop": FRAMES},
    }


@pytest.fixture(scope="module")
def toy_avatars(tmp_path_factory: pytest.TempPathFactory, presenter_video: Path) -> Path:
    """An avatars folder that holds one toy avatar; tests that damage it copy it first."""
    avatars_dir = tmp_path_factory.mktemp("avatars")
    build_toy_avatar(avatars_dir / NAME, presenter_video)
    return avatars_dir


@pytest.fixture(scope="module")
def toy_services(toy_avatars: Path) -> Services:
    return build_services(Models(avatars_dir=toy_avatars, device="cpu", threads=1, runtime="onnxruntime"))


@pytest.fixture(scope="module")
def toy_model(toy_services: Services) -> LoadedAvatar:
    return toy_services.models.open(NAME)


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change avatar.json as somebody would who knows how it is sealed."""
    path = folder / MANIFEST_FILE
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps({**document, "seal": seal_of(document)}))
