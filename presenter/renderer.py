"""Draws one pose to one picture, on a GPU or in software, and bakes the ambient occlusion once."""

from __future__ import annotations

from pathlib import Path

import moderngl
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from presenter import assets
from presenter.geometry import Float, affine, look_at
from presenter.gpu import create_context, create_programs, set_uniforms
from presenter.head import Person
from presenter.lighting import (
    BACKDROP_SHADE,
    CAMERA,
    EXPOSURE,
    FOCAL,
    LAMP_RADIUS_4,
    SHADOW_FIELD_RAD,
    SHADOW_NEAR_FAR,
    Camera,
    lamps_of,
    noise_volume,
    sphere_directions,
)
from presenter.scene import BODY_LEVELS, Pose, Scene, beard_colour, neutral_pose

SHADOW_PX = 1024
LASH_COLOUR = np.array([0.012, 0.008, 0.006])
IRIS = np.array([[0.026, 0.013, 0.008], [0.135, 0.066, 0.032], [0.165, 0.085, 0.040]])  # dark, bright, inner
MOUTH_COLOUR = np.array([0.34, 0.085, 0.075])
SUPERSAMPLING = 2


class Renderer:
    """Holds the scene; `render` is deterministic for one driver.

    Args:
        size_px: width and height of the picture.
        samples: multi-samples besides 2 x 2 super-sampling: 4, or 0 for half the time and rougher hair.
    """

    def __init__(self, person: Person, data: Path, size_px: int = 512, samples: int = 4) -> None:
        self.person, self.camera = person, Camera(size_px)
        self._lamps = lamps_of(person.look.light)
        self._context = context = create_context()
        self.device = str(context.info["GL_RENDERER"])
        self._programs = create_programs(context)
        self.scene = Scene(context, self._programs, person, data, self._lamps)
        inner = (size_px * SUPERSAMPLING,) * 2
        self._picture = context.texture(inner, 4, dtype="f2")
        self._resolved = context.framebuffer([self._picture], context.depth_renderbuffer(inner))
        self._target = self._resolved
        if samples:
            layers = context.renderbuffer(inner, 4, samples=samples, dtype="f2")
            self._target = context.framebuffer([layers], context.depth_renderbuffer(inner, samples=samples))
        self._output = context.framebuffer([context.texture((size_px, size_px), 4)])
        self._shadow_maps = [context.depth_texture((SHADOW_PX, SHADOW_PX)) for _ in range(3)]
        for shadow_map in self._shadow_maps:
            shadow_map.compare_func = ""
        self._shadow_targets = [context.framebuffer(depth_attachment=m) for m in self._shadow_maps]
        noise = noise_volume()
        self._noise = context.texture3d(noise.shape[:3], 4, noise.tobytes(), dtype="f2")
        self._noise.build_mipmaps()
        self._noise.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        self._screen = {n: context.vertex_array(self._programs[n], []) for n in ("backdrop", "resolve")}
        # Without multi-samples a thinner ribbon misses pixels and breaks up.
        self._hair_width = (0.42 if samples else 0.55) / (FOCAL * size_px * SUPERSAMPLING / 2)
        for program in self._programs.values():
            set_uniforms(program, self._constants())
        self._bake_open_sky()

    def _constants(self) -> dict[str, object]:
        look, iris = self.person.look, IRIS
        if look.iris is not None:
            iris = np.array([look.iris * 0.25, look.iris, look.iris * 0.8 + IRIS[2] * 0.5])
        backdrop = look.backdrop * 0.85
        return {
            "view_projection": self.camera.view_projection,
            "camera": CAMERA,
            "lamp_position": self._lamps.position_43,
            "lamp_colour": self._lamps.colour_43,
            "lamp_radius": LAMP_RADIUS_4,
            "shadow_matrix": np.array(self._lamps.shadow_matrices()),
            "shadow_map": (0, 1, 2),
            "shadow_near_far": np.array(SHADOW_NEAR_FAR),
            "shadow_focal": float(1 / np.tan(SHADOW_FIELD_RAD / 2)),
            "noise": 3,
            "lip_mask": 4,
            "picture": 5,
            "supersampling": SUPERSAMPLING,
            "ambient": self._lamps.ambient_3,
            "exposure": EXPOSURE,
            "lip_colour": look.skin.lip,
            "mouth_colour": MOUTH_COLOUR,
            "blush": look.skin.blush,
            "pores": float(look.pores),
            "iris_dark": iris[0],
            "iris_bright": iris[1],
            "iris_inner": iris[2],
            "backdrop_light": backdrop,
            "backdrop_dark": backdrop * BACKDROP_SHADE,
        }

    def render(self, pose: Pose) -> NDArray[np.uint8]:
        """One picture, uint8 RGB (H, W, 3)."""
        self.scene.move(pose)
        matrices, places = self._lamps.shadow_matrices(), self._lamps.position_43[:3]
        for matrix, target, place in zip(matrices, self._shadow_targets, places, strict=True):
            self._draw_depth(target, matrix, place)
        self._target.use()
        self._target.clear()
        for unit, shadow_map in enumerate(self._shadow_maps):
            shadow_map.use(unit)
        self._noise.use(3)
        self.scene.body.lip_mask.use(4)
        for program in self._programs.values():
            set_uniforms(program, {"view_projection": self.camera.view_projection, "part_matrix": np.eye(4)})
            set_uniforms(program, {"mouth_open": self.scene.mouth_open_dm})
        self._context.disable(moderngl.DEPTH_TEST)
        self._screen["backdrop"].render(moderngl.TRIANGLES, 3)
        self._context.enable(moderngl.DEPTH_TEST)
        self._context.enable(moderngl.CULL_FACE)  # the far side of the body is never seen
        self.scene.body.mesh.draw()
        self._context.disable(moderngl.CULL_FACE)
        self._draw_parts()
        self._draw_strands()
        return self._read()

    def _draw_parts(self) -> None:
        plain, eye = self._programs["plain"], self._programs["eye"]
        for soft, material in [(self.scene.tongue, 1), *((cloth, 2) for cloth in self.scene.cloth)]:
            set_uniforms(plain, {"material": material})
            soft.mesh.draw()
        for name, mesh in self.scene.rigid.items():
            material = 2 if name == "glasses" else int("gum" in name)
            set_uniforms(plain, {"material": material, "part_matrix": self.scene.matrices[name]})
            mesh.draw()
        for side, mesh in self.scene.eyes.items():
            matrices = {"part_matrix": self.scene.matrices[side], "to_eye_space": self.scene.to_eye_space(side)}
            set_uniforms(eye, matrices)
            mesh.draw()

    def _draw_strands(self) -> None:
        """Hair first; brows and lashes are blended over the skin behind them, none of them hiding another."""
        program, head, look = self._programs["strand"], self.scene.matrices["head"], self.person.look
        self._context.enable(moderngl.BLEND)
        for strands, matrix, colour, shading, width in (
            (self.scene.hair, head, look.hair, 0, 1.0),
            (self.scene.beard, np.eye(4), beard_colour(look), 1, 0.8),
            (self.scene.brows, np.eye(4), look.brow, 1, 0.7),
            (self.scene.lashes, np.eye(4), LASH_COLOUR, 1, 0.6),
        ):
            if strands is None:
                continue
            set_uniforms(
                program,
                {
                    "part_matrix": matrix,
                    "hair_colour": colour,
                    "shading": shading,
                    "viewer": CAMERA,
                    "least_width": self._hair_width * width,
                    "width_scale": 1.0,
                    "points_per_strand": strands.points_per_strand,
                },
            )
            self._target.depth_mask = strands is self.scene.hair
            strands.draw()
        self._target.depth_mask = True
        self._context.disable(moderngl.BLEND)

    def _read(self) -> NDArray[np.uint8]:
        if self._target is not self._resolved:
            self._context.copy_framebuffer(self._resolved, self._target)
        self._output.use()
        self._context.disable(moderngl.DEPTH_TEST)
        self._picture.use(5)
        self._screen["resolve"].render(moderngl.TRIANGLES, 3)
        size = self.camera.size_px
        pixels = np.frombuffer(self._output.read(components=3), np.uint8)
        return np.ascontiguousarray(pixels.reshape(size, size, 3)[::-1])

    def _draw_depth(self, target: moderngl.Framebuffer, matrix_44: Float, viewer: Float) -> None:
        """Depth of the whole scene as seen from a lamp."""
        target.use()
        target.clear(depth=1.0)
        self._context.enable(moderngl.DEPTH_TEST)
        mesh, strand, scene = self._programs["mesh_depth"], self._programs["strand_depth"], self.scene
        set_uniforms(mesh, {"view_projection": matrix_44, "part_matrix": np.eye(4)})
        scene.body.mesh.draw_depth()
        for soft in (scene.tongue, *scene.cloth):
            soft.mesh.draw_depth()
        for name, part in scene.rigid.items():
            set_uniforms(mesh, {"part_matrix": scene.matrices[name]})
            part.draw_depth()
        if scene.hair is None:
            return
        set_uniforms(
            strand,
            {
                "view_projection": matrix_44,
                "part_matrix": scene.matrices["head"],
                "viewer": viewer,
                "shading": 2,
                "least_width": 0.0,
                "width_scale": 4.0,  # every fourth strand is drawn
                "points_per_strand": scene.hair.points_per_strand,
            },
        )
        scene.hair.draw_depth()

    def _bake_open_sky(self, directions: int = 160) -> None:
        """Ambient occlusion of the skin at rest; kept on disk under a key of all that shapes it."""
        body = self.scene.body

        def build() -> dict[str, np.ndarray]:
            return {"open_sky": self._open_sky(directions).astype("f4")}

        modules = (
            "hair.py",
            "short_hair.py",
            "glasses.py",
            "head.py",
            "looks.py",
            "portraits.py",
            "geometry.py",
            "shirt.py",
            "subdivision.py",
            "teeth.py",
            "renderer.py",
        )
        key = assets.source_key(*modules, levels=BODY_LEVELS, directions=directions, look=self.person.look.name)
        share = assets.cached("open-sky", key, build)["open_sky"].astype(float)
        # Light also travels inside the skin: smooth over the mesh.
        a, b = body.triangles.ravel(), np.roll(body.triangles, 1, axis=1).ravel()
        near = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(len(share),) * 2).tocsr()
        near = near + near.T
        mean = sparse.diags_array(1 / np.asarray(near.sum(axis=1)).ravel()) @ near
        for _ in range(4):
            share = 0.5 * share + 0.5 * (mean @ share)
        body.mesh.set_open_sky(np.clip(share * 1.12, 0.02, 1)[body.source])

    def _open_sky(self, directions: int) -> Float:
        """Share of the sky that each fine vertex sees, weighted by the cosine."""
        self.scene.move(neutral_pose(self.person))
        vertices, normals = self.scene.body.fine_V3, self.scene.body.fine_normals_V3
        centre, lens = np.array([0, 6.3, 0.5]), np.diag([1 / 2.9, 1 / 2.9, -1 / 6.0, 1.0])
        seen, total = np.zeros(len(vertices)), np.full(len(vertices), 1e-6)
        target, depth_map = self._shadow_targets[0], self._shadow_maps[0]
        for direction in sphere_directions(directions, seed=8):
            up = (0, 1, 0) if abs(direction[1]) < 0.95 else (1, 0, 0)
            matrix = affine(lens[:3, :3], lens[:3, 3]) @ look_at(centre + direction * 0.001, centre, up)
            self._draw_depth(target, matrix, centre + direction * 1e4)
            depth = np.frombuffer(depth_map.read(), "f4").reshape(SHADOW_PX, SHADOW_PX)
            clip = (vertices + normals * 0.02) @ matrix[:3, :3].T + matrix[:3, 3]
            column, row = np.clip(((clip[:, :2] * 0.5 + 0.5) * SHADOW_PX).astype(int), 0, SHADOW_PX - 1).T
            weight = np.maximum(normals @ direction, 0)
            seen += weight * (depth[row, column] > clip[:, 2] * 0.5 + 0.5 - 0.0025)
            total += weight
        return np.asarray(seen / total)
