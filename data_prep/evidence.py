"""What the pictures themselves say about the face in each frame: is the mouth there to be seen, is it sharp, are the
eyes open?

The face mesh draws a whole face also where a hand, a cup or a microphone hides half of it. Lips differ in colour from
the skin around them, all along their edge in the same way; what covers them does not. How much they differ depends on
person and light, so every recording is compared with itself.

Axes: T video frames (25/s), H W C image, K landmarks.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening, median_filter

from data_prep.photo_evidence import face_seen
from recipe.recipe_328 import FPS

MOUTH_HIDDEN: Final = "mouth hidden"
BLURRED: Final = "blurred by motion"
EYES_CLOSED: Final = "eyes closed for a second or longer"

EDGE, LINE, SHARP_X, SHARP_Y, EYE = range(5)  # columns of the evidence
_USUAL_PERCENTILE: Final = 75.0  # so that a mouth that is hidden for half of the time is still known by its other half
# Edge over its usual one. Seen: 0.62 and more in five recordings; under hands, discs and microphones 0.01 to 0.33.
_HIDDEN_EDGE: Final = 0.4
_FAINT_LIPS, _HIDDEN_LINE = 0.5, 0.06  # where lips hardly differ from the skin, the line between them counts as well
_BLURRED: Final = 0.2  # of the usual sharpness along an axis: 0.11 where 21 px are blurred, 0.26 in a blink
_CLOSED: Final = 0.5  # of the usual opening
_CLOSED_FRAMES: Final = FPS  # a blink is shorter
_STEADY_FRAMES: Final = 5  # evidence of so many frames is looked at together
_MARGIN_FRAMES: Final = 2  # what comes before the mouth has half covered it already


def look(frame_rgb_HWC: NDArray[np.uint8], points_K2: NDArray[np.float32] | None) -> NDArray[np.float32]:
    """The evidence of one frame, (5,): columns EDGE, LINE, SHARP_X, SHARP_Y and EYE; NaN without a face.

    Args:
        frame_rgb_HWC: as filmed.
        points_K2: landmarks there, frame px; None where there are none.
    """
    if points_K2 is None:
        return np.full(5, np.nan, np.float32)
    return np.array(face_seen(frame_rgb_HWC, points_K2), np.float32)


def unseen(evidence_T5: NDArray[np.float32]) -> NDArray[np.object_]:
    """Why a frame cannot teach a mouth, as far as its picture tells; "" where it can.

    Args:
        evidence_T5: from `look`.
    """
    reason_T = np.full(len(evidence_T5), "", dtype=object)
    known_T = np.asarray(np.isfinite(evidence_T5).all(1))
    if not known_T.any():
        return reason_T
    usual_5 = np.asarray(np.percentile(evidence_T5[known_T], _USUAL_PERCENTILE, axis=0))
    steady_T5 = np.where(known_T[:, None], evidence_T5, usual_5)
    steady_T5 = median_filter(steady_T5, size=(_STEADY_FRAMES, 1), mode="nearest")
    hidden_T = steady_T5[:, EDGE] < _HIDDEN_EDGE * usual_5[EDGE]
    if usual_5[EDGE] < _FAINT_LIPS:
        hidden_T = (steady_T5[:, EDGE] < _FAINT_LIPS) & (steady_T5[:, LINE] < _HIDDEN_LINE)
    closed_T = np.asarray(binary_opening(steady_T5[:, EYE] < _CLOSED * usual_5[EYE], np.ones(_CLOSED_FRAMES, np.uint8)))
    sharp = slice(SHARP_X, SHARP_Y + 1)  # a movement blurs along its way and not across
    blurred_T = (evidence_T5[:, sharp] < _BLURRED * usual_5[sharp]).any(1)
    for found_T, reason in (
        (closed_T, EYES_CLOSED),
        (blurred_T, BLURRED),
        (np.asarray(binary_dilation(hidden_T, iterations=_MARGIN_FRAMES)), MOUTH_HIDDEN),
    ):
        reason_T[found_T & known_T] = reason
    return reason_T


def time_codes(frames: NDArray[np.bool_], most: int = 5) -> str:
    """Where frames lie that a person should look at: "0:04.0 to 0:06.0, 1:10.4"; the longest runs, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], frames.astype(np.int8), [0]]))).reshape(-1, 2)
    shown = sorted(sorted(edges.tolist(), key=lambda run: run[0] - run[1])[:most])
    said = [_code(start) if stop - start < FPS / 5 else f"{_code(start)} to {_code(stop)}" for start, stop in shown]
    return ", ".join(said) + (f" and {len(edges) - most} more" if len(edges) > most else "")


def _code(frame: int) -> str:
    return f"{frame // FPS // 60}:{frame / FPS % 60:04.1f}"
