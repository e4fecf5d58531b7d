"""The filmed frames an avatar is drawn on, and the order in which they are shown.

The walk goes to and fro between two calm frames, one near each end: time that runs backwards shows in a
moving head, and least where the head stands still. Two frames shown one after the other are always
neighbours in the recording.

Axes: T template frames, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import av
import numpy as np
from numpy.typing import NDArray

from recipe.colour import decode_rgb
from recipe.errors import BrokenAvatarError
from recipe.media import open_container
from recipe.recipe_328 import FPS
from services.avatars.byte_cache import ByteCache
from services.errors import TemplateRangeError

_Kind = Literal["picture", "group"]  # RGB, by frame; decoded, by group of pictures

_TURN_WITHIN: Final = 2 * FPS  # the walk turns in the first and the last two seconds...
_TURN_WITHIN_SHARE: Final = 0.25  # ...or quarters, if those are shorter


def turning_frames(motion_T: NDArray[np.float32]) -> tuple[int, int]:
    """The calmest frame near the start and the calmest near the end of the template.

    Args:
        motion_T: mean movement of the landmarks, px per frame.
    Returns:
        (low, high), low <= high.
    """
    last = len(motion_T) - 1
    padded = np.pad(motion_T.astype(np.float64), 1, mode="edge")
    calm = padded[:-2] + padded[1:-1] + padded[2:]  # the movement into, at and out of the frame
    reach = min(_TURN_WITHIN, int(last * _TURN_WITHIN_SHARE))
    return int(np.argmin(calm[: reach + 1])), last - int(np.argmin(calm[::-1][: reach + 1]))


@dataclass(frozen=True, slots=True)
class TemplateStep:
    """A template frame that is shown, and where the walk goes from it."""

    index: int
    direction: int  # 1 forwards, -1 backwards in the recording


@dataclass(slots=True)
class TemplateWalk:
    """Where a session stands in the template; the same start always gives the same sequence."""

    low: int
    high: int
    index: int
    direction: int = 1

    @classmethod
    def start(cls, motion_T: NDArray[np.float32], start_frame: int = 0, direction: int = 1) -> TemplateWalk:
        """Begin at a frame.

        Args:
            motion_T: the avatar's, px per frame.
            start_frame: the first frame shown; it may lie outside the turning frames.
            direction: 1 forwards, -1 backwards in the recording.
        Raises:
            TemplateRangeError: there is no such frame.
        """
        if not 0 <= start_frame < len(motion_T):
            raise TemplateRangeError(
                f"start frame {start_frame} is outside the template; choose 0 to {len(motion_T) - 1}"
            )
        low, high = turning_frames(motion_T)
        return cls(low, high, start_frame, direction)

    @classmethod
    def after(cls, motion_T: NDArray[np.float32], shown: TemplateStep) -> TemplateWalk:
        """Go on after a frame that was shown.

        Raises:
            TemplateRangeError: there is no such frame.
        """
        walk = cls.start(motion_T, shown.index, shown.direction)
        walk.take(1)
        return walk

    def take(self, count: int) -> list[int]:
        """The next `count` frames to show."""
        return [step.index for step in self.steps(count)]

    def steps(self, count: int) -> list[TemplateStep]:
        """The next `count` frames to show, each with the direction in which the walk leaves it."""
        return [self._step() for _ in range(count)]

    def _step(self) -> TemplateStep:
        shown = self.index
        if self.index >= self.high:
            self.direction = -1
        elif self.index <= self.low:
            self.direction = 1
        if self.low < self.high:
            self.index += self.direction
        return TemplateStep(shown, self.direction)


class TemplateVideo:
    """frames.mp4, decoded where it is needed and within a byte budget.

    A miss decodes the group of pictures the frame belongs to, so that walking backwards costs one decoded
    picture per frame, like walking forwards. Pictures wait as the decoder gave them (half the bytes of RGB)
    and become RGB one by one. Both kinds share the budget, what was used last stays: every session needs the group it
    walks in, or it would decode a group for every frame, and RGB pictures fill the room that is left.
    """

    def __init__(self, path: Path, frames: int, width: int, height: int, cache_bytes: int) -> None:
        """Index the file.

        Args:
            path: H.264 of closed groups of pictures without B-frames.
            frames: how many pictures it must hold.
            width: of the picture, px.
            height: of the picture, px.
            cache_bytes: for decoded pictures.
        Raises:
            BrokenAvatarError: it is no such video.
        """
        self._path = path
        self.width, self.height = width, height
        self._picture_bytes = width * height * 3
        self._kept: ByteCache[tuple[_Kind, int], NDArray[np.uint8] | list[av.VideoFrame]] = ByteCache(cache_bytes)
        self._lock = threading.Lock()
        try:
            self._container = open_container(path)
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            size = (self._stream.codec_context.width, self._stream.codec_context.height)
            packets = [p for p in self._container.demux(self._stream) if p.pts is not None]
        except (av.error.FFmpegError, IndexError) as error:
            raise BrokenAvatarError(f"{path} cannot be read as a video ({error}); package the avatar again") from error
        if len(packets) != frames or size != (width, height):
            raise BrokenAvatarError(
                f"{path} holds {len(packets)} frames of {size[0]}x{size[1]} px, avatar.json says {frames} of "
                f"{width}x{height}; package the avatar again"
            )
        self._pts = [p.pts for p in packets if p.pts is not None]
        self._group_starts = [index for index, packet in enumerate(packets) if packet.is_keyframe]
        if self._pts != sorted(self._pts) or self._group_starts[:1] != [0]:
            raise BrokenAvatarError(f"{path} has B-frames or does not begin with a key frame; package the avatar again")

    def frame(self, index: int) -> NDArray[np.uint8]:
        """A copy of frame `index`, (H, W, 3) RGB, that the caller may draw on.

        Raises:
            BrokenAvatarError: its group of pictures cannot be decoded.
        """
        return self.shown(index).copy()

    def region(self, index: int, rows: slice, columns: slice) -> NDArray[np.uint8]:
        """A copy of a part of frame `index`, that the caller may draw on; raises what `frame` does."""
        return self.shown(index)[rows, columns].copy()

    def shown(self, index: int) -> NDArray[np.uint8]:
        """Frame `index` itself, to be read only; raises what `frame` does."""
        with self._lock:
            picture = self._kept.get(("picture", index))
            if not isinstance(picture, np.ndarray):
                group = bisect_right(self._group_starts, index) - 1
                picture = decode_rgb(self._decoded_group(group)[index - self._group_starts[group]])
                self._kept.put(("picture", index), picture, picture.nbytes)
        return picture

    def _decoded_group(self, group: int) -> list[av.VideoFrame]:
        pictures = self._kept.get(("group", group))
        if not isinstance(pictures, list):
            pictures = self._decode_group(group)
            self._kept.put(("group", group), pictures, len(pictures) * self._picture_bytes // 2)
        return pictures

    def _decode_group(self, group: int) -> list[av.VideoFrame]:
        start, stop = [*self._group_starts, len(self._pts)][group : group + 2]
        pictures: list[av.VideoFrame] = []
        try:
            self._container.seek(self._pts[start], stream=self._stream)
            for picture in self._container.decode(self._stream):
                if picture.pts is not None and picture.pts >= self._pts[start]:
                    pictures.append(picture)
                if len(pictures) == stop - start:
                    break
        except av.error.FFmpegError as error:
            raise BrokenAvatarError(f"{self._path}: frame {start} ff. cannot be decoded ({error})") from error
        if [picture.pts for picture in pictures] != self._pts[start:stop]:
            raise BrokenAvatarError(f"{self._path}: frames {start} to {stop - 1} are not where the file's index says")
        return pictures
