"""What training needs of a recording, asked in the same words before it starts and while it runs.

Preparation asks `check_material` and refuses what training could not use; training draws its windows with
`window_starts`. Nothing that real recordings lack is asked for: who never closes the mouth gets the most closed frames
there are (training/batches.py), who never pauses gets synthetic silence.

Axes: T video frames (25/s).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS, WINDOW_REACH_FRAMES

Range = tuple[int, int]

LONGEST_WINDOW: Final = 5  # consecutive frames: what SyncNet looks at, and the generator where SyncNet is a loss
GROUP_FRAMES: Final = FPS  # an avatar's template consists of whole groups of pictures of the prepared video


class TooLittleMaterialError(ValueError):
    """The recording lacks something that an avatar cannot be made without."""


def usable_frames(valid_T: NDArray[np.bool_], clips: Sequence[Range]) -> NDArray[np.bool_]:
    """Frames that may be learned from: a good face, and no jump cut within hearing."""
    usable_T = valid_T.copy()
    for start, stop in clips:
        if start > 0:
            usable_T[start : start + WINDOW_REACH_FRAMES] = False
        if stop < len(usable_T):
            usable_T[stop - WINDOW_REACH_FRAMES : stop] = False
    return usable_T


def window_starts(
    usable_T: NDArray[np.bool_], clips: Sequence[Range], ranges: Sequence[Range], length: int
) -> NDArray[np.int64]:
    """First frames of all windows of `length` usable frames inside one range and one clip, in rising order."""
    clip_of_T = np.full(len(usable_T), -1, np.int64)
    for number, (start, stop) in enumerate(clips):
        clip_of_T[start:stop] = number
    good = np.concatenate([[0], np.cumsum(usable_T)])
    starts = []
    for start, stop in ranges:
        first = np.arange(start, max(start, stop - length + 1))
        whole = good[first + length] - good[first] == length
        starts.append(first[whole & (clip_of_T[first] == clip_of_T[first + length - 1])])
    return np.concatenate(starts) if starts else np.zeros(0, np.int64)


def template_groups(valid_T: NDArray[np.bool_], clips: Sequence[Range]) -> list[Range]:
    """Stretches of whole groups of pictures with a good face in every frame, inside one clip, half-open frames."""
    stretches: list[Range] = []
    for clip_start, clip_stop in clips:
        first = -(-clip_start // GROUP_FRAMES) * GROUP_FRAMES
        for start in range(first, clip_stop - GROUP_FRAMES + 1, GROUP_FRAMES):
            if not valid_T[start : start + GROUP_FRAMES].all():
                continue
            if stretches and stretches[-1][1] == start and start > first:
                stretches[-1] = (stretches[-1][0], start + GROUP_FRAMES)
            else:
                stretches.append((start, start + GROUP_FRAMES))
    return stretches


def no_window(split: str, name: str, length: int) -> TooLittleMaterialError:
    """The error for a split that has no window of so many usable frames."""
    return TooLittleMaterialError(
        f"the {split} split of {name!r} has no {length} consecutive usable frames; "
        "the preparation report tells which frames were left out and why: record again or record more"
    )


def no_template(name: str) -> TooLittleMaterialError:
    """The error for a recording on which no avatar could be drawn."""
    return TooLittleMaterialError(
        f"{name!r} has no second in which every frame has a good face: "
        "see report.html of the dataset for why frames were left out, and record again"
    )


def check_material(
    name: str, valid_T: NDArray[np.bool_], clips: Sequence[Range], splits: Mapping[str, Sequence[Range]]
) -> None:
    """Is there everything that training and packaging cannot do without?

    Args:
        name: of the dataset, for the message.
        valid_T: frames with a good face.
        clips: half-open ranges between jump cuts, in order, covering all frames.
        splits: "train", "val" and "test".
    Raises:
        TooLittleMaterialError: what is missing and what to do, in the words that training would use.
    """
    usable_T = usable_frames(valid_T, clips)
    for split in ("train", "val"):
        if len(window_starts(usable_T, clips, splits[split], LONGEST_WINDOW)) == 0:
            raise no_window(split, name, LONGEST_WINDOW)
    if not template_groups(valid_T, clips):
        raise no_template(name)
