"""What lives in graphics memory: programs, meshes and strands (moderngl over EGL)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import moderngl
import numpy as np

from presenter.geometry import Float, Int, triangles_of, vertex_normals
from presenter.subdivision import subdivide

SHADERS = Path(__file__).parent / "shaders"
PROGRAMS = {
    "skin": ("mesh.vert", "skin.frag"),
    "plain": ("mesh.vert", "plain.frag"),
    "eye": ("mesh.vert", "eye.frag"),
    "strand": ("strand.vert", "strand.frag"),
    "mesh_depth": ("depth.vert", "depth.frag"),
    "strand_depth": ("strand.vert", "depth.frag"),
    "backdrop": ("screen.vert", "backdrop.frag"),
    "resolve": ("screen.vert", "resolve.frag"),
}
_STATIC_ATTRIBUTES = (("rest", 3), ("colour", 3), ("uv", 2), ("traits", 2))


class GraphicsUnavailableError(RuntimeError):
    """No OpenGL 4.3 context could be made."""


def create_context() -> moderngl.Context:
    """An off-screen context: the GPU's driver where there is one, else Mesa's software renderer.

    Raises:
        GraphicsUnavailableError: EGL is missing or too old.
    """
    platform: dict[str, Any] = {"backend": "egl"}
    try:
        return moderngl.create_context(require=430, standalone=True, **platform)
    except Exception as error:
        raise GraphicsUnavailableError(
            f"the presenter needs OpenGL 4.3 over EGL and got: {error}; on Debian install libegl1 libgles2 "
            "libgl1-mesa-dri (software), or the GPU's driver with EGL"
        ) from error


def create_programs(context: moderngl.Context) -> dict[str, moderngl.Program]:
    """Compile all shaders; each file is preceded by `common.glsl`."""
    common = (SHADERS / "common.glsl").read_text()
    source = {path.name: common + path.read_text() for path in SHADERS.iterdir() if path.name != "common.glsl"}
    return {
        name: context.program(vertex_shader=source[vertex], fragment_shader=source[fragment])
        for name, (vertex, fragment) in PROGRAMS.items()
    }


def set_uniforms(program: moderngl.Program, values: Mapping[str, Any]) -> None:
    """Write the values whose names the program kept; matrices are given row by row."""
    for name, value in values.items():
        if name not in program:
            continue
        uniform: Any = program[name]
        if not isinstance(value, np.ndarray):
            uniform.value = value
            continue
        if value.shape[-2:] == (4, 4):
            value = np.swapaxes(value, -1, -2)
        if uniform.array_length > 1:  # the driver may have cut an array that is not used to its end
            value = value[: uniform.array_length]
        uniform.write(np.ascontiguousarray(value, "f4").tobytes())


class GpuMesh:
    """A mesh whose positions may change each frame, drawn in colour or into a depth map."""

    def __init__(
        self,
        context: moderngl.Context,
        programs: Mapping[str, moderngl.Program],
        material: str,
        vertices_V3: Float,
        triangles_F3: Int,
        colour: Float,
        *,
        rest_V3: Float | None = None,
        uv: Float | None = None,
        inside_mouth: Float | None = None,
    ) -> None:
        count = len(vertices_V3)
        self.triangles_F3 = triangles_F3
        self.static = np.zeros((count, 10), "f4")
        self.static[:, :3] = vertices_V3 if rest_V3 is None else rest_V3
        self.static[:, 3:6] = colour
        self.static[:, 6:8] = 0 if uv is None else uv
        self.static[:, 8] = 0 if inside_mouth is None else inside_mouth
        self.static[:, 9] = 1
        self._moving = context.buffer(reserve=count * 24, dynamic=True)
        self._static = context.buffer(self.static.tobytes())
        index = context.buffer(triangles_F3.astype("i4").tobytes())
        program = programs[material]
        kept = [(name, size) for name, size in _STATIC_ATTRIBUTES if name in program]
        layout = " ".join(f"{n}f" if (name, n) in kept else f"{4 * n}x" for name, n in _STATIC_ATTRIBUTES)
        content = [(self._moving, "3f 3f", "position", "normal"), (self._static, layout, *(name for name, _ in kept))]
        self.material = material
        self._colour = context.vertex_array(program, content, index)
        self._depth = context.vertex_array(programs["mesh_depth"], [(self._moving, "3f 12x", "position")], index)
        self.move(vertices_V3)

    def move(self, vertices_V3: Float, normals_V3: Float | None = None) -> None:
        """Set this frame's positions (and normals, computed when not given)."""
        normals = vertex_normals(vertices_V3, self.triangles_F3) if normals_V3 is None else normals_V3
        self._moving.write(np.concatenate([vertices_V3, normals], 1).astype("f4").tobytes())

    def set_open_sky(self, share_V: Float) -> None:
        """Set the ambient occlusion (1: all of the sky is seen)."""
        self.static[:, 9] = share_V
        self._static.write(self.static.tobytes())

    def draw(self) -> None:
        """Draw with the material's program."""
        self._colour.render()

    def draw_depth(self) -> None:
        """Draw into a depth map."""
        self._depth.render()


class SubdividedMesh:
    """A coarse quad mesh, refined on the processor and drawn as a GpuMesh."""

    def __init__(
        self,
        context: moderngl.Context,
        programs: Mapping[str, moderngl.Program],
        vertices_V3: Float,
        quads_Q4: Int,
        colour: Float,
        levels: int,
    ) -> None:
        self.matrix, quads = subdivide(len(vertices_V3), quads_Q4, levels)
        self.mesh = GpuMesh(context, programs, "plain", self.matrix @ vertices_V3, triangles_of(quads), colour)

    def move(self, vertices_V3: Float) -> None:
        """Set this frame's coarse positions."""
        self.mesh.move(self.matrix @ vertices_V3)


class GpuStrands:
    """Hairs drawn as thin ribbons facing the viewer."""

    def __init__(
        self,
        context: moderngl.Context,
        programs: Mapping[str, moderngl.Program],
        widths_NK: Float,
        random_N: Float,
        *,
        lamps_NKL: Float | None = None,
        ambient_NK: Float | None = None,
        opacity_NK: Float | None = None,
    ) -> None:
        self.widths_NK = widths_NK
        n, k = widths_NK.shape
        traits = np.zeros((n, k, 4), "f4")
        traits[..., 0] = 1 if ambient_NK is None else ambient_NK
        traits[..., 1] = random_N[:, None]
        traits[..., 2] = 1 if opacity_NK is None else opacity_NK
        lamps = np.ones((n, k, 4), "f4") if lamps_NKL is None else lamps_NKL.astype("f4")
        self.points_per_strand = k
        self._points = context.buffer(reserve=n * k * 16, dynamic=True)
        self._lamps, self._traits = context.buffer(lamps.tobytes()), context.buffer(traits.tobytes())
        self._colour = context.vertex_array(programs["strand"], [], index_buffer=self._index(context, n, k, 1))
        self._depth = context.vertex_array(programs["strand_depth"], [], index_buffer=self._index(context, n, k, 4))

    @staticmethod
    def _index(context: moderngl.Context, strands: int, points: int, step: int) -> moderngl.Buffer:
        """Two triangles a segment, for every `step`-th strand."""
        first = 2 * (np.arange(0, strands, step)[:, None] * points + np.arange(points - 1)[None])
        corners = np.stack([first, first + 1, first + 2, first + 1, first + 3, first + 2], -1)
        return context.buffer(corners.astype("i4").tobytes())

    def move(self, points_NK3: Float) -> None:
        """Set the strands' points."""
        self._points.write(np.concatenate([points_NK3, self.widths_NK[..., None]], 2).astype("f4").tobytes())

    def _bind(self) -> None:
        for slot, buffer in enumerate((self._points, self._lamps, self._traits)):
            buffer.bind_to_storage_buffer(slot)

    def draw(self) -> None:
        """Draw with the program `strand`."""
        self._bind()
        self._colour.render(moderngl.TRIANGLES)

    def draw_depth(self) -> None:
        """Draw every fourth strand with `strand_depth` (make them wider there)."""
        self._bind()
        self._depth.render(moderngl.TRIANGLES)
