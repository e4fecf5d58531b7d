"""Scores against a synthetic presenter's ground truth: key points, opening, closure of p/b/m.

A detector stands between the drawn picture and the truth, and it has its own bias: every score is therefore
also given for the filmed frames, which show what a perfect avatar would get.

Openings here are the distance of the inner lips over that of the eye centres, because the truth knows no eye
corners. Axes: T frames, P key points, K landmarks.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation import lips
from evaluation.value import Value, known, unknown
from recipe.mouth import INNER_LIPS
from recipe.recipe_328 import FPS

Floats = NDArray[np.float64]

# The truth's key point -> the face mesh's landmark: inner lips above, at the person's left, below, at the right;
# outer lips above and below; chin.
KEY_POINTS = {
    "lip_inner_0": 13, "lip_inner_3": 291, "lip_inner_6": 14, "lip_inner_9": 61,
    "lip_outer_0": 0, "lip_outer_8": 17, "chin": 152,
}  # fmt: skip
EYES = ("eye_left", "eye_right")
IRISES = (468, 473)
BILABIALS = frozenset("pbm")
CLOSED_MM = 2.0  # true lips touch in p, b, m; this is what blur and the detector may add to nothing
_OPEN = 0.02  # of the eyes' distance: an opening that tells how many millimetres one unit is
_DOMINANT = 0.6  # viseme weight from which a frame counts as that viseme
_MIN_VISEME_FRAMES = 3
_ARRAYS = ("keypoint_names", "keypoints_px", "mouth_open_px", "mouth_open_mm",
           "phones", "phone_start_s", "phone_stop_s", "viseme_names", "visemes")  # fmt: skip


@dataclass(frozen=True)
class Truth:
    """What is known about every frame of a rendered recording (T frames at 25/s).

    `points_TP2` are px of the rendered frame, P in the order of KEY_POINTS; `phones` are (label, start_s, end_s).
    `mm_per_unit` is NaN if the mouth never opens.
    """

    points_TP2: Floats
    eyes_T: Floats
    opening_T: Floats
    mm_per_unit: float
    phones: tuple[tuple[str, float, float], ...]
    viseme_names: tuple[str, ...]
    visemes_TV: Floats

    def __len__(self) -> int:
        return len(self.opening_T)


def load_truth(path: Path) -> Truth:
    """Read a ground_truth.npz of the presenter.

    Raises:
        ValueError: not such a file, an array is missing, or it is not 25 fps.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no readable ground truth ({error}); give the .npz the presenter wrote") from error
    missing = [key for key in _ARRAYS if key not in arrays]
    if missing:
        raise ValueError(f"{path} has no {', '.join(missing)}; render the recording again with this version")
    if float(arrays.get("fps", FPS)) != FPS:
        raise ValueError(f"{path} is truth at {arrays['fps']} fps, expected {FPS}; render the recording at {FPS}")
    names = [str(name) for name in arrays["keypoint_names"]]
    absent = [name for name in (*KEY_POINTS, *EYES) if name not in names]
    if absent:
        raise ValueError(f"{path} has no key point {', '.join(absent)} (there: {', '.join(names)})")
    left, right = (arrays["keypoints_px"][:, names.index(name)].astype(np.float64) for name in EYES)
    eyes = np.linalg.norm(left - right, axis=1)
    opening = arrays["mouth_open_px"] / eyes
    phones = zip(arrays["phones"], arrays["phone_start_s"], arrays["phone_stop_s"], strict=True)
    return Truth(
        points_TP2=arrays["keypoints_px"][:, [names.index(name) for name in KEY_POINTS]].astype(np.float64),
        eyes_T=eyes,
        opening_T=opening.astype(np.float64),
        mm_per_unit=_mm_per_unit(opening, arrays["mouth_open_mm"]),
        phones=tuple((str(label), float(start), float(end)) for label, start, end in phones),
        viseme_names=tuple(str(name) for name in arrays["viseme_names"]),
        visemes_TV=arrays["visemes"].astype(np.float64),
    )


def _mm_per_unit(opening_T: Floats, opening_mm_T: NDArray[np.floating]) -> float:
    opened = opening_T > _OPEN
    return float(np.median(opening_mm_T[opened] / opening_T[opened])) if opened.any() else float("nan")


def opening_over_eyes_T(landmarks_TK2: NDArray[np.floating]) -> Floats:
    """Detected opening in the truth's unit; NaN where no face was found.

    The irises wander with the gaze by a few percent; their distance is smoothed by its median.
    """
    lip = np.linalg.norm(landmarks_TK2[:, INNER_LIPS[0]] - landmarks_TK2[:, INNER_LIPS[1]], axis=1)
    eyes = np.linalg.norm(landmarks_TK2[:, IRISES[0]] - landmarks_TK2[:, IRISES[1]], axis=1)
    return np.asarray(lip / (np.nanmedian(eyes) if np.isfinite(eyes).any() else np.nan), np.float64)


def score_openings(
    opening_T: Floats, truth: Truth, frames_T: NDArray[np.int64], segment_T: NDArray[np.int64]
) -> dict[str, Value]:
    """Opening scores of a take whose frame t shows the truth's frame `frames_T[t]`."""
    true = truth.opening_T[frames_T]
    scores = {
        "truth_opening_r": lips.pearson(opening_T, true),
        "truth_opening_ccc": lips.concordance(opening_T, true),
        "truth_opening_lag_frames": lips.best_lag(opening_T, true, segment_T),
        "truth_closure_percent": closure_percent(opening_T, truth, frames_T),
    }
    dominant_T = np.where(truth.visemes_TV.max(axis=1) >= _DOMINANT, truth.visemes_TV.argmax(axis=1), -1)[frames_T]
    for index, name in enumerate(truth.viseme_names):
        frames = opening_T[(dominant_T == index) & np.isfinite(opening_T)]
        if len(frames) >= _MIN_VISEME_FRAMES and np.isfinite(truth.mm_per_unit):
            scores[f"truth_opening_mm_{name}"] = known(float(frames.mean() * truth.mm_per_unit))
    return scores


def closure_percent(opening_T: Floats, truth: Truth, frames_T: NDArray[np.int64]) -> Value:
    """Share of the p, b and m at which the lips come closer than CLOSED_MM, one frame of grace on either side."""
    position = {int(frame): t for t, frame in enumerate(frames_T)}
    closed = seen = 0
    for label, start_s, end_s in truth.phones:
        if label.lower().rstrip("0123456789") not in BILABIALS:
            continue
        around = range(int(start_s * FPS) - 1, int(np.ceil(end_s * FPS)) + 2)
        openings = [opening_T[position[frame]] for frame in around if frame in position]
        if len(openings) < len(around) or not np.isfinite(openings).any():
            continue
        seen += 1
        closed += bool(np.nanmin(openings) * truth.mm_per_unit < CLOSED_MM)
    return known(100 * closed / seen) if seen else unknown("no p, b or m lies wholly in these frames")


def key_point_distance(
    drawn_TK2: NDArray[np.floating], filmed_TK2: NDArray[np.floating], true_TP2: Floats, eyes_px: float
) -> Value:
    """Mean distance of detected from true key points, percent of the eyes' distance.

    What the detector misplaces on the filmed frames on average is taken off first, per point.

    Args:
        drawn_TK2: landmarks of the take to be scored, same pixels as `true_TP2`.
        filmed_TK2: landmarks of the filmed frames.
        true_TP2: true key points in the order of KEY_POINTS.
        eyes_px: true distance of the eye centres in those pixels.
    """
    chosen = list(KEY_POINTS.values())
    error = filmed_TK2[:, chosen] - true_TP2
    found = np.isfinite(error).all(axis=(1, 2)) & np.isfinite(drawn_TK2[:, chosen]).all(axis=(1, 2))
    if not found.any():
        return unknown("no frame in which both the drawn and the filmed face were found")
    bias_P2 = error[found].mean(axis=0)
    distance = np.linalg.norm(drawn_TK2[found][:, chosen] - bias_P2 - true_TP2[found], axis=2)
    return known(float(100 * distance.mean() / eyes_px))
