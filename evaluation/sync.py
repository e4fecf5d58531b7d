"""Audio-visual sync: do picture and sound of the same moment fit better than those of other moments?

The scoring network is never one that trained the avatar. It embeds five consecutive frames, and the five
audio windows that belong to them, as unit vectors; their cosine is high when they belong together.
Axes: T frames, N windows of five frames, S samples of one audio window, D embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from recipe.recipe_328 import INNER_PX

WINDOW_FRAMES = 5
OFFSET_RANGE = 15
_BATCH = 32


# One uninterrupted stretch: picture (N, D), sound (N, D), and which windows hold speech (N,).
Stretch = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]


class SyncScorer(Protocol):
    """Embeds stretches of frames and of sound for scoring."""

    def picture(self, inner_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(T - 4, D) unit vectors of the five-frame windows of (T, 320, 320, 3) RGB pictures."""

    def sound(self, pcm_TS: NDArray[np.float32]) -> NDArray[np.float32]:
        """(T - 4, D) unit vectors of the five-frame windows of (T, 8032) samples."""


@dataclass(frozen=True)
class SyncScore:
    """`offset_frames`: by how much the picture is late. `confidence`: how far the best offset's mean cosine
    stands above the median one. `accuracy_percent`: windows whose own best offset lies within one frame of 0."""

    offset_frames: int
    confidence: float
    accuracy_percent: float
    windows: int


def score_sync(stretches: list[Stretch]) -> SyncScore | None:
    """Slide picture against sound.

    Args:
        stretches: the sound is slid inside its own stretch only.
    Returns:
        None when no window holds speech and can be slid by OFFSET_RANGE // 3 frames both ways.
    """
    offsets = np.arange(-OFFSET_RANGE, OFFSET_RANGE + 1)  # sound index minus picture index
    rows = []
    for picture_ND, sound_ND, voiced_N in stretches:
        cosine_NN = picture_ND.astype(np.float64) @ sound_ND.astype(np.float64).T
        for n in np.flatnonzero(voiced_N):
            if not OFFSET_RANGE // 3 <= n < len(sound_ND) - OFFSET_RANGE // 3:
                continue
            reachable = (n + offsets >= 0) & (n + offsets < len(sound_ND))
            rows.append(np.where(reachable, cosine_NN[n, np.clip(n + offsets, 0, len(sound_ND) - 1)], np.nan))
    if not rows:
        return None
    cosine_NO = np.stack(rows)
    covered = np.isfinite(cosine_NO).any(axis=0)
    curve = np.array([np.nanmean(column) if ok else -1.0 for column, ok in zip(cosine_NO.T, covered, strict=True)])
    own_best = offsets[np.nanargmax(cosine_NO, axis=1)]
    return SyncScore(
        offset_frames=-int(offsets[np.argmax(curve)]),
        confidence=float(curve.max() - np.median(curve[covered])),
        accuracy_percent=float(100 * np.mean(np.abs(own_best) <= 1)),
        windows=len(rows),
    )


class OnnxSyncScorer:
    """The scoring SyncNet exported by training, from two ONNX files.

    Raises:
        FileNotFoundError: names the file that is not there, from checkpoint/ on: an avatar keeps the reason.
    """

    VISUAL, AUDIO = "scorer_visual.onnx", "scorer_audio.onnx"

    def __init__(self, folder: Path) -> None:
        for name in (self.VISUAL, self.AUDIO):
            if not (folder / name).is_file():
                place = Path("checkpoint", folder.parent.name, folder.name, name)
                raise FileNotFoundError(f"no scoring network at {place}; train_328.py --stage syncnet makes it")
        self._visual = onnxruntime.InferenceSession(folder / self.VISUAL, providers=["CPUExecutionProvider"])
        self._audio = onnxruntime.InferenceSession(folder / self.AUDIO, providers=["CPUExecutionProvider"])

    def picture(self, inner_THWC: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `SyncScorer`."""
        if inner_THWC.shape[1:] != (INNER_PX, INNER_PX, 3):
            raise ValueError(f"the scorer sees ({INNER_PX}, {INNER_PX}, 3) pictures, got {inner_THWC.shape[1:]}")
        return _run_windows(self._visual, inner_THWC)

    def sound(self, pcm_TS: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `SyncScorer`."""
        return _run_windows(self._audio, pcm_TS)


def voiced_windows(gate_T: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Windows of five frames (T - 4,) in all of which the voice gate is open."""
    return np.asarray(np.lib.stride_tricks.sliding_window_view(gate_T > 0, WINDOW_FRAMES).all(axis=1), np.bool_)


def _run_windows(session: onnxruntime.InferenceSession, items_T: NDArray[np.generic]) -> NDArray[np.float32]:
    """Run every window of five items through a network, a batch at a time, and normalise the answers."""
    name = session.get_inputs()[0].name
    embedded: list[NDArray[np.float32]] = []
    for first in range(0, len(items_T) - WINDOW_FRAMES + 1, _BATCH):
        last = min(first + _BATCH, len(items_T) - WINDOW_FRAMES + 1)
        batch = np.stack([items_T[n : n + WINDOW_FRAMES] for n in range(first, last)])
        embedded.append(session.run(None, {name: batch})[0])
    if not embedded:
        return np.zeros((0, 1), np.float32)
    joined = np.concatenate(embedded)
    return np.asarray(joined / np.maximum(np.linalg.norm(joined, axis=1, keepdims=True), 1e-8), np.float32)
