"""Readers for MakeHuman's files: base mesh, morph targets, skeleton weights, texture masks."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from presenter.geometry import Float, Int


@dataclass(frozen=True)
class BaseMesh:
    """MakeHuman's base mesh with its helper shapes (teeth, tongue, eyes, lashes, joints); quads only."""

    vertices_V3: Float
    uv_2: Float
    quads_Q4: Int
    uv_quads_Q4: Int
    groups_Q: np.ndarray  # name of the group each quad belongs to

    def quads_of(self, group: str) -> Int:
        """The quads of one group."""
        return np.asarray(self.quads_Q4[self.groups_Q == group])

    def vertices_of(self, group: str) -> Int:
        """The vertices of one group, sorted."""
        return np.unique(self.quads_of(group))


def read_base_mesh(data: Path) -> BaseMesh:
    """Read `base.obj`."""
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    quads: list[list[list[int]]] = []
    groups: list[str] = []
    group = ""
    with (data / "mpfb2/3dobjs/base.obj").open() as lines:
        for line in lines:
            kind, *fields = line.split() or [""]
            if kind == "v":
                vertices.append([float(x) for x in fields[:3]])
            elif kind == "vt":
                uv.append([float(x) for x in fields[:2]])
            elif kind == "g":
                group = fields[0]
            elif kind == "f":
                quads.append([[int(x) - 1 for x in corner.split("/")[:2]] for corner in fields])
                groups.append(group)
    corners = np.array(quads)
    return BaseMesh(np.array(vertices), np.array(uv), corners[..., 0], corners[..., 1], np.array(groups))


def read_target(path: Path, vertex_count: int) -> Float:
    """Read a morph target: one line `vertex dx dy dz` per moved vertex. Returns (vertex_count, 3)."""
    moved = np.zeros((vertex_count, 3))
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for line in lines:
            if line.strip() and not line.startswith("#"):
                vertex, *offset = line.split()
                moved[int(vertex)] = [float(x) for x in offset[:3]]
    return moved


def read_shape_target(data: Path, name: str, vertex_count: int) -> Float:
    """Read one of the body-shape targets, such as `nose/nose-volume-decr`."""
    return read_target(data / f"mpfb2/targets/{name}.target.gz", vertex_count)


@dataclass(frozen=True)
class Rig:
    """MakeHuman's default skeleton: bones with parents, and skin weights."""

    bones: dict[str, Any]
    weights: dict[str, list[list[float]]]

    def lineage(self, bone: str | None) -> list[str]:
        """The bone and its ancestors, child first."""
        found: list[str] = []
        while bone and bone in self.bones:
            found.append(bone)
            bone = self.bones[bone].get("parent")
        return found

    def weight_below(self, bone: str, vertex_count: int) -> Float:
        """Per vertex the summed skin weight of a bone and all bones that hang on it ("" for all bones)."""
        total = np.zeros(vertex_count)
        for name, pairs in self.weights.items():
            if pairs and (not bone or bone in self.lineage(name)):
                vertex, weight = np.array(pairs).T
                np.add.at(total, vertex.astype(int), weight)
        return total

    def joint(self, bone: str, mesh: BaseMesh, vertices_V3: Float) -> Float:
        """Where a bone starts, in the given shape."""
        head = self.bones[bone]["head"]
        if head["strategy"] == "CUBE":
            return np.asarray(vertices_V3[mesh.vertices_of(head["cube_name"])].mean(0))
        return np.asarray(vertices_V3[np.atleast_1d(head.get("vertex_indices", head.get("vertex_index")))].mean(0))


def read_rig(data: Path) -> Rig:
    """Read the default skeleton and its weights."""
    folder = data / "mpfb2/rigs/standard"
    bones = json.loads((folder / "rig.default.json").read_text())
    weights = json.loads((folder / "weights.default.json").read_text())["weights"]
    return Rig(bones.get("bones", bones), weights)


def read_mask(data: Path, name: str) -> Image.Image:
    """A grey texture-space mask: `lips`, `inside-mouth`, ..."""
    return Image.open(data / f"mpfb2/textures/mpfb_{name}.jpg").convert("L")


def sample_mask(mask: Image.Image, uv_2: Float) -> Float:
    """Value in [0, 1] of a mask at texture coordinates (v up)."""
    grey = np.asarray(mask, float) / 255
    height, width = grey.shape
    column = np.clip((uv_2[:, 0] * (width - 1)).astype(int), 0, width - 1)
    row = np.clip(((1 - uv_2[:, 1]) * (height - 1)).astype(int), 0, height - 1)
    return np.asarray(grey[row, column])
