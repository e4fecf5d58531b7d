"""One frame of a film, told another mouth: a patch to be laid over it.

    template frame ----------------- moved so that its jaw and cheeks belong to the wanted mouth ---- base
    mouths of like shape (the bank) - each moved onto the wanted lips, blended, lit as the base ----- mouth
    patch = mouth laid over base, opaque where either differs from what was filmed

All pixels are the person's own, so they are as sharp as the film. Which mouths are blended is a smooth function of what
is told, so nothing flickers where it changes slowly, and a frame needs no memory of the one before.

A face that is smaller in the frame than in the inner square is drawn at the frame's own pixels, see `Canvas`: there are
fewer of them, and none of them is interpolated twice.

Axes: K kept landmarks, M moving ones, N mouths of the bank, P articulation, C pose, G places, R S cells, H W C picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from recipe.film.arrays import FilmArrays, check_film, lip_shape
from recipe.film.points import EDGE_E2, FIXED, MOVING, places_of
from recipe.film.shape import Float, inverse, joined, moved
from recipe.mask_328 import alpha_bounds
from recipe.mouth import LIPS
from recipe.recipe_328 import INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX
from recipe.warp.fields import Grid, Interpolator

Float32 = NDArray[np.float32]
_MOVING, _FIXED = places_of(MOVING), places_of(FIXED)
_LIPS: Final = len(LIPS)  # the first of the moving landmarks
_CELL_PX: Final = 10  # of the canvas
_BLENDED: Final = 3  # mouths at most
_SOFTNESS: Final = (0.02, 0.07)  # of the choice between them, in the squared units of `_features`; more where none fits
_BEYOND: Final = 2.0  # so far may a mouth be from those it is made of, in standard deviations of the mouth
_GAP_PX: Final = 2.0  # lips so far apart are twice as far as lips that touch
_GAP_WEIGHT: Final = 1.2
_POSE_PX: Final = 8.0  # a head turned so that its features move by so much counts as another mouth
_CLOSED_AT: Final = 0.03  # quantile of the gaps of the bank's mouths: lips so near count as closed
_FACE_PX: Final = 160.0  # the length by which the interpolation is smoothed
_GROWN: Final = 0.16  # of the lips' width: so far around the lips the bank's skin is taken...
_FEATHER: Final = 0.05  # ...fading out over this
_LEFT_PX: Final = (0.3, 1.2)  # what is moved by less than this stays as it was filmed
_DETAIL_PX: Final = 2.0  # of the inner square; what is finer may be lost in a blend...
_RESTORED: Final = 0.7  # ...and is restored by this part
_TAP_PX: Final = 3  # light is compared on every third pixel
_BLUR_PX: Final = 3.0


@dataclass(frozen=True, eq=False, slots=True)
class Canvas:
    """Pixels that are drawn, and where in the inner square they lie."""

    height: int
    width: int
    to_inner_23: Float  # pixel (x, y) -> px of the inner square

    @property
    def scale(self) -> float:
        """Pixels for one px of the inner square."""
        return float(1 / np.sqrt(np.linalg.det(self.to_inner_23[:, :2])))


INNER_SQUARE: Final[Float] = np.array([[1.0, 0, 0], [0, 1, 0]])
STRIP: Final = Canvas(PATCH_HEIGHT_PX, INNER_PX, np.array([[1.0, 0, 0], [0, 1, PATCH_TOP_PX]]))


class FilmFace:
    """A film ready to be drawn; nothing in it changes, so any number of threads may draw at once."""

    def __init__(self, arrays: FilmArrays) -> None:
        """Take over the arrays of `recipe.film.arrays`.

        Raises:
            ValueError: they do not fit each other.
        """
        check_film(arrays, "the film")
        shape = self._shape = lip_shape(arrays)
        self._track_TK2 = arrays["track_TK2"].astype(np.float64)
        faces = {t: points for t, points in enumerate(self._track_TK2) if points.any()}
        self._to_canonical = {t: shape.to_canonical(points) for t, points in faces.items()}
        self._pose_C = {t: shape.pose(points) for t, points in faces.items()}
        self._mouths_NHWC, self._corner_N2 = arrays["mouths_NHWC"], arrays["corner_N2"].astype(np.float64)
        self._points_NK2 = arrays["mouth_points_NK2"].astype(np.float64)
        self._from_canonical_N = [inverse(shape.to_canonical(points)) for points in self._points_NK2]
        pose_NC = np.stack([shape.pose(points) for points in self._points_NK2])
        self._articulation_NP = arrays["articulation_NP"].astype(np.float64)
        self._closed_px = float(np.quantile(shape.gap_px(self._articulation_NP), _CLOSED_AT))
        self._features_NF = self._features(self._articulation_NP, pose_NC)
        self._most_HW = np.ascontiguousarray(alpha_bounds()[1])

    def lips_closed(self, articulation_BP: NDArray[np.floating], surely_B: NDArray[np.floating]) -> NDArray[np.float32]:
        """Articulations with lips as near to each other as this person's are when they touch, where they surely do.

        Args:
            articulation_BP: what the mouth is to do.
            surely_B: 0 leaves it as it is, 1 closes the lips.
        """
        too_open_B = np.maximum(self._shape.gap_px(articulation_BP) - self._closed_px, 0)
        opens_P = self._shape.gap_readout[1].mean(1)
        way_P = opens_P / max(float(np.square(opens_P).sum()), 1e-6)  # changes the opening, and little else
        return np.asarray(articulation_BP - (surely_B * too_open_B)[:, None] * way_P, np.float32)

    def patch(
        self,
        source_HWC: NDArray[np.uint8],
        index: int,
        articulation_P: NDArray[np.floating],
        source_to_inner_23: Float = INNER_SQUARE,
        canvas: Canvas = STRIP,
    ) -> NDArray[np.uint8]:
        """Draw.

        Args:
            source_HWC: template frame `index`, or its inner square.
            index: which frame it is.
            articulation_P: what the mouth is to do.
            source_to_inner_23: px of the source -> px of the inner square.
            canvas: what is drawn; by default the lower rows of the inner square.
        Returns:
            The canvas, (H, W, 4) RGB and straight alpha; all of it transparent where the frame has no face.
        """
        if index not in self._pose_C:
            return np.zeros((canvas.height, canvas.width, 4), np.uint8)
        points_K2, to_canonical, pose_C = self._track_TK2[index], self._to_canonical[index], self._pose_C[index]
        chosen, share_n, told_P = self._choice(np.asarray(articulation_P, np.float64), pose_C)
        wanted_M2 = self._shape.lower_face_at(pose_C, to_canonical, told_P)
        target = np.concatenate([wanted_M2, points_K2[_FIXED]])
        onto = [joined(self._from_canonical_N[n], to_canonical) for n in chosen]
        sources = [
            self._points_NK2[n][_MOVING + _FIXED] - moved(target, way) for n, way in zip(chosen, onto, strict=True)
        ]
        values = np.concatenate([points_K2[_MOVING + _FIXED] - target, *sources], axis=1)
        over = _Over(canvas)
        at_G2 = moved(over.grid.places_N2, canvas.to_inner_23)
        move_GC = Interpolator(target, values, EDGE_E2, _FACE_PX)(at_G2)
        base_G2 = moved(at_G2 + move_GC[:, :2], inverse(source_to_inner_23))
        base_HWC = _cubic(source_HWC, over(base_G2))
        cover_HW, ring_HW, box = _cover(moved(wanted_M2[:_LIPS], inverse(canvas.to_inner_23)), canvas)
        mouth_HWC = np.zeros((*cover_HW.shape, 3), np.float32)
        for k, (n, way) in enumerate(zip(chosen, onto, strict=True)):
            place_G2 = moved(at_G2, way) + move_GC[:, 2 + 2 * k : 4 + 2 * k] - self._corner_N2[n]
            found = _cubic(self._mouths_NHWC[n], over(place_G2, box))
            cv2.accumulateWeighted(found, mouth_HWC, share_n[k] / sum(share_n[: k + 1]))
        mouth_HWC = _as_sharp(mouth_HWC, share_n, _DETAIL_PX * canvas.scale)
        filmed_HWC = base_HWC[box]
        mouth_HWC = np.asarray(cv2.subtract(mouth_HWC, filmed_HWC, dtype=cv2.CV_32F), np.float32)
        covered = cv2.multiply(_evenly_lit(mouth_HWC, ring_HW), cv2.merge([cover_HW] * 3))
        base_HWC[box] = cv2.add(filmed_HWC, covered, dtype=cv2.CV_8U)
        alpha_HW = over((np.linalg.norm(move_GC[:, :2], axis=1) - _LEFT_PX[0]) / (_LEFT_PX[1] - _LEFT_PX[0]))
        np.maximum(alpha_HW[box], cover_HW, out=alpha_HW[box])
        opaque_HW = cv2.multiply(np.clip(alpha_HW, 0, 1), self._most_on(canvas), scale=255, dtype=cv2.CV_8U)
        return np.asarray(cv2.merge([*cv2.split(base_HWC), opaque_HW]), np.uint8)

    def _most_on(self, canvas: Canvas) -> Float32:
        """The largest alpha of every pixel of the canvas."""
        size, flags = (canvas.width, canvas.height), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(self._most_HW, canvas.to_inner_23, size, flags=flags), np.float32)

    def _features(self, articulation: Float, pose: Float) -> Float:
        """By what mouths are alike: their shape, how far the lips part (on a scale on which a closed mouth differs from
        a slit as much as a slit from a wide one), how the head is turned."""
        closed_3, per_P3 = self._shape.gap_readout
        gap = np.log1p(np.maximum(closed_3 + articulation @ per_P3, 0) / _GAP_PX)
        turned = pose * self._shape.pose_px_C / _POSE_PX
        return np.concatenate([articulation, _GAP_WEIGHT * gap, turned], axis=-1)

    def _choice(self, told_P: Float, pose_C: Float) -> tuple[list[int], list[float], Float]:
        """The mouths to blend, their shares, and what of the articulation can be shown.

        Shares are smooth in what is told: a mouth leaves with share 0. A mouth that was never filmed is drawn only as
        far beyond the filmed ones as their pixels bear.
        """
        off_N = np.square(self._features_NF - self._features(told_P, pose_C)).sum(1)
        near = np.argsort(off_N, kind="stable")[: _BLENDED + 1]
        softness = 2 * (_SOFTNESS[0] + _SOFTNESS[1] * off_N[near[0]])
        fit = np.exp((off_N[near[0]] - off_N[near]) / softness)
        share = fit[:_BLENDED] - fit[_BLENDED] if len(near) > _BLENDED else fit
        share = share / share.sum() if share.sum() > 1e-6 else np.full(len(share), 1 / len(share))
        seen_P = share @ self._articulation_NP[near[: len(share)]]
        beyond = float(np.linalg.norm(told_P - seen_P))
        told_P = seen_P + (told_P - seen_P) * min(1.0, _BEYOND / max(beyond, 1e-9))
        kept = [k for k in range(len(share)) if share[k] > 1e-3]
        return [int(near[k]) for k in kept], [float(share[k]) for k in kept], told_P


class _Over:
    """What is known on a coarse grid, at every pixel of a canvas."""

    def __init__(self, canvas: Canvas) -> None:
        c = _CELL_PX  # a cell around all, so that no pixel lies beyond the outermost cells' middles
        self.grid = Grid.over((-c, -c, canvas.width + c, canvas.height + c), c)
        self._whole = slice(0, canvas.height), slice(0, canvas.width)

    def __call__(self, values_GC: Float, box: tuple[slice, slice] | None = None) -> Float32:
        """Values of the cells -> (H, W, C) of the canvas or of a box of it, (H, W) of single values."""
        grid, (rows, columns) = self.grid, box or self._whole
        (r0, r1), (c0, c1) = (((s.start // _CELL_PX), (s.stop - 1) // _CELL_PX + 3) for s in (rows, columns))
        cells = values_GC.astype(np.float32).reshape(grid.rows, grid.columns, -1)[r0:r1, c0:c1]
        size = (cells.shape[1] * _CELL_PX, cells.shape[0] * _CELL_PX)
        full = cv2.resize(np.ascontiguousarray(cells), size, interpolation=cv2.INTER_LINEAR)
        y, x = rows.start - (r0 - 1) * _CELL_PX, columns.start - (c0 - 1) * _CELL_PX
        return np.asarray(full[y : y + rows.stop - rows.start, x : x + columns.stop - columns.start], np.float32)


def _cover(lips_N2: Float, canvas: Canvas) -> tuple[Float32, NDArray[np.bool_], tuple[slice, slice]]:
    """Where the bank's mouth lies over the base, its outline, both in a box of the canvas, and that box."""
    middle, width = lips_N2.mean(0), float(np.ptp(lips_N2[:, 0]))
    out = cv2.convexHull(lips_N2.astype(np.float32))[:, 0] - middle
    grown = middle + out * (1 + _GROWN * width / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1))
    feather = max(_FEATHER * width, 1.0)
    limit = [canvas.width, canvas.height]
    x0, y0 = np.clip(np.floor(grown.min(0) - 3 * feather), 0, np.subtract(limit, 1)).astype(int)
    x1, y1 = np.clip(np.ceil(grown.max(0) + 3 * feather) + 1, [x0 + 1, y0 + 1], limit).astype(int)
    inside = np.zeros((y1 - y0, x1 - x0), np.uint8)
    outline = np.round((grown - [x0, y0]) * 16).astype(np.int32)
    cv2.fillPoly(inside, [outline], 255, lineType=cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), feather)
    ring = (soft > 0.25) & (soft < 0.75)
    return np.asarray(soft, np.float32), ring, (slice(y0, y1), slice(x0, x1))


def _as_sharp(blend_HWC: Float32, shares: list[float], detail_px: float) -> Float32:
    """A blend with as much fine detail as its parts have.

    Details that do not coincide lose variance in a mean, down to the sum of the squared shares; what is left is raised
    again by most of what that takes away, since edges of the lips do coincide. Source: the variance-preserving blend of
    E. Heitz and F. Neyret, "High-Performance By-Example Noise using a Histogram-Preserving Blending Operator", 2018.
    """
    gain = 1 + _RESTORED * (1 / np.sqrt(np.square(shares).sum()) - 1)
    if gain < 1.01:
        return blend_HWC
    smooth = cv2.GaussianBlur(blend_HWC, (0, 0), detail_px)
    return np.asarray(cv2.addWeighted(blend_HWC, gain, smooth, 1 - gain, 0), np.float32)


def _evenly_lit(over_HWC: Float32, ring_HW: NDArray[np.bool_]) -> Float32:
    """What a mouth differs by from what it lies on, but for the light: seen along its outline, it goes on inside as a
    plane."""
    y, x = np.nonzero(ring_HW)
    y, x = y[::_TAP_PX], x[::_TAP_PX]
    height, width = ring_HW.shape
    seen = cv2.GaussianBlur(over_HWC, (0, 0), _BLUR_PX)[y, x]
    at = np.stack([np.ones(len(x)), x / width - 0.5, y / height - 0.5], axis=1)
    plane_33 = np.linalg.lstsq(at, seen, rcond=None)[0].astype(np.float32)
    across = np.linspace(-0.5, 0.5, width, endpoint=False, dtype=np.float32)[:, None] * plane_33[1]
    down = np.linspace(-0.5, 0.5, height, endpoint=False, dtype=np.float32)[:, None] * plane_33[2]
    return over_HWC - (plane_33[0] + across) - down[:, None]


def _cubic(picture_HWC: NDArray[np.uint8], places_HW2: Float32) -> NDArray[np.uint8]:
    found = cv2.remap(
        picture_HWC, places_HW2.astype(np.float32), np.empty(0, np.float32), cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(found, np.uint8)
