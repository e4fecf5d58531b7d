"""The presenter's parts in graphics memory, and how they follow one frame's pose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import moderngl
import numpy as np
from scipy.ndimage import gaussian_filter

from presenter import assets
from presenter.beard import beard_cover, build_beard, lips_of
from presenter.brows import build_brows
from presenter.eyes import build_lashes, eyeball
from presenter.geometry import (
    Float,
    Int,
    affine,
    compact,
    linear_rgb,
    rigid_fit,
    rotation,
    triangles_of,
    vertex_normals,
)
from presenter.glasses import build_glasses
from presenter.gpu import GpuMesh, GpuStrands, SubdividedMesh
from presenter.hair import grow_hair, seen_from_front
from presenter.hair_light import hair_light
from presenter.head import HEAD, Person
from presenter.lighting import Lamps
from presenter.look import Look
from presenter.mesh import read_mask, sample_mask
from presenter.shirt import build_shirt, collar
from presenter.short_hair import grow_short_hair
from presenter.short_hair import seen_from_front as short_seen
from presenter.skin import paint_skin
from presenter.subdivision import subdivide
from presenter.teeth import build_teeth

TOOTH, GUM, TONGUE = linear_rgb(248, 242, 230), linear_rgb(190, 108, 104), linear_rgb(206, 116, 114)
BODY_LEVELS = 1


@dataclass(frozen=True)
class Pose:
    """Everything that moves in one frame; angles in radians, shift in decimetres."""

    weights_U: Float
    head_pitch_yaw_roll: Float
    shift_3: Float
    gaze_pitch_yaw: Float  # in the head's frame


def neutral_pose(person: Person, weights: Mapping[str, float] | None = None, turn_rad: Float | None = None) -> Pose:
    """The head upright or turned, the gaze on the camera, with the named face-unit weights."""
    turn = np.zeros(3) if turn_rad is None else np.asarray(turn_rad, float)
    return Pose(person.weight_vector(weights or {}), turn, np.zeros(3), -0.9 * turn[:2])


class Body:
    """The visible skin: subdivided, coloured, with the lips' mask."""

    def __init__(self, context: moderngl.Context, programs: Mapping[str, moderngl.Program], person: Person, data: Path):
        self.vertices, quads = compact(person.body_quads_Q4)
        self.matrix, fine_quads = subdivide(len(self.vertices), quads, BODY_LEVELS)
        uv_matrix, uv_quads = subdivide(len(person.uv_2), person.body_uv_quads_Q4, BODY_LEVELS, smooth=False)
        self.triangles: Int = triangles_of(fine_quads)
        # A vertex on a texture seam is drawn once for each texture coordinate.
        corners = np.stack([fine_quads.ravel(), uv_quads.ravel()], 1)
        unique, index = np.unique(corners, axis=0, return_inverse=True)
        self.source: Int = unique[:, 0]
        uv = (uv_matrix @ person.uv_2)[unique[:, 1]]
        rest = (self.matrix @ person.rest_V3[self.vertices])[self.source]
        self.mesh = GpuMesh(
            context,
            programs,
            "skin",
            rest,
            triangles_of(index.reshape(fine_quads.shape)),
            _painted(rest, person, data),
            uv=uv,
            inside_mouth=(sample_mask(read_mask(data, "inside-mouth"), uv) > 0.5).astype(float),
        )
        mask = gaussian_filter(np.asarray(read_mask(data, "lips"), float), 1.6)[::-1].astype(np.uint8)
        self.lip_mask = context.texture(mask.shape[::-1], 1, np.ascontiguousarray(mask).tobytes())
        self.lip_mask.build_mipmaps()
        self.fine_V3 = self.fine_normals_V3 = np.zeros((self.matrix.shape[0], 3))

    def move(self, posed_V3: Float) -> None:
        """Follow the skinned person."""
        self.fine_V3 = self.matrix @ posed_V3[self.vertices]
        self.fine_normals_V3 = vertex_normals(self.fine_V3, self.triangles)
        self.mesh.move(self.fine_V3[self.source], self.fine_normals_V3[self.source])


class Scene:
    """All drawable parts. `rigid` meshes are drawn with `part_matrix` of `matrices`."""

    def __init__(
        self,
        context: moderngl.Context,
        programs: Mapping[str, moderngl.Program],
        person: Person,
        data: Path,
        lamps: Lamps,
    ):
        self.person = person
        self.body = Body(context, programs, person, data)
        self.rigid: dict[str, GpuMesh] = {}
        for name, (vertices, quads) in build_teeth(person).items():
            colour = GUM if "gum" in name else TOOTH
            self.rigid[name] = GpuMesh(context, programs, "plain", vertices, triangles_of(quads), colour)
        tongue_vertices, tongue_quads = compact(person.part_quads["tongue"])
        self._tongue_vertices = tongue_vertices
        rest = person.rest_V3[tongue_vertices]
        self.tongue = SubdividedMesh(context, programs, rest, tongue_quads, TONGUE, 1)
        self._shirt = build_shirt(person)
        tube, tube_quads = collar(self._shirt.rest_V3, self._shirt.rim)
        self.cloth = [
            SubdividedMesh(context, programs, self._shirt.rest_V3, self._shirt.quads_Q4, person.look.cloth, 2),
            SubdividedMesh(context, programs, tube, tube_quads, person.look.cloth, 1),
        ]
        ball, sphere, ball_triangles = eyeball()
        self.eyes: dict[str, GpuMesh] = {}
        for side in ("left", "right"):
            size = person.eye(side)[1] * 0.985
            self.eyes[side] = GpuMesh(context, programs, "eye", ball * size, ball_triangles, np.ones(3), rest_V3=sphere)
        self.hair = _hair(context, programs, person, lamps.position_43)
        if person.look.glasses is not None:
            frame, frame_quads = build_glasses(person)
            frame_triangles = triangles_of(frame_quads)
            self.rigid["glasses"] = GpuMesh(context, programs, "plain", frame, frame_triangles, person.look.glasses)
        self._brows, self._lashes = build_brows(person), build_lashes(person)
        self.brows = _face_hairs(context, programs, self._brows.width_N, seed=2)
        self.lashes = _face_hairs(context, programs, self._lashes.width_N, seed=6)
        self._beard = build_beard(person, data) if person.look.beard is not None else None
        self.beard = None
        if self._beard is not None:
            self.beard = _face_hairs(context, programs, self._beard.width_N, seed=8)
        self.matrices: dict[str, Float] = {}
        self.mouth_open_dm = 0.0
        self.move(neutral_pose(person))

    def move(self, pose: Pose) -> None:
        """Bring all parts to a pose."""
        person = self.person
        face = person.expression(pose.weights_U)
        motions = person.motions(pose.head_pitch_yaw_roll, pose.shift_3)
        posed, head = person.posed(face, motions), motions[HEAD]
        self.body.move(posed)
        self.tongue.move(posed[self._tongue_vertices])
        cloth = self._shirt.posed(person, motions)
        self.cloth[0].move(cloth)
        self.cloth[1].move(collar(cloth, self._shirt.rim)[0])
        self.brows.move(_to_head(self._brows.points(face), head))
        self.lashes.move(self._lashes.points(posed))
        if self.beard is not None and self._beard is not None:
            self.beard.move(_to_head(self._beard.points(face), head))
        lower = person.part("lower_teeth")
        jaw = head @ rigid_fit(person.rest_V3[lower], face[lower])
        self.matrices = {name: jaw if name.startswith("lower") else head for name in self.rigid} | {"head": head}
        turn = rotation(float(pose.gaze_pitch_yaw[0]), float(pose.gaze_pitch_yaw[1]), 0.0)
        for side in self.eyes:
            self.matrices[side] = head @ affine(turn, person.eye(side)[0])
        gap = face[person.landmarks["lip_inner_upper"], 1] - face[person.landmarks["lip_inner_lower"], 1]
        self.mouth_open_dm = float(max(gap, 0.0))

    def to_eye_space(self, side: str) -> Float:
        """World -> the resting eyeball, its radius 1, for shading that belongs to the lids."""
        centre, radius = self.person.eye(side)
        scale = np.diag([1 / radius] * 3 + [1])
        return np.asarray(scale @ affine(np.eye(3), -centre) @ np.linalg.inv(self.matrices["head"]))


def _painted(rest: Float, person: Person, data: Path) -> Float:
    colour = paint_skin(rest, person.eye("left")[0], person.look)
    if person.look.beard is None:
        return colour
    amount = (person.look.beard.tint * beard_cover(rest, person, lips_of(person, data)))[:, None]
    return np.asarray(colour * (1 - amount) + beard_colour(person.look) * amount)


def beard_colour(look: Look) -> Float:
    """Linear RGB of the beard's hairs."""
    return look.hair if look.beard_hair is None else look.beard_hair


def _to_head(points: Float, head_44: Float) -> Float:
    return np.asarray(points @ head_44[:3, :3].T + head_44[:3, 3])


def _hair(
    context: moderngl.Context, programs: Mapping[str, moderngl.Program], person: Person, lamps_43: Float
) -> GpuStrands | None:
    """The hair and its light, from the cache when their code and shape have not changed."""

    if person.look.style == "bald":
        return None
    short = person.look.style == "short"
    grow, is_seen = (grow_short_hair, short_seen) if short else (grow_hair, seen_from_front)

    def build() -> dict[str, np.ndarray]:
        points, widths = grow(person)
        lamps, ambient = hair_light(points, widths, lamps_43)
        found = {"points": points, "widths": widths, "lamps": lamps, "ambient": ambient}
        seen = is_seen(points)
        return {name: array[seen].astype("f4") for name, array in found.items()}

    modules = ("hair.py", "short_hair.py", "hair_light.py", "head.py", "looks.py", "portraits.py", "geometry.py")
    key = assets.source_key(*modules, lamps=lamps_43.tolist(), look=person.look.name)
    stored = assets.cached("hair", key, build)
    count = len(stored["points"])
    strands = GpuStrands(
        context,
        programs,
        stored["widths"],
        np.random.default_rng(3).random(count),
        lamps_NKL=stored["lamps"],
        ambient_NK=stored["ambient"],
    )
    strands.move(stored["points"])
    return strands


def _face_hairs(
    context: moderngl.Context, programs: Mapping[str, moderngl.Program], width_N: Float, seed: int
) -> GpuStrands:
    """Brows or lashes: tapering, fading hairs of five points."""
    taper, fade = np.array([0.8, 1, 0.95, 0.7, 0.25]), np.array([0.55, 1, 1, 0.85, 0.3])
    random = np.random.default_rng(seed).random(len(width_N))
    opacity = np.tile(fade, (len(width_N), 1))
    return GpuStrands(context, programs, width_N[:, None] * taper, random, opacity_NK=opacity)
