"""How much light reaches each point of the hair, through the hair and past the head: computed once, at rest."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from presenter.geometry import Float, normalised

CELL = 0.07  # decimetres
HEAD_CENTRE = np.array([0, 6.7, 0.3])


class _Grid:
    """Hair density and the solid head on a regular grid around the strands."""

    def __init__(self, strands_NK3: Float, widths_NK: Float) -> None:
        self.low = strands_NK3.min((0, 1)) - 0.3
        shape = np.ceil((strands_NK3.max((0, 1)) + 0.3 - self.low) / CELL).astype(int)
        self.density = np.zeros(shape)
        cells = ((strands_NK3 - self.low) / CELL).astype(int).reshape(-1, 3)
        segment = np.linalg.norm(np.diff(strands_NK3, axis=1), axis=2).mean(1, keepdims=True)
        np.add.at(self.density, tuple(cells.T), (segment * 2 * widths_NK).ravel() / CELL**3)
        self.density = gaussian_filter(self.density, 0.7)
        axes = [self.low[i] + CELL * (np.arange(shape[i]) + 0.5) for i in range(3)]
        x, y, z = np.meshgrid(*axes, indexing="ij")
        skull = (x / 0.66) ** 2 + ((y - 6.85) / 0.86) ** 2 + ((z - 0.38) / 0.86) ** 2 < 1
        neck = ((x / 0.45) ** 2 + ((z - 0.35) / 0.5) ** 2 < 1) & (y < 6.6) & (y > 5.2)
        self.solid = (skull | neck).astype(float)

    def transmittance(self, points: Float, direction: Float, steps: int, step: float, opacity: float) -> Float:
        """Share of light that arrives at the points from a direction."""
        thickness, blocked = np.zeros(len(points)), np.zeros(len(points))
        for i in range(1, steps):
            at = ((points + direction * step * (i + 0.2) - self.low) / CELL - 0.5).T
            thickness += map_coordinates(self.density, at, order=1, mode="constant") * step
            if i > 2:
                blocked = np.maximum(blocked, map_coordinates(self.solid, at, order=1, mode="constant"))
        return np.asarray(np.exp(-opacity * thickness) * (1 - 0.97 * np.clip(blocked * 1.6 - 0.5, 0, 1)))


def hair_light(strands_NK3: Float, widths_NK: Float, lights_L3: Float, seed: int = 3) -> tuple[Float, Float]:
    """Light at every point of every strand.

    Returns:
        share of each lamp's light (N, K, L), and of the ambient light (N, K), all in [0, 1].
    """
    grid, points = _Grid(strands_NK3, widths_NK), strands_NK3.reshape(-1, 3)
    shape = strands_NK3.shape[:2]
    lamps = [
        grid.transmittance(points, direction, 26, 0.085, 0.55).reshape(shape)
        for direction in normalised(lights_L3 - HEAD_CENTRE)
    ]
    directions = normalised(np.random.default_rng(seed).normal(size=(14, 3)))
    ambient = np.mean([grid.transmittance(points, direction, 12, 0.10, 0.9) for direction in directions], axis=0)
    return np.stack(lamps, -1), 0.10 + 0.9 * ambient.reshape(shape)
