"""What a picture itself says about its face: turn, blur, light, and whether mouth and eyes can be seen at all.

The face mesh always draws a whole face, also where a hand or a mask hides one, and open eyes behind every pair of
glasses. So the picture is asked: two lips meet in a line darker than either, and an open eye is a dark iris between
whites. Both are measured against the skin, so that no face's colour, and no frame around an eye, changes them much.

Axes: H W C picture (RGB), K landmarks, N places, I points of the lips.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from data_prep.face_mesh import MESH_POINTS
from data_prep.pose import head_pose
from data_prep.still_landmarks import StillLandmarks
from recipe.mouth import eye_distance
from recipe.warp.points import (
    CHEEKS,
    LEFT_IRIS,
    LOWER_INNER,
    LOWER_LIDS,
    LOWER_OUTER,
    RIGHT_IRIS,
    UPPER_INNER,
    UPPER_LIDS,
    UPPER_OUTER,
)

Float = NDArray[np.float64]
_MEASURED_EYES_PX: Final = 100.0  # everything is measured at this distance of the outer eye corners
_BEARD: Final = (164, 167, 393, 18, 200, 83, 313)  # above the upper lip, and the chin
_SIDES: Final = ((50, 205, 187, 118), (280, 425, 411, 347))  # cheek of the picture's left and right
# Parts of every face with edges of their own, and how far around them is looked. Each counts alike: a frame of glasses
# or a beard is one voice of four.
_EDGED: Final = (
    ((*UPPER_LIDS[0], *LOWER_LIDS[0]), 3),
    ((*UPPER_LIDS[1], *LOWER_LIDS[1]), 3),
    ((1, 2, 4, 48, 64, 98, 278, 294, 327), 4),  # the nose's tip and its wings
    ((*UPPER_OUTER, *LOWER_OUTER), 5),
)
_STRONGEST: Final = 0.88  # quantile of the gradients from which on they are edges
_ONCE, _TWICE = 1.0, 2.0  # px of the two blurs that are compared
_EYE_WIDE, _EYE_HIGH = 60, 40  # px of the square look at an eye: from corner to corner, two thirds as high


@dataclass(frozen=True)
class PhotoEvidence:
    """Measured once; the limits are in `data_prep.photo_checks`."""

    pitch_deg: float
    yaw_deg: float
    roll_deg: float
    face_px: float  # width of the face in the picture as it came
    eye_px: float  # distance of the outer eye corners there
    blur: float  # of its edges, % of the eye distance (a Gaussian's sigma); the worse axis, more where one is worse
    lip_line: float  # how much darker their line is than the lips, share of the skin's brightness
    lip_spread: float  # how far looks at the lips differ, share of the eye distance
    mouth_open: float  # inner lips apart, share of the eye distance
    smile: float  # width of the mouth over the eye distance
    eye_open: float  # height over width of the less open eye, by its landmarks
    iris: float  # how much darker irises are than the whites beside them, share of the skin's brightness; both eyes
    eye_contrast: float  # iris against eye white, share of the skin's brightness; the lesser eye
    eye_light: float  # brightness of the eyes' surroundings over the cheeks'
    lower_face_light: float  # brightness of what a beard covers over the cheeks'
    side_light: float  # darker cheek over the lighter one


def measure_photo(rgb_HWC: NDArray[np.uint8], found: StillLandmarks) -> PhotoEvidence:
    """Measure a face.

    Args:
        rgb_HWC: the picture; only its face counts.
        found: the landmarks there.
    """
    height, width = rgb_HWC.shape[:2]
    points = found.points_K3[None, :, :2]
    pitch, yaw, roll = (float(v) for v in head_pose(points, np.array([True]), width, height)[0])
    eyes = float(eye_distance(points)[0])
    box = found.skin_box
    lab_HWC, at_K2 = _at_one_size(rgb_HWC, found.points_K3[:, :2].astype(np.float64), box, _MEASURED_EYES_PX / eyes)
    light_HW = lab_HWC[..., 0]
    skin = _light(light_HW, at_K2[list(CHEEKS)])
    _, line = _lips_seen(lab_HWC, at_K2, skin)
    inner = np.linalg.norm(at_K2[list(UPPER_INNER)] - at_K2[list(LOWER_INNER)], axis=1)[4:7].mean()
    sides = [_light(light_HW, at_K2[list(side)]) for side in _SIDES]
    lips = [*UPPER_OUTER, *LOWER_OUTER, *UPPER_INNER, *LOWER_INNER]
    return PhotoEvidence(
        pitch_deg=pitch,
        yaw_deg=yaw,
        roll_deg=roll,
        face_px=float(box[2] - box[0]),
        eye_px=eyes,
        blur=_blur(light_HW, at_K2),
        lip_line=line,
        lip_spread=float(np.median(found.spread_K[lips])) / eyes,
        mouth_open=float(inner) / _MEASURED_EYES_PX,
        smile=float(np.linalg.norm(at_K2[61] - at_K2[291])) / _MEASURED_EYES_PX,
        eye_open=min(_eye_open(at_K2, eye) for eye in (0, 1)),
        iris=float(np.mean([_iris(light_HW, at_K2, eye) for eye in (0, 1)])) / skin,
        eye_contrast=min(_eye_contrast(light_HW, at_K2, eye) for eye in (0, 1)) / skin,
        eye_light=min(_eye_surroundings(light_HW, at_K2, eye) for eye in (0, 1)) / skin,
        lower_face_light=_light(light_HW, at_K2[list(_BEARD)]) / skin,
        side_light=min(sides) / max(*sides, 1.0),
    )


def _at_one_size(
    rgb_HWC: NDArray[np.uint8], points_K2: Float, box_4: NDArray[np.float32], scale: float
) -> tuple[NDArray[np.float32], Float]:
    """The face alone in L*a*b*, all faces equally large, with its landmarks."""
    pad = 0.1 * float(box_4[2] - box_4[0])
    x0, y0 = np.maximum(np.floor(box_4[:2] - pad), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(box_4[2:] + pad), rgb_HWC.shape[1::-1]).astype(int)
    face = np.ascontiguousarray(rgb_HWC[y0:y1, x0:x1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(face, None, fx=scale, fy=scale, interpolation=method).astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.float32), (points_K2 - [x0, y0]) * scale


def _values(picture: NDArray[np.float32], places_N2: Float) -> NDArray[np.float32]:
    x, y = np.clip(np.round(places_N2).astype(int), 0, [picture.shape[1] - 1, picture.shape[0] - 1]).T
    return np.asarray(picture[y, x])


def _light(light_HW: NDArray[np.float32], places_N2: Float) -> float:
    return max(float(np.median(_values(np.asarray(cv2.blur(light_HW, (5, 5)), np.float32), places_N2))), 1.0)


def _blur(light_HW: NDArray[np.float32], at_K2: Float) -> float:
    """How wide edges are: blurred once more, a sharp one loses more of its slope than a blurred one.

    A camera that moved blurs one axis; half of how much worse it is counts on top.

    Source: S. Zhuo, T. Sim, "Defocus map estimation from a single image", Pattern Recognition 44 (2011).
    """
    once, twice = (cv2.GaussianBlur(light_HW, (0, 0), sigma) for sigma in (_ONCE, _TWICE))
    axes = []
    for along in ((1, 0), (0, 1)):
        slopes = [np.abs(cv2.Scharr(blurred, cv2.CV_32F, *along)) for blurred in (once, twice)]
        edges_N2 = np.array([_edge(slopes, at_K2[list(part)], pad) for part, pad in _EDGED])
        widths, strengths = edges_N2.T
        votes = np.minimum(strengths, np.median(strengths))  # what has hardly an edge, as an eye in shadow, says little
        axes.append(float((widths * votes).sum() / max(votes.sum(), 1e-6)))
    return max(axes) + 0.5 * abs(axes[0] - axes[1])


def _edge(slopes_HW: list[NDArray[np.float32]], part_N2: Float, pad: int) -> tuple[float, float]:
    """Width and slope of a part's strongest edges, from the slopes of the picture blurred once and twice."""
    low, high = np.maximum(part_N2.min(0) - pad, 0).astype(int), (part_N2.max(0) + pad + 1).astype(int)
    once, twice = (slope[low[1] : high[1], low[0] : high[0]] for slope in slopes_HW)
    if not once.size:
        return 0.0, 0.0
    strong = once >= np.quantile(once, _STRONGEST)
    loss = float(np.percentile(once[strong] / np.maximum(twice[strong], 1e-6), 75))
    # The slope of an edge of the width s falls with sqrt(s^2 + blur^2).
    width = np.sqrt(max(_TWICE**2 - (loss * _ONCE) ** 2, 0) / max(loss**2 - 1, 1e-3))
    return float(width), float(once[strong].mean())


def _eyes_of(light_HW: NDArray[np.float32], at_K2: Float) -> NDArray[np.float32]:
    """The eyes and what is between them, where every face has detail."""
    eyes = at_K2[[*UPPER_LIDS[0], *LOWER_LIDS[0], *UPPER_LIDS[1], *LOWER_LIDS[1]]]
    low, high = np.maximum(eyes.min(0) - 6, 0).astype(int), (eyes.max(0) + 6).astype(int)
    return np.ascontiguousarray(light_HW[low[1] : high[1], low[0] : high[0]])


def _lips_seen(lab_HWC: NDArray[np.float32], at_K2: Float, skin: float) -> tuple[float, float]:
    """How evenly the lips' colour differs from the skin around them, and how dark the line between them is."""
    smooth = np.asarray(cv2.GaussianBlur(lab_HWC, (0, 0), 1.0), np.float32)
    outer = np.concatenate([at_K2[list(UPPER_OUTER[2:-2])], at_K2[list(LOWER_OUTER[2:-2])]])
    inner = np.concatenate([at_K2[list(UPPER_INNER[2:-2])], at_K2[list(LOWER_INNER[2:-2])]])
    away = outer - inner
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-6)
    inside = _values(smooth, (outer + inner) / 2)
    outside = _values(smooth, outer + 5.0 * away)
    # How much redder lips are than skin shows in any light; how much darker they are does not.
    steps = inside[:, 1:] - outside[:, 1:]
    scatter = np.linalg.norm(steps - steps.mean(0), axis=1).mean()
    edge = float(np.linalg.norm(steps.mean(0)) / (1.5 + scatter))
    upper, lower = (at_K2[list(line[2:-2])] for line in (UPPER_INNER, LOWER_INNER))
    share = np.linspace(-0.35, 1.35, 18)[:, None, None]
    across = _values(lab_HWC[..., 0], (upper + (lower - upper) * share).reshape(-1, 2)).reshape(len(share), -1)
    lips = (_values(smooth, (outer + inner) / 2)[:, 0]).reshape(2, -1).mean(0)
    line = float(np.median(lips - across.min(0)) / skin)
    return edge, line


def _eye_open(at_K2: Float, eye: int) -> float:
    upper, lower = at_K2[list(UPPER_LIDS[eye])], at_K2[list(LOWER_LIDS[eye])]
    height = np.linalg.norm(upper[3:6] - lower[3:6], axis=1).mean()
    return float(height / max(np.linalg.norm(upper[0] - upper[-1]), 1e-6))


def _iris(light_HW: NDArray[np.float32], at_K2: Float, eye: int) -> float:
    """How much darker the middle of an eye is than both sides of it: what is dark from side to side is no iris.

    Its place is searched, since landmarks of a closed eye behind glasses lie anywhere.
    """
    ends = at_K2[[UPPER_LIDS[eye][0], UPPER_LIDS[eye][-1]]]
    left, right = ends[np.argsort(ends[:, 0])]
    across = (right - left) / _EYE_WIDE
    down = np.array([-across[1], across[0]])
    corner = (left + right) / 2 - across * (_EYE_WIDE - 1) / 2 - down * (_EYE_HIGH - 1) / 2
    to_picture = np.column_stack([across, down, corner])
    level = cv2.warpAffine(
        light_HW,
        to_picture,
        (_EYE_WIDE, _EYE_HIGH),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    disc, white = cv2.blur(level, (11, 11))[8:-8], cv2.blur(level, (7, 7))[8:-8]  # an iris is 20 px wide
    aside = 17
    darker = np.minimum(white[:, 1 : -1 - 2 * aside], white[:, 1 + 2 * aside : -1]) - disc[:, 1 + aside : -1 - aside]
    return float(darker.max())


def _eye_contrast(light_HW: NDArray[np.float32], at_K2: Float, eye: int) -> float:
    """Between the darkest and the lightest of an eye: iris and white; a lid has neither."""
    iris = at_K2[[RIGHT_IRIS, LEFT_IRIS][eye] :][:5]
    line = (at_K2[list(UPPER_LIDS[eye])] + at_K2[list(LOWER_LIDS[eye])])[1:-1] / 2
    values = _values(np.asarray(cv2.blur(light_HW, (3, 3)), np.float32), np.concatenate([iris[:1], line]))
    return float(values.max() - values.min())


def _eye_surroundings(light_HW: NDArray[np.float32], at_K2: Float, eye: int) -> float:
    """Under an eye, where sunglasses darken and nothing else does much."""
    lower = at_K2[list(LOWER_LIDS[eye])]
    width = np.linalg.norm(lower[0] - lower[-1])
    return _light(light_HW, lower[2:-2] + np.array([0, 0.28 * width]))


def face_seen(rgb_HWC: NDArray[np.uint8], points_K2: NDArray[np.float32]) -> tuple[float, float, float, float, float]:
    """What changes from frame to frame: `lip_edge` and `lip_line` of `PhotoEvidence`, sharpness along both axes, and
    `eye_open`."""
    eyes = float(eye_distance(points_K2[None])[0])
    skin_K2 = points_K2[:MESH_POINTS]
    box = np.concatenate([skin_K2.min(0), skin_K2.max(0)])
    lab_HWC, at_K2 = _at_one_size(rgb_HWC, points_K2.astype(np.float64), box, _MEASURED_EYES_PX / eyes)
    edge, line = _lips_seen(lab_HWC, at_K2, _light(lab_HWC[..., 0], at_K2[list(CHEEKS)]))
    part = _eyes_of(lab_HWC[..., 0], at_K2)
    contrast = max(float(part.std()), 1.0)
    along = [float(np.diff(part, 2, axis=axis).std()) / contrast if min(part.shape) > 2 else 0.0 for axis in (1, 0)]
    return edge, line, along[0], along[1], min(_eye_open(at_K2, eye) for eye in (0, 1))
