"""The face's degrees of freedom: 52 ARKit-named face units, and five of our own for tongue and lower lip.

A weight of 1 is the unit's full movement. All units are linear offsets, so a face is `rest + weights @ units`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from presenter.geometry import Float, Int, bump, smoothstep
from presenter.mesh import read_target

TONGUE_UNITS = ("tongueTipUp", "tongueForward", "tongueBodyUp", "tongueLow")


def read_face_units(data: Path, vertex_count: int) -> dict[str, Float]:
    """The 52 units of the Face Units asset pack, by name."""
    paths = sorted((data / "faceunits01/targets/faceunits").glob("*.target"))
    return {path.stem: read_target(path, vertex_count) for path in paths}


def tongue_units(rest_V3: Float, tongue: Int) -> dict[str, Float]:
    """Our own movements of the tongue, which the asset pack can only stick out.

    Args:
        rest_V3: the face at rest, decimetres.
        tongue: its tongue vertices.
    """
    depth = rest_V3[tongue, 2]
    along = (depth - depth.min()) / np.ptp(depth)  # 0 root, 1 tip
    units = {name: np.zeros_like(rest_V3) for name in TONGUE_UNITS}
    units["tongueTipUp"][tongue, 1] = 0.12 * smoothstep(0.62, 1, along)
    units["tongueForward"][tongue, 2] = 0.13 * smoothstep(0.2, 1, along)
    units["tongueBodyUp"][tongue, 1] = 0.10 * bump(along, 0.45, 0.25)
    units["tongueLow"][tongue, 1] = -0.10 * smoothstep(0.1, 0.6, along)
    return units


def lower_lip_unit(rest_V3: Float, jaw_open_V3: Float, lip_ridge_3: Float) -> Float:
    """Our own `lowerLipIn`: the lower lip goes back under the upper teeth, as for f and v.

    Args:
        jaw_open_V3: the unit `jawOpen`, which tells the lower lip from the upper one.
        lip_ridge_3: the lower lip's highest point at rest.
    """
    x, y, _ = (rest_V3 - lip_ridge_3).T
    hangs_on_jaw = smoothstep(0.15, 0.28, -jaw_open_V3[:, 1])
    front = smoothstep(1.20, 1.30, rest_V3[:, 2])
    unit = np.zeros_like(rest_V3)
    unit[:, 2] = -0.06 * bump(x, 0, 0.17) * bump(y, -0.01, 0.07) * hangs_on_jaw * front
    return unit
