"""One frame of a source: told lips, head, lids, brows and gaze, it gives the picture.

The face is two layers, the upper lip with what is above and the lower lip with what is below, cut along the line
where the moved inner lips meet; behind the cut lies the inside of the mouth. So an open photo can close, and a closed
one open.

Axes: H W C picture, U mouth units, C coefficients, I points of the inner lips, L points of a lip's smooth line.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.articulation.mouth_units import MOUTH_UNITS, opening_mm
from recipe.warp.arrays import BROWS_AT, CLOSING, COEFFICIENTS, HEAD_AT, TOUCHING, WarpArrays, check_arrays
from recipe.warp.curves import smoothstep
from recipe.warp.eyes import build_eye, draw_eye
from recipe.warp.face import smile_of
from recipe.warp.fields import sampled, source_map
from recipe.warp.mouth_interior import MouthInterior
from recipe.warp.outlines import filled, stroked
from recipe.warp.units import BLINK_RANGE, BROWS_RANGE, GAZE_RANGE, HEAD_LIMITS_5, MOUTH_RANGE, mouth_units

Float32 = NDArray[np.float32]
_LINE: Final = 41  # points of a lip's smooth line
_FEATHER: Final = 0.06  # eye distances over which the mouth's box blends into the face
_PARTED_PX: Final = 0.4  # lips closer than this begin to touch, and show less and less of what is behind them
_TOUCH_DARK: Final = 0.6  # an open photo lacks the dark line of lips that touch
_PRESSED_MM: Final = 1.5  # lips told to part by this no longer press upon each other
# A smile of the photo relaxes while it speaks. That parts the lips as much as the smile presses them together, so the
# lower one rises. A wide jaw draws the corners down by itself; both at once would tear them.
_SPEAKS: Final = 0.35  # sum of told units from which on somebody speaks
_WIDE_JAW: Final = 0.5
_JAW: Final = MOUTH_UNITS.index("jawOpen")
_RELAXED_U: Final = -mouth_units({"mouthSmile": 1.0, "mouthLowerDown": 0.74})
_STRIP_PX: Final = 96
_SPARE_PX: Final = 6  # for what the face's own movements add at its outline
_NOTHING: Final = np.empty(0, np.float32)


class WarpedFace:
    """A source ready to be drawn; nothing in it changes, so any number of threads may draw at once."""

    def __init__(self, arrays: WarpArrays) -> None:
        """Take over the arrays of `prepare_source`.

        Raises:
            ValueError: they do not fit each other.
        """
        check_arrays(arrays, "the prepared source")
        self._photo = np.ascontiguousarray(arrays["photo_HWC"])
        self._plate = arrays["plate_HWC"]
        self._person = (arrays["person_HW"].astype(np.float32) / np.float32(255)) if arrays["layered"] else None
        self._moving, self._mouth = ([int(v) for v in box] for box in arrays["boxes_24"])
        self._cells = [int(v) for v in arrays["cells_2"]]
        self._fields = {n: _Field(arrays[f"{n}_CRS2"]) for n in ("moving", "upper", "lower")}
        self._contour_I2, self._contour_CI2 = arrays["contour_I2"], arrays["contour_CI2"]
        self._eye_distance_px, _, is_open = (float(v) for v in arrays["facts_3"])
        self._is_open = bool(is_open)
        self._touch_3 = arrays["mucosa_3"] * np.float32(0.6)
        self._interior = MouthInterior(arrays)
        self._points_K2 = points = arrays["points_K3"][:, :2]
        self._eyes = [build_eye(self._photo, points, eye, arrays[f"lid_{eye}_HWC"]) for eye in (0, 1)]
        self._feather = self._feathered()
        self._strips = self._strips_of_the_person()
        self._relaxed_U = np.float32(smile_of(arrays["points_K3"])) * _RELAXED_U
        self._along = _smooth_line(len(self._contour_I2) // 2)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of every frame, px."""
        return self._photo.shape[1], self._photo.shape[0]

    @property
    def moving_box(self) -> tuple[int, int, int, int]:
        """Outside it every frame is the photo: left, top, right, bottom, px."""
        boxes = np.array([self._moving, self._mouth])
        left, top = boxes[:, :2].min(0)
        right, bottom = boxes[:, 2:].max(0)
        return int(left), int(top), int(right), int(bottom)

    def draw(
        self,
        units_U: NDArray[np.floating],
        head_5: NDArray[np.floating],
        blink: float = 0.0,
        brows: float = 0.0,
        gaze_2: NDArray[np.floating] | None = None,
    ) -> NDArray[np.uint8]:
        """One frame; the same arguments give the same bytes.

        Args:
            units_U: mouth units, see `recipe.warp.units`.
            head_5: shift x, shift y (eye distances), roll, yaw, pitch (radians).
            blink: 0 as in the photo, 1 closed.
            brows: -1 lowered, 0 as in the photo, 1 raised.
            gaze_2: -1..1, to the picture's right and down.
        Returns:
            (H, W, 3) RGB.
        """
        coefficients = self._coefficients(units_U, head_5, brows)
        source = self._with_eyes(
            float(np.clip(blink, *BLINK_RANGE)), np.clip(np.zeros(2) if gaze_2 is None else gaze_2, *GAZE_RANGE)
        )
        frame = self._photo.copy()
        self._draw_face(frame, source, coefficients)
        self._draw_mouth(frame, source, coefficients)
        return frame

    def landmarks(
        self, units_U: NDArray[np.floating], head_5: NDArray[np.floating], brows: float = 0.0
    ) -> NDArray[np.float32]:
        """Where the landmarks of the source lie in a frame, px: (K, 2); arguments as of `draw`."""
        return self._fields["moving"].moved(
            self._coefficients(units_U, head_5, brows), self._cells[0], self._moving[:2], self._points_K2
        )

    def _coefficients(self, units_U: NDArray[np.floating], head_5: NDArray[np.floating], brows: float) -> Float32:
        coefficients = np.empty(COEFFICIENTS, np.float32)
        told_U = np.clip(units_U, *MOUTH_RANGE)
        spoken = smoothstep(0, _SPEAKS, np.abs(told_U).sum()) * max(0.0, 1 - float(told_U[_JAW]) / _WIDE_JAW)
        coefficients[: len(MOUTH_UNITS)] = told_U + self._relaxed_U * spoken
        coefficients[CLOSING] = 1.0
        coefficients[TOUCHING] = max(0.0, 1 - float(opening_mm(told_U)) / _PRESSED_MM)
        coefficients[BROWS_AT] = np.clip(brows, *BROWS_RANGE)
        limits = np.array(HEAD_LIMITS_5)
        coefficients[HEAD_AT:] = np.clip(head_5, -limits, limits)
        coefficients[HEAD_AT : HEAD_AT + 2] *= np.float32(self._eye_distance_px)
        return coefficients

    def _with_eyes(self, blink: float, gaze_2: NDArray[np.floating]) -> NDArray[np.uint8]:
        if blink <= 0.02 and not np.any(np.abs(gaze_2) > 1e-3):
            return self._photo
        source = self._photo.copy()
        for eye in self._eyes:
            draw_eye(source, eye, blink, gaze_2.astype(np.float32))
        return source

    def _draw_face(self, frame: NDArray[np.uint8], source: NDArray[np.uint8], coefficients_C: Float32) -> None:
        x0, y0, x1, y1 = self._moving
        places = self._fields["moving"].source_map(coefficients_C, self._cells[0], (x0, y0))[: y1 - y0, : x1 - x0]
        if self._person is None:
            frame[y0:y1, x0:x1] = sampled(source, places)
            return
        for strip in self._strips:
            face, person = sampled(source, places[strip]), sampled(self._person, places[strip])
            frame[y0:y1, x0:x1][strip] = cv2.blendLinear(face, self._plate[strip], person, 1 - person)

    def _draw_mouth(self, frame: NDArray[np.uint8], source: NDArray[np.uint8], coefficients_C: Float32) -> None:
        x0, y0, x1, y1 = self._mouth
        origin = np.array([x0, y0], np.float32)
        upper, lower = self._inner_lips(coefficients_C, origin)
        middle = _between(upper, lower)
        layers = []
        for name in ("upper", "lower"):
            places = self._fields[name].source_map(coefficients_C, self._cells[1], (x0, y0))[: y1 - y0, : x1 - x0]
            layers.append(sampled(source, places))
        under = _below(middle, (y1 - y0, x1 - x0))
        skin = np.asarray(cv2.blendLinear(layers[0], layers[1], 1 - under, under), np.uint8)
        apart = float(np.clip((lower - upper)[_LINE // 3 : -_LINE // 3, 1].mean() / _PARTED_PX, 0, 1))
        if apart > 0 or self._is_open:
            self._draw_between(skin, upper, lower, apart, coefficients_C, origin)
        part = frame[y0:y1, x0:x1]
        part[:] = cv2.blendLinear(np.ascontiguousarray(part), skin, 1 - self._feather, self._feather)

    def _inner_lips(self, coefficients_C: Float32, origin_2: Float32) -> tuple[Float32, Float32]:
        """Smooth lines of both inner lips from left to right, px of the mouth's box; where they crossed they meet."""
        moved = self._contour_I2 + np.tensordot(coefficients_C, self._contour_CI2, 1) - origin_2
        upper, lower = np.split(moved, 2)
        crossed = (upper[:, 1] > lower[:, 1])[:, None]
        middle = (upper + lower) / 2
        upper, lower = (self._along @ np.where(crossed, middle, side) for side in (upper, lower))
        if upper[0, 0] > upper[-1, 0]:
            upper, lower = upper[::-1], lower[::-1]
        return upper, lower

    def _draw_between(
        self,
        skin: NDArray[np.uint8],
        upper_L2: Float32,
        lower_L2: Float32,
        apart: float,
        coefficients_C: Float32,
        origin_2: Float32,
    ) -> None:
        outline = np.concatenate([upper_L2, lower_L2[::-1]])
        pad = 8
        left, top = np.clip(outline.min(0).astype(int) - pad, 0, None)
        right, bottom = np.minimum(outline.max(0).astype(int) + pad + 1, skin.shape[1::-1])
        part, corner = skin[top:bottom, left:right], np.array([left, top], np.float32)
        hole = filled(outline - corner, part.shape)
        picture = part.astype(np.float32)
        middle = _between(upper_L2, lower_L2) - corner
        if self._is_open:
            line = np.maximum(hole, stroked(middle, part.shape, 1))
            soft = cv2.GaussianBlur(line, (0, 0), 0.010 * self._eye_distance_px + 0.5)
            picture += (self._touch_3 - picture) * (np.float32(_TOUCH_DARK) * soft[..., None])
        head = coefficients_C[HEAD_AT:]
        shift = head @ self._contour_CI2[HEAD_AT:, len(self._contour_I2) // 4]
        inside = self._interior.draw(
            hole, middle, coefficients_C[: len(MOUTH_UNITS)], shift, float(head[2]), origin_2 + corner
        )
        picture += (inside - picture) * cv2.GaussianBlur(hole * np.float32(apart), (0, 0), 0.7)[..., None]
        part[:] = np.clip(picture + np.float32(0.5), 0, 255).astype(np.uint8)

    def _strips_of_the_person(self) -> list[tuple[slice, slice]]:
        """Parts of the moving box, one below the other, outside which the person never comes: the photo stays there."""
        if self._person is None:
            return []
        x0, y0, x1, y1 = self._moving
        way = round(self._fields["moving"].reach_px(self._eye_distance_px)) + _SPARE_PX
        person = self._person[y0:y1, x0:x1] > 0
        strips = []
        for top in range(0, y1 - y0, _STRIP_PX):
            columns = np.flatnonzero(person[max(top - way, 0) : top + _STRIP_PX + way].any(axis=0))
            if len(columns):
                sides = slice(max(int(columns[0]) - way, 0), int(columns[-1]) + way + 1)
                strips.append((slice(top, min(top + _STRIP_PX, y1 - y0)), sides))
        return strips

    def _feathered(self) -> Float32:
        x0, y0, x1, y1 = self._mouth
        x, y = np.arange(x1 - x0), np.arange(y1 - y0)
        to_edge = np.minimum(np.minimum(x, x[::-1])[None], np.minimum(y, y[::-1])[:, None])
        return smoothstep(0, _FEATHER * self._eye_distance_px, to_edge.astype(np.float64)).astype(np.float32)


class _Field:
    """One field per coefficient on the same cells."""

    def __init__(self, moves_CRS2: NDArray[np.float16]) -> None:
        rows, columns = moves_CRS2.shape[1:3]
        self._moves = np.ascontiguousarray(moves_CRS2.reshape(len(moves_CRS2), -1), np.float32)
        self._cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(np.float32)

    def reach_px(self, eye_distance_px: float) -> float:
        """How far the head's movements at their limits carry any place."""
        limits = np.array(HEAD_LIMITS_5, np.float32) * [eye_distance_px, eye_distance_px, 1, 1, 1]
        return float((np.abs(self._moves[HEAD_AT:]) * limits[:, None]).sum(0).max())

    def moved(self, coefficients_C: Float32, cell_px: int, origin: list[int], points_K2: Float32) -> Float32:
        field = self._total(coefficients_C)
        cells_K2 = (points_K2 - np.array(origin, np.float32) - (cell_px - 1) / 2) / cell_px
        return points_K2 + sampled(field, cells_K2.astype(np.float32)[:, None])[:, 0]

    def source_map(self, coefficients_C: Float32, cell_px: int, origin: tuple[int, int]) -> Float32:
        return source_map(self._total(coefficients_C), self._cells, cell_px, np.array(origin, np.float32))

    def _total(self, coefficients_C: Float32) -> Float32:
        # OpenCV's product: NumPy's starts threads for it, whose waiting costs half of a frame's time again.
        total = cv2.gemm(coefficients_C[None], self._moves, 1.0, _NOTHING, 0.0)
        return np.asarray(total, np.float32).reshape(self._cells.shape)


def _below(line_L2: Float32, shape: tuple[int, int]) -> Float32:
    """1 below the line between the lips, continued to both sides."""
    height, width = shape
    left, right = [-2, line_L2[0, 1]], [width + 2, line_L2[-1, 1]]
    edge = np.array([left, *line_L2, right, [width + 2, height + 2], [-2, height + 2]])
    return np.asarray(cv2.GaussianBlur(filled(edge, shape), (0, 0), 0.7), np.float32)


def _between(upper_L2: Float32, lower_L2: Float32) -> Float32:
    return np.asarray((upper_L2 + lower_L2) * np.float32(0.5), np.float32)


def _smooth_line(points: int) -> Float32:
    """A matrix from a lip's points to a smooth line through them (Catmull-Rom): (L, points)."""
    at = np.linspace(0, points - 1, _LINE)
    matrix = np.zeros((_LINE, points), np.float32)
    for row, t in enumerate(at):
        k = min(int(t), points - 2)
        u = t - k
        weights = (
            0.5 * (-u + 2 * u**2 - u**3),
            0.5 * (2 - 5 * u**2 + 3 * u**3),
            0.5 * (u + 4 * u**2 - 3 * u**3),
            0.5 * (u**3 - u**2),
        )
        for offset, weight in enumerate(weights):
            matrix[row, min(max(k - 1 + offset, 0), points - 1)] += weight
    return matrix
