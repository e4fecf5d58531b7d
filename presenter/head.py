"""A person: the shape at rest, how the face moves, and how neck and head turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from presenter.face_units import lower_lip_unit, read_face_units, tongue_units
from presenter.geometry import Float, Int, affine, rotation, smoothstep
from presenter.look import Look
from presenter.looks import WOMAN
from presenter.mesh import BaseMesh, Rig, read_base_mesh, read_rig, read_shape_target

BONES = ("neck01", "neck02", "neck03", "head")  # the torso stays
HEAD = len(BONES)  # row of the head in skin weights and motions; 0 is the torso
BEND = (0.22, 0.22, 0.20, 0.36)  # each bone's share of a turn of the head
HELPERS = {
    "upper_teeth": "helper-upper-teeth",
    "lower_teeth": "helper-lower-teeth",
    "tongue": "helper-tongue",
    "left_eye": "helper-l-eye",
    "right_eye": "helper-r-eye",
    "left_lower_lashes": "helper-l-eyelashes-1",
    "left_upper_lashes": "helper-l-eyelashes-2",
    "right_lower_lashes": "helper-r-eyelashes-1",
    "right_upper_lashes": "helper-r-eyelashes-2",
}
RIGID_HELPERS = ("upper_teeth", "lower_teeth", "tongue", "left_eye", "right_eye")
# Vertices of MakeHuman's base mesh on the mid-line of the lips.
# Inner: the lowest point of the upper lip and the highest of the lower one; outer: the edge of the red.
LIP_LANDMARKS = {"lip_inner_upper": 520, "lip_inner_lower": 523, "lip_outer_upper": 455, "lip_outer_lower": 492}


@dataclass(frozen=True)
class Person:
    """Geometry of the presenter, reduced to what the camera can see; vertices are numbered 0..V."""

    rest_V3: Float
    body_quads_Q4: Int
    uv_2: Float
    body_uv_quads_Q4: Int
    part_quads: dict[str, Int]  # by the names of HELPERS
    skin_weights_5V: Float  # torso, then BONES
    joints_43: Float
    unit_names: tuple[str, ...]
    units_UV3: Float
    landmarks: dict[str, int]
    look: Look

    def part(self, name: str) -> Int:
        """The vertices of a helper part."""
        return np.unique(self.part_quads[name])

    def weight_vector(self, weights: Mapping[str, float]) -> Float:
        """Named weights as a vector over `unit_names`; an unknown name is an error (KeyError)."""
        index = {name: i for i, name in enumerate(self.unit_names)}
        vector = np.zeros(len(index))
        for name, weight in weights.items():
            vector[index[name]] = weight
        return vector

    def expression(self, weights_U: Float) -> Float:
        """The face before the head turns, (V, 3) decimetres."""
        active = np.flatnonzero(np.abs(weights_U) > 1e-6)
        return np.asarray(self.rest_V3 + np.tensordot(weights_U[active], self.units_UV3[active], 1))

    def motions(self, head_pitch_yaw_roll: Float, shift_3: Float) -> Float:
        """4x4 motions (5, 4, 4) of torso and bones for a turn of the head (radians) and a shift (decimetres)."""
        motion = affine(np.eye(3), shift_3)
        motions = [motion]
        for joint, share in zip(self.joints_43, BEND, strict=True):
            turn = rotation(*(share * head_pitch_yaw_roll))
            motion = motion @ affine(turn, joint - turn @ joint)
            motions.append(motion)
        return np.array(motions)

    def posed(self, points: Float, motions_544: Float, vertices: Int | None = None) -> Float:
        """Skin points with the weights of their vertices (default: one point a vertex)."""
        weights = self.skin_weights_5V if vertices is None else self.skin_weights_5V[:, vertices]
        moved = np.einsum("vc,brc->bvr", points, motions_544[:, :3, :3]) + motions_544[:, None, :3, 3]
        return np.asarray(np.einsum("bv,bvr->vr", weights, moved))

    def eye(self, side: str) -> tuple[Float, float]:
        """Centre and radius of the `left` or `right` eyeball: a sphere fitted to its helper."""
        points = self.rest_V3[self.part(f"{side}_eye")]
        solution = np.linalg.lstsq(np.c_[2 * points, np.ones(len(points))], (points**2).sum(1), rcond=None)[0]
        return solution[:3], float(np.sqrt(solution[3] + (solution[:3] ** 2).sum()))


def load_person(data: Path, look: Look = WOMAN) -> Person:
    """Build a person from the asset files."""
    mesh, rig = read_base_mesh(data), read_rig(data)
    vertices = _shape(data, mesh, rig, look)
    joints = np.array([rig.joint(bone, mesh, vertices) for bone in BONES])
    skin = _skin_weights(mesh, rig, vertices)
    seen = (mesh.groups_Q == "body") & (vertices[mesh.quads_Q4, 1].min(1) > 3.2)
    seen &= np.abs(vertices[mesh.quads_Q4, 0]).max(1) < 3.1
    body, parts = mesh.quads_Q4[seen], {name: mesh.quads_of(group) for name, group in HELPERS.items()}
    used = np.unique(np.concatenate([body, *parts.values()]))
    renumber = np.full(len(vertices), -1)
    renumber[used] = np.arange(len(used))
    rest = vertices[used]
    parts = {name: renumber[quads] for name, quads in parts.items()}
    units = {name: look.size * unit[used] for name, unit in read_face_units(data, len(vertices)).items()}
    units |= tongue_units(rest, np.unique(parts["tongue"]))
    landmarks = {name: int(renumber[vertex]) for name, vertex in LIP_LANDMARKS.items()}
    units["lowerLipIn"] = lower_lip_unit(rest, units["jawOpen"], rest[landmarks["lip_inner_lower"]])
    uv_used, uv_quads = np.unique(mesh.uv_quads_Q4[seen], return_inverse=True)
    return Person(
        rest_V3=rest,
        body_quads_Q4=renumber[body],
        uv_2=mesh.uv_2[uv_used],
        body_uv_quads_Q4=uv_quads.reshape(-1, 4),
        part_quads=parts,
        skin_weights_5V=skin[:, used],
        joints_43=joints,
        unit_names=tuple(units),
        units_UV3=np.stack(list(units.values())),
        landmarks=landmarks,
        look=look,
    )


def _shape(data: Path, mesh: BaseMesh, rig: Rig, look: Look) -> Float:
    """The base mesh in the person's shape, arms lowered, shoulders a little narrower."""
    vertices = mesh.vertices_V3.copy()
    for name, weight in look.shape.items():
        vertices += weight * read_shape_target(data, name, len(vertices))
    if look.eyes_at is not None:
        vertices *= look.size
        eyes = [mesh.vertices_of(HELPERS[name]) for name in ("left_eye", "right_eye")]
        height, depth = np.mean([vertices[eye, 1:].mean(0) for eye in eyes], axis=0)
        vertices += [0, look.eyes_at[0] - height, look.eyes_at[1] - depth]
    everything = np.maximum(rig.weight_below("", len(vertices)), 1e-6)
    for bone, angle_deg in (("clavicle", 5.5), ("shoulder01", 6.0), ("upperarm01", 20.0)):
        for side, sign in ((".L", -1), (".R", 1)):
            share = (rig.weight_below(bone + side, len(vertices)) / everything)[:, None]
            joint = rig.joint(bone + side, mesh, vertices)
            turn = rotation(0, 0, sign * np.radians(angle_deg))
            vertices += share * ((vertices - joint) @ turn.T + joint - vertices)
    vertices[:, 0] *= 1 - 0.11 * smoothstep(5.25, 4.5, vertices[:, 1])
    vertices[mesh.vertices_of(HELPERS["tongue"]), 0] *= 0.86  # the lower teeth show beside it
    return vertices


def _skin_weights(mesh: BaseMesh, rig: Rig, vertices_V3: Float) -> Float:
    """Weights (5, V) of torso and BONES; bones further up count for the nearest of BONES below them."""
    count = len(vertices_V3)
    weights = np.zeros((HEAD + 1, count))
    for name, pairs in rig.weights.items():
        lineage = rig.lineage(name)
        row = max((i + 1 for i, bone in enumerate(BONES) if bone in lineage), default=0)
        if pairs:
            vertex, weight = np.array(pairs).T
            np.add.at(weights[row], vertex.astype(int), weight)
    total = weights.sum(0)
    free = total < 1e-6
    weights[:, ~free] /= total[~free]
    weights[HEAD, free & (vertices_V3[:, 1] > 5.3)] = 1
    weights[0, free & (vertices_V3[:, 1] <= 5.3)] = 1
    for name in RIGID_HELPERS:
        part = mesh.vertices_of(HELPERS[name])
        weights[:, part], weights[HEAD, part] = 0, 1
    return weights
