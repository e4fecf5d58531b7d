"""Cut a recording into contiguous blocks for training, validation and test.

Random frames would be no test: the neighbour of every test frame, 40 ms away, would have been trained on.

Axes: T video frames (25/s).
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS, WINDOW_REACH_FRAMES

GAP_FRAMES: Final = FPS
# What a short recording can spare: with one frame more than twice the reach between them, a training frame and a
# held-out one share no audio sample. SyncNet's windows of five frames lie inside a block, so they need no more.
SHORT_GAP_FRAMES: Final = 2 * WINDOW_REACH_FRAMES + 1
SHORT_RECORDING_FRAMES: Final = 30 * FPS
_VALIDATION_SHARE: Final = 0.05
_VALIDATION_LEAST: Final = FPS
_TEST_SHARE: Final = 0.10
_TEST_LEAST: Final = 2 * FPS
_TEST_SILENCE: Final = FPS  # frames after the last word that the test keeps, to see whether the mouth closes
_TRAINING_LEAST: Final = 4 * FPS
_PIECE_LEAST: Final = 5  # SyncNet's window; a shorter piece between two cuts teaches nothing
_WORTH: Final = {"no cut inside": 2.0, "all frames good": 4.0, "speech": 1.0}  # in recording lengths of displacement

Range = tuple[int, int]


def make_splits(
    frame_count: int,
    clips: list[Range],
    valid_T: NDArray[np.bool_],
    speech_T: NDArray[np.bool_] | None = None,
) -> dict[str, list[Range]]:
    """Choose the blocks: the test at the end, validation in the middle, training in the rest.

    Args:
        frame_count: length of the recording.
        clips: half-open ranges between jump cuts, in order, covering all frames.
        valid_T: frames with a good face.
        speech_T: frames with speech. By our guide a recording ends with closed-mouth silence; knowing the speech
            keeps the test from being all silence. Frames behind the test are trained on.
    Returns:
        Half-open ranges in order under "train" (never across a cut), "val" and "test" (one block each, across a
        cut only where nothing else fits).
    Raises:
        ValueError: the recording is too short, or too few frames have a good face.
    """
    spoken_T = np.ones(frame_count, np.bool_) if speech_T is None or not speech_T.any() else speech_T
    gap = GAP_FRAMES if frame_count >= SHORT_RECORDING_FRAMES else SHORT_GAP_FRAMES
    test_length = max(_TEST_LEAST, round(_TEST_SHARE * frame_count))
    val_length = max(_VALIDATION_LEAST, round(_VALIDATION_SHARE * frame_count))
    speech_stop = int(np.flatnonzero(spoken_T)[-1]) + 1
    latest_test = min(frame_count, max(speech_stop + _TEST_SILENCE, test_length)) - test_length
    test = _best_block("test", latest_test, test_length, latest_test, clips, valid_T, spoken_T)
    middle = (frame_count - val_length) // 2
    latest_val = test[0] - gap - val_length
    val = _best_block("validation", middle, val_length, latest_val, clips, valid_T, spoken_T)

    free_T = np.ones(frame_count, np.bool_)
    for start, stop in (test, val):
        free_T[max(0, start - gap) : stop + gap] = False
    train = [piece for clip in clips for piece in _runs(free_T, clip)]
    usable = sum(int(valid_T[start:stop].sum()) for start, stop in train)
    if usable < _TRAINING_LEAST:
        raise ValueError(
            f"only {usable} frames with a good face are left for training beside validation and test (of "
            f"{frame_count} frames {int(valid_T.sum())} are good); at least {_TRAINING_LEAST} are needed: record "
            "longer, with the whole face in the picture all the time"
        )
    return {"train": train, "val": [val], "test": [test]}


def _best_block(
    what: str,
    wanted: int,
    length: int,
    latest: int,
    clips: list[Range],
    valid_T: NDArray[np.bool_],
    spoken_T: NDArray[np.bool_],
) -> Range:
    """The block nearest to the wanted place that has good faces, speech and no cut."""
    if latest < 0:
        raise ValueError(
            f"a recording of {len(valid_T)} frames has no room for a {what} block of {length} frames; "
            f"record at least {10 * FPS} frames (10 s)"
        )
    starts = np.arange(latest + 1)
    cuts = np.array([stop for _, stop in clips[:-1]], np.int64)
    crossed = np.searchsorted(cuts, starts + length, "left") > np.searchsorted(cuts, starts, "right")
    good = _share(valid_T, length)[: latest + 1]
    silent = np.maximum(0, 0.5 - _share(spoken_T, length)[: latest + 1]) * 2
    cost = np.abs(starts - wanted) / len(valid_T) + _WORTH["no cut inside"] * crossed
    cost += _WORTH["all frames good"] * (1 - good) + _WORTH["speech"] * silent
    start = int(np.argmin(cost))
    if good[start] < 0.5:
        raise ValueError(
            f"no {what} block of {length} frames has a good face in at least half of them "
            f"({int(valid_T.sum())} of {len(valid_T)} frames are good): keep the whole face in the picture all the time"
        )
    return start, start + length


def _share(flag_T: NDArray[np.bool_], length: int) -> NDArray[np.float64]:
    """Share of set frames in every block of that length, by its start."""
    total = np.concatenate([[0], np.cumsum(flag_T)])
    share: NDArray[np.float64] = (total[length:] - total[:-length]) / length
    return share


def _runs(free_T: NDArray[np.bool_], clip: Range) -> list[Range]:
    inside = np.zeros(len(free_T) + 2, np.int8)
    inside[1 + clip[0] : 1 + clip[1]] = free_T[clip[0] : clip[1]]
    starts, stops = np.flatnonzero(np.diff(inside)).reshape(-1, 2).T
    return [(int(a), int(b)) for a, b in zip(starts, stops, strict=True) if b - a >= _PIECE_LEAST]
