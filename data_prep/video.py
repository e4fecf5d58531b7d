"""Write a recording as exactly 25 upright frames per second, and read such frames back.

Output frame k is the picture filmed nearest to start_s + k / 25, so that nothing drifts whatever the recording's rate.
Everything downstream is cut from the DECODED frames of the file written here: an avatar that carries packets of it
then makes byte-identical crops.

Axes: T video frames (25/s), H W C image, h w thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import av
import cv2
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from av.video.stream import VideoStream
from numpy.typing import NDArray

from data_prep.errors import TruncatedError
from data_prep.recording import INSTANT_S, Recording
from recipe.colour import decode_rgb, encode_rgb
from recipe.material import GROUP_FRAMES
from recipe.media import decode_pictures, frame_time, open_media, picture_stream
from recipe.recipe_328 import FPS
from recipe.tone import WHITE_NITS

LONGEST_SIDE_PX: Final = 1920
THUMBNAIL_PX: Final = 64
# A picture may be shown at most this much before its time stamp. At a steady rate of 25 or more that is simply the
# nearest picture; in a gap of a variable rate the old picture stays until its successor is due.
_EARLY_S: Final = 0.5 / FPS
_FROZEN_FRAMES: Final = 10
_DAMAGED_SHARE: Final = 0.02  # of the pictures; with more the file is refused


@dataclass(frozen=True)
class NormalisedPictures:
    """What `normalise` saw while it wrote the frames."""

    width: int
    height: int
    thumbnails_THW: NDArray[np.uint8]  # grey, 64 px long
    damaged_T: NDArray[np.bool_]  # the decoder could not repair these
    frozen_T: NDArray[np.bool_]  # the same picture for more than 0.4 s, though the sound goes on
    repeated_frames: int  # shown again because the recording had no newer picture


def normalise(recording: Recording, path: Path, progress: Iterable[int]) -> NormalisedPictures:
    """Write a recording's pictures at 25 frames per second, upright, of even size, without sound.

    Args:
        recording: from `recording.probe`.
        path: the MP4 to write: H.264, closed groups of 25 pictures, no B-frames.
        progress: counts 0, 1, .. recording.frames - 1 while being iterated.
    Raises:
        TruncatedError: too many pictures are damaged.
    """
    thumbnails: list[NDArray[np.uint8]] = []
    damaged: list[bool] = []
    held: list[int] = []  # for how many frames the picture has been shown already
    previous, rgb = None, np.zeros((0, 0, 3), np.uint8)
    with open_media(recording.path) as container:
        stream = picture_stream(container, recording.path)
        shape, white_nits = _pixel_shape(stream), recording.white_nits or WHITE_NITS[0]
        decoded = decode_pictures(container, stream, recording.field_order)
        pictures = at_25_fps(_timed(decoded), recording.start_s, recording.frames)
        writer: FrameWriter | None = None
        try:
            for _, picture in zip(progress, pictures, strict=True):
                held.append(held[-1] + 1 if picture is previous else 0)
                if picture is not previous:
                    rgb = _fit(upright(decode_rgb(picture, white_nits), picture.rotation), shape, writer)
                previous = picture
                writer = writer or FrameWriter(path, rgb.shape[1], rgb.shape[0])
                writer.write(rgb)
                thumbnails.append(thumbnail(rgb))
                damaged.append(bool(picture.is_corrupt))
        finally:
            if writer:
                writer.close()
    if np.mean(damaged) > _DAMAGED_SHARE:
        raise TruncatedError(
            f"{sum(damaged)} of {len(damaged)} frames of {recording.path.name} are damaged: copy it from the camera "
            "again"
        )
    frozen = _frozen(np.array(held))
    repeated = int(np.count_nonzero(held))
    return NormalisedPictures(rgb.shape[1], rgb.shape[0], np.stack(thumbnails), np.array(damaged), frozen, repeated)


def at_25_fps(timed: Iterable[tuple[float, av.VideoFrame]], start_s: float, count: int) -> Iterator[av.VideoFrame]:
    """Choose the picture that is shown at start_s + k / 25 for k = 0 .. count - 1.

    Args:
        timed: pictures with their times, any rate; one that does not come after its predecessor is left out.
        start_s: time of the first output frame.
        count: number of output frames; the last picture is held if the recording ends before.
    """
    shown: av.VideoFrame | None = None
    shown_s, k = 0.0, 0
    for time_s, picture in timed:
        if shown is not None:
            if time_s <= shown_s:
                continue
            takeover_s = max((shown_s + time_s) / 2, time_s - _EARLY_S) - INSTANT_S
            while k < count and start_s + k / FPS < takeover_s:
                yield shown
                k += 1
        if k == count:
            return
        shown, shown_s = picture, time_s
    if shown is not None:
        for _ in range(k, count):
            yield shown


def upright(picture_HWC: NDArray[np.uint8], rotation: int) -> NDArray[np.uint8]:
    """Turn a decoded picture as its file says, in steps of 90 degrees counter-clockwise."""
    return np.ascontiguousarray(np.rot90(picture_HWC, round(rotation / 90)))


def thumbnail(picture_rgb_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A grey picture whose longer side is 64 px."""
    height, width = picture_rgb_HWC.shape[:2]
    scale = THUMBNAIL_PX / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture_rgb_HWC, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)


def iter_rgb(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Decode a file of upright frames, one (H, W, 3) RGB picture after the other."""
    with open_media(path) as container:
        for picture in decode_pictures(container, picture_stream(container, path)):
            yield decode_rgb(picture)


class FrameWriter:
    """Codes RGB pictures of one size as 25 frames per second."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._container = av.open(str(path), "w", format="mp4")
        self._stream = self._container.add_stream("libx264", rate=FPS)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, "yuv420p"
        coder = self._stream.codec_context
        coder.options = {
            "preset": "veryfast",
            "crf": "14",
            "x264-params": f"keyint={GROUP_FRAMES}:min-keyint={GROUP_FRAMES}:scenecut=0:open-gop=0:bframes=0",
        }
        coder.colorspace, coder.color_range = Colorspace.ITU709, ColorRange.MPEG
        coder.color_primaries, coder.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
        self._count = 0
        self.size = width, height

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, picture_rgb_HWC: NDArray[np.uint8]) -> None:
        """Append one picture."""
        frame = encode_rgb(picture_rgb_HWC)
        frame.pts, frame.time_base = self._count, Fraction(1, FPS)
        self._count += 1
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Write what the coder still holds."""
        try:
            if self._count:
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()


def _frozen(held_T: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Frames of every picture that is held too long, from its first one on."""
    frozen = np.zeros(len(held_T), bool)
    starts = np.flatnonzero(held_T == 0)
    for start, stop in zip(starts, [*starts[1:], len(held_T)], strict=True):
        frozen[start:stop] = stop - start > _FROZEN_FRAMES
    return frozen


def _timed(pictures: Iterator[av.VideoFrame]) -> Iterator[tuple[float, av.VideoFrame]]:
    return ((frame_time(picture), picture) for picture in pictures)


def _pixel_shape(stream: VideoStream) -> float:
    """Width of a coded pixel over its height; old cameras record 1.07 or 1.42."""
    ratio = stream.sample_aspect_ratio
    return float(ratio) if ratio else 1.0


def _fit(picture_HWC: NDArray[np.uint8], pixel_shape: float, writer: FrameWriter | None) -> NDArray[np.uint8]:
    """Bring a picture to square pixels, an even size and at most 1920 px; later pictures to the size of the first."""
    height, width = picture_HWC.shape[:2]
    if writer:
        target = writer.size
    else:
        scale = min(1.0, LONGEST_SIDE_PX / max(width * pixel_shape, height))
        target = round(width * pixel_shape * scale) // 2 * 2, round(height * scale) // 2 * 2
    if target == (width // 2 * 2, height // 2 * 2):  # an odd row or column is cut, not scaled away
        return np.ascontiguousarray(picture_HWC[: target[1], : target[0]])
    shrinking = target[0] * target[1] < width * height
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture_HWC, target, interpolation=method), np.uint8)
