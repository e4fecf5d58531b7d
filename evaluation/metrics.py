"""Every metric of one take, by one function, so that the drawn and the real video are measured alike.

A *take* is one version of the test block's frames: drawn with their own sound ("generated"), filmed ("real"),
drawn with other sound ("shuffled"), with the closed reference mouth pasted on every frame ("closed"), or with the lower
face of a photo avatar of the same person, told the block's own sound ("photo"; only where it is asked for). The result
is a flat dictionary `<take>.<metric>`. Keys are stable: avatars carry them in avatar.json.

Axes: T frames, K landmarks, H W C picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation import lips, picture
from evaluation.sync import SyncScore
from evaluation.value import Value, known, unknown
from recipe.mask_328 import alpha_bounds, hidden_mask
from recipe.mouth import mouth_boxes, pixel_boxes
from recipe.recipe_328 import PATCH_TOP_PX

GENERATED, REAL, SHUFFLED, CLOSED, PHOTO = "generated", "real", "shuffled", "closed", "photo"
TAKES = {
    GENERATED: "drawn with the block's own sound",
    REAL: "the filmed frames: the upper bound",
    SHUFFLED: "drawn with sound from elsewhere: what luck scores",
    CLOSED: "closed reference mouth pasted on every frame: what not speaking scores",
    PHOTO: "a photo avatar of the same person, made of one training frame: what is to be beaten",
}


@dataclass(frozen=True)
class MetricInfo:
    """How to print a metric and how to read it."""

    key: str
    label: str
    decimals: int
    aim: str
    meaning: str


METRICS = (
    MetricInfo("psnr_masked_db", "PSNR, masked region, dB", 2, "higher", "closeness to the filmed pixels"),
    MetricInfo("psnr_mouth_db", "PSNR, mouth, dB", 2, "higher", "the same inside the mouth's box"),
    MetricInfo("ssim_masked", "SSIM, masked region", 4, "1", "likeness of structure"),
    MetricInfo("ssim_mouth", "SSIM, mouth", 4, "1", "the same inside the mouth's box"),
    MetricInfo("lpips", "LPIPS (AlexNet), rows drawn", 4, "0", "learned distance; needs the package lpips"),
    MetricInfo("sharpness_ratio", "sharpness, drawn / real", 2, "1", "variance of the Laplacian; low is blurred"),
    MetricInfo("seam_ratio", "seam, drawn / real", 2, "1", "step across the mask's edge at its worst contour"),
    MetricInfo("lmd_percent", "LMD, % of eye distance", 2, "0", "distance of the lip points from the filmed ones"),
    MetricInfo("opening_r", "opening: Pearson r", 3, "1", "does the mouth open when the real one does"),
    MetricInfo("opening_ccc", "opening: CCC", 3, "1", "the same, size and rest level included"),
    MetricInfo("opening_amplitude", "opening: amplitude, drawn / real", 2, "1", "low mumbles, high exaggerates"),
    MetricInfo("opening_lag_frames", "opening: lag, frames", 0, "0", "positive is late"),
    MetricInfo("silence_move_percent", "moves in silence, % of frames", 1, "real", "silent frames off the rest level"),
    MetricInfo("silence_opening_percent", "opening in silence, % of eyes", 2, "real", "a mouth that rests open"),
    MetricInfo(
        "digital_silence_move_percent", "moves in digital silence, %", 1, "0", "drawn for sound that is all zeros"
    ),
    MetricInfo("room_tone_move_percent", "moves in room tone, %", 1, "0", "drawn for faint noise"),
    MetricInfo("leak_r", "leak: r with the template", 3, "real", "other sound drawn, yet like the template's mouth"),
    MetricInfo("leak_net_r", "leak: r, chance taken out", 3, "0", "what of it the other sound does not explain"),
    MetricInfo("flicker_skin_ratio", "flicker on still skin, drawn / real", 2, "1", "change from frame to frame"),
    MetricInfo("flicker_pause_ratio", "flicker in pauses, drawn / real", 2, "1", "the same in silence, whole mask"),
    MetricInfo("sync_offset_frames", "sync: offset, frames", 0, "0", "where the scoring SyncNet fits best"),
    MetricInfo("sync_confidence", "sync: confidence", 3, "real", "how clearly it fits there"),
    MetricInfo("sync_accuracy_percent", "sync: windows within 1 frame, %", 1, "real", "how often it fits at once"),
)


@dataclass(frozen=True)
class Block:
    """The filmed side of the test block.

    Attributes:
        strips_THWC: rows of the inner square that may change, (T, 192, 320, 3) RGB.
        landmarks_TK2: detected, in strip pixels; NaN where no face was found.
        segment_T: number of the uninterrupted stretch each frame belongs to.
        silent_T: True where the voice gate is closed.
    """

    strips_THWC: NDArray[np.uint8]
    landmarks_TK2: NDArray[np.float32]
    segment_T: NDArray[np.int64]
    silent_T: NDArray[np.bool_]

    @property
    def consecutive_T(self) -> NDArray[np.bool_]:
        """True where frame t follows frame t - 1."""
        return np.concatenate([[False], self.segment_T[1:] == self.segment_T[:-1]])


@dataclass(frozen=True)
class Take:
    """One version of the block's frames, with its detected landmarks and its sync score (or why not)."""

    strips_THWC: NDArray[np.uint8]
    landmarks_TK2: NDArray[np.float32]
    sync: SyncScore | str


def score_take(take: Take, block: Block) -> dict[str, Value]:
    """All of METRICS but the leak, which takes several takes (`leak`).

    Raises:
        ValueError: the take and the block differ in shape.
    """
    if take.strips_THWC.shape != block.strips_THWC.shape:
        raise ValueError(f"take {take.strips_THWC.shape} and test block {block.strips_THWC.shape} differ in shape")
    return {**_picture_scores(take, block), **_lip_scores(take, block), **sync_values(take.sync)}


def leak(
    shuffled: list[NDArray[np.float64]], elsewhere: list[NDArray[np.float64]], source: NDArray[np.float64]
) -> tuple[Value, Value, Value]:
    """How far frames drawn with other sound still follow the mouth of the frame they are drawn on.

    Args:
        shuffled: opening curves of the block drawn with other sound, one per stretch of that sound.
        elsewhere: filmed opening curves that belong to those stretches of sound.
        source: filmed opening curve of the block.
    Returns:
        (correlation with the source's opening; what of it is left when chance is taken out; what chance gives:
        the correlation of the filmed curves).
    """
    return (
        lips.pooled_correlation(shuffled, source),
        lips.net_correlation(shuffled, elsewhere, source),
        lips.pooled_correlation(elsewhere, source),
    )


def _picture_scores(take: Take, block: Block) -> dict[str, Value]:
    drawn, filmed = take.strips_THWC, block.strips_THWC
    height, width = filmed.shape[1:3]
    boxes = pixel_boxes(mouth_boxes(block.landmarks_TK2), height, width)
    alpha_min, alpha_max = (bound[PATCH_TOP_PX:] for bound in alpha_bounds())
    masked, mouth = hidden_mask()[None, PATCH_TOP_PX:] > 0, picture.box_regions(boxes, height, width)
    ssim_masked, ssim_mouth = picture.ssim_T(drawn, filmed, (masked, mouth))
    follows = block.consecutive_T
    still = picture.quiet_skin(filmed, alpha_min >= 1, boxes, follows)
    pauses = follows & block.silent_T & np.concatenate([[False], block.silent_T[:-1]])
    return {
        "psnr_masked_db": known(picture.psnr_T(drawn, filmed, masked).mean()),
        "psnr_mouth_db": known(picture.psnr_T(drawn, filmed, mouth).mean()),
        "ssim_masked": known(ssim_masked.mean()),
        "ssim_mouth": known(ssim_mouth.mean()),
        "sharpness_ratio": picture.sharpness_ratio(drawn, filmed, boxes),
        "seam_ratio": picture.seam_ratio(drawn, filmed, alpha_max > 0),
        "flicker_skin_ratio": picture.flicker_ratio(drawn, filmed, still, follows),
        "flicker_pause_ratio": picture.flicker_ratio(drawn, filmed, masked[0], pauses),
    }


def _lip_scores(take: Take, block: Block) -> dict[str, Value]:
    drawn, filmed = lips.opening_T(take.landmarks_TK2), lips.opening_T(block.landmarks_TK2)
    return {
        "lmd_percent": lips.landmark_distance(take.landmarks_TK2, block.landmarks_TK2),
        "opening_r": lips.pearson(drawn, filmed),
        "opening_ccc": lips.concordance(drawn, filmed),
        "opening_amplitude": lips.amplitude_ratio(drawn, filmed),
        "opening_lag_frames": lips.best_lag(drawn, filmed, block.segment_T),
        "silence_move_percent": lips.silence_move_percent(drawn, block.silent_T),
        "silence_opening_percent": lips.silence_opening_percent(drawn, block.silent_T),
    }


def sync_values(sync: SyncScore | str) -> dict[str, Value]:
    """A sync score as metrics; without one every metric has the reason."""
    if isinstance(sync, str):
        return {f"sync_{key}": unknown(sync) for key in ("offset_frames", "confidence", "accuracy_percent")}
    return {
        "sync_offset_frames": known(sync.offset_frames),
        "sync_confidence": known(sync.confidence),
        "sync_accuracy_percent": known(sync.accuracy_percent),
    }
