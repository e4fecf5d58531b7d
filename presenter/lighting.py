"""Camera, lamps and the noise texture of the scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from presenter.geometry import Float, linear_rgb, look_at, normalised, perspective, rotation
from presenter.look import Light

CAMERA = np.array([0, 6.62, 10.6])
CAMERA_TARGET = np.array([0, 6.42, 1.0])
FOCAL = 114 / 18  # a 114 mm lens on a 36 mm wide picture
LAMP_TARGET = np.array([0, 6.45, 0.7])
# Key, fill, back left, back right (the last one casts no shadow).
LAMP_POSITION_43 = np.array([[7.5, 12.5, 12.5], [-11, 7.5, 11], [-7.5, 13, -8.5], [8.5, 12.5, -8]])
LAMP_RADIUS_4 = np.array([3.75, 6.0, 3.5, 3.0])
LAMP_TINT_43 = np.array([[1, 0.955, 0.90], [0.92, 0.96, 1], [1, 0.97, 0.93], [0.95, 0.97, 1]])
LAMP_POWER_4 = np.array([18.0, 8.0, 5.5, 3.2])
AMBIENT = np.array([0.70, 0.69, 0.68]) * 0.29
EXPOSURE = 1.30
BACKDROP_DARK = linear_rgb(84, 92, 100) * 0.85
BACKDROP_SHADE = BACKDROP_DARK / (linear_rgb(176, 182, 184) * 0.85)  # of the woman's backdrop, from light to dark
SHADOW_FIELD_RAD = np.radians(26)
SHADOW_NEAR_FAR = (8.0, 26.0)


@dataclass(frozen=True)
class Camera:
    """A fixed camera with a square picture."""

    size_px: int

    @property
    def view_projection(self) -> Float:
        """World (decimetres) -> clip space."""
        return perspective(FOCAL, 3, 40) @ look_at(CAMERA, CAMERA_TARGET)

    def project(self, points: Float) -> Float:
        """World points (..., 3) -> pixels (..., 2), x to the right, y down, pixel centres at whole numbers."""
        h = points @ self.view_projection[:, :3].T + self.view_projection[:, 3]
        ndc = h[..., :2] / h[..., 3:]
        return np.asarray((ndc * [0.5, -0.5] + 0.5) * self.size_px - 0.5)


@dataclass(frozen=True)
class Lamps:
    """The lamps of one presenter: places (4, 3), radiant colours (4, 3) for their distance, ambient light (3,)."""

    position_43: Float
    colour_43: Float
    ambient_3: Float

    def shadow_matrices(self) -> list[Float]:
        """View-projection of each lamp that casts shadows."""
        lens = perspective(1 / np.tan(SHADOW_FIELD_RAD / 2), *SHADOW_NEAR_FAR)
        return [lens @ look_at(place, LAMP_TARGET) for place in self.position_43[:3]]


def lamps_of(light: Light) -> Lamps:
    """Turn, raise and tint the usual lamps; the default light leaves them as they are."""
    position = LAMP_POSITION_43.copy()
    if light.turn_deg:
        position[:2] = (position[:2] - LAMP_TARGET) @ rotation(0, np.radians(light.turn_deg), 0).T + LAMP_TARGET
    position[:2, 1] += light.raise_dm
    warm = np.array([1 + 0.10 * light.warmth, 1.0, 1 - 0.18 * light.warmth])
    distance = np.linalg.norm(position - LAMP_TARGET, axis=1) / 10
    power = LAMP_POWER_4 * np.array([light.key, light.fill, 1, 1])
    colour = LAMP_TINT_43 * (power / np.pi / distance**2)[:, None] * warm
    return Lamps(position, colour, AMBIENT * light.ambient * warm)


def noise_volume(cells: int = 64, seed: int = 4) -> np.ndarray:
    """Tileable smooth noise (cells, cells, cells, 4) float16: its gradient, and its value around 0.5."""
    rng = np.random.default_rng(seed)
    line = np.fft.fftfreq(cells) * cells
    radius = np.sqrt(line[:, None, None] ** 2 + line[None, :, None] ** 2 + line[None, None, :] ** 2)
    spectrum = np.fft.fftn(rng.normal(size=(cells,) * 3)) * np.exp(-((radius / 11) ** 2)) / (1 + radius / 5)
    value = np.fft.ifftn(spectrum).real
    value /= value.std()
    gradient = np.stack([np.roll(value, -1, axis) - np.roll(value, 1, axis) for axis in (2, 1, 0)], -1)
    return np.concatenate([gradient / gradient.std(), np.clip(0.5 + 0.18 * value, 0, 1)[..., None]], -1).astype("f2")


def sphere_directions(count: int, seed: int) -> Float:
    """Random directions, uniform on the sphere."""
    return normalised(np.random.default_rng(seed).normal(size=(count, 3)))
