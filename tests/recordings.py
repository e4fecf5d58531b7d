"""Twelve recordings that differ in what they lack, ten seconds each: of the synthetic presenter, and real clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.media import RATE_HZ
from tests.odd import DATA, film, presenter, presenter_sound

Picture = NDArray[np.uint8]
FRAMES = 350  # at most, of a recording; most have ten seconds
SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "media"
MOUTH_XY = (256, 318)  # in the presenter's pictures, within a few px


def take(
    *spans: tuple[float, float], change: Callable[[int, Picture], Picture] | None = None
) -> Callable[[Path], None]:
    """A recording of spans of the presenter's, one after the other."""

    def make(path: Path) -> None:
        pictures: Iterable[Picture] = chain.from_iterable(presenter(*span) for span in spans)
        if change is not None:
            pictures = (change(t, picture) for t, picture in enumerate(pictures))
        film(path, iter(islice(pictures, FRAMES)), np.concatenate([presenter_sound(*span) for span in spans]))

    return make


def never_rests(path: Path) -> None:
    """Only frames whose lips are apart, with their sound."""
    opening = np.load(DATA / "presenter_ground_truth.npz")["mouth_open_mm"]
    open_T = np.flatnonzero(opening > np.percentile(opening, 40))[:260]
    chosen = set(open_T.tolist())
    sound_S = presenter_sound(0, 20.32)
    step = RATE_HZ // 25
    pictures = (picture for t, picture in enumerate(presenter(0, 20.4)) if t in chosen)
    film(path, pictures, np.concatenate([sound_S[t * step : (t + 1) * step] for t in open_T]))


def turned(_: int, picture: Picture) -> Picture:
    """The head as if turned: one half of the face narrower than the other."""
    corners = np.array([[0, 0], [511, 0], [511, 511], [0, 511]], np.float32)
    seen = np.array([[-60, -100], [560, -20], [560, 560], [-60, 640]], np.float32)
    turn = cv2.getPerspectiveTransform(corners, seen)
    return np.asarray(cv2.warpPerspective(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def bearded(_: int, picture: Picture) -> Picture:
    """Dark hair over the upper lip and around the mouth."""
    mask = np.zeros(picture.shape[:2], np.float32)
    cv2.ellipse(mask, (MOUTH_XY[0], MOUTH_XY[1] + 22), (58, 60), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    cv2.ellipse(mask, (MOUTH_XY[0], MOUTH_XY[1] + 2), (24, 10), 0, 0, 360, 0.0, -1, cv2.LINE_AA)
    alpha = 0.75 * cv2.GaussianBlur(mask, (0, 0), 4)[..., None]
    hair = np.random.default_rng(0).normal(60, 18, (*picture.shape[:2], 1)) * np.array([1.0, 0.85, 0.7])
    return np.clip(picture + (hair - picture) * alpha, 0, 255).astype(np.uint8)


def covered(t: int, picture: Picture) -> Picture:
    """A hand before the mouth for two seconds."""
    if not 100 <= t < 150:
        return picture
    out = picture.copy()
    cv2.circle(out, MOUTH_XY, 62, (205, 160, 140), -1, cv2.LINE_AA)
    return out


def cut(t: int, picture: Picture) -> Picture:
    """Nearer after the first jump cut, to the side after the second."""
    if t < 85:
        return picture
    move = np.array([[1.15, 0, -40], [0, 1.15, -30]]) if t < 170 else np.array([[1.0, 0, 45], [0, 1.0, 10]])
    return np.asarray(cv2.warpAffine(picture, move, (512, 512), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def with_music(path: Path) -> None:
    """Chords under the voice, nearly as loud."""
    voice_S = presenter_sound(0, 10.24)
    clock_S = np.arange(len(voice_S)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * hz * clock_S) * (1 + np.sin(2 * np.pi * beat * clock_S)) for hz, beat in
                ((220, 2.0), (277, 1.0), (330, 0.5)))  # fmt: skip
    film(path, presenter(0, 10.24), (voice_S + 0.4 * voice_S.std() * tones).astype(np.float32))


def real(name: str) -> Callable[[Path], None]:
    """A real clip, as it is."""

    def make(path: Path) -> None:
        path.symlink_to(SHARED / name)

    return make


def small_and_soft(t: int, picture: Picture) -> Picture:
    """A bad camera: blurred, dark and noisy."""
    grain = np.random.default_rng(t).normal(0, 6, picture.shape)
    return np.clip(0.5 * cv2.GaussianBlur(picture, (0, 0), 1.8) + grain, 0, 255).astype(np.uint8)


RECORDINGS: dict[str, Callable[[Path], None]] = {
    "never-rests": never_rests,
    "no-silence-at-the-ends": take((4.0, 14.3)),
    "ten-seconds": take((0.0, 10.1)),
    "one-sentence-repeated": take((3.0, 6.5), (3.0, 6.5), (3.0, 6.5)),
    "head-turned": take((0.0, 10.3), change=turned),
    "music-under-the-voice": with_music,
    "two-jump-cuts": take((0.0, 3.4), (6.0, 9.4), (12.0, 15.5), change=cut),
    "beard-over-the-lips": take((0.0, 10.3), change=bearded),
    "hand-before-the-mouth": take((0.0, 13.0), change=covered),
    "bad-camera": take((8.0, 18.3), change=small_and_soft),
    "real-ten-seconds": real("LatentSync_demo1_video.mp4"),
    "real-news": real("LatentSync_demo2_video.mp4"),
}


def is_there(name: str) -> bool:
    """Whether a recording can be made here: the real clips are not distributed with the repository."""
    return not name.startswith("real") or SHARED.is_dir()
