"""The face's degrees of freedom: 52 ARKit-named face units, and five of our own for tongue and contact.

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
    units["tongueTipUp"][tongue, 1] = 0.13 * smoothstep(0.45, 1, along)
    units["tongueForward"][tongue, 2] = 0.13 * smoothstep(0.2, 1, along)
    units["tongueBodyUp"][tongue, 1] = 0.10 * bump(along, 0.45, 0.25)
    units["tongueLow"][tongue, 1] = -0.10 * smoothstep(0.1, 0.6, along)
    return units
