"""What a picture says about its face: a mouth that is covered is not taken for one that was seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.evidence import BLURRED, EDGE, EYE, EYES_CLOSED, MOUTH_HIDDEN, time_codes, unseen
from data_prep.landmarks import FaceTracker, follow_face
from data_prep.video import iter_rgb
from tests.odd import presenter

Picture = NDArray[np.uint8]
Cover = Callable[[Picture, NDArray[np.float64]], Picture]
START, STOP, FRAMES = 30, 50, 80  # covered of these frames
SKIN = (205.0, 160.0, 140.0)


def disc(colour: tuple[float, float, float], radius: int) -> Cover:
    def cover(picture: Picture, mouth: NDArray[np.float64]) -> Picture:
        mask = np.zeros(picture.shape[:2], np.float32)
        cv2.circle(mask, (int(mouth[0]), int(mouth[1])), radius, 1.0, -1, cv2.LINE_AA)
        alpha = cv2.GaussianBlur(mask, (5, 5), 0)[..., None]
        grain = np.random.default_rng(0).normal(0, 4, picture.shape)
        return np.clip(picture + (np.array(colour) + grain - picture) * alpha, 0, 255).astype(np.uint8)

    return cover


def hand(picture: Picture, mouth: NDArray[np.float64]) -> Picture:
    """Four fingers with dark lines between them, as lips have one."""
    out, (x, y) = disc(SKIN, 62)(picture, mouth), mouth.astype(int)
    for k in range(4):
        cv2.line(out, (x - 60, y - 24 + 18 * k), (x + 58, y - 34 + 18 * k), (150, 105, 85), 2, cv2.LINE_AA)
    return out


def microphone(picture: Picture, mouth: NDArray[np.float64]) -> Picture:
    out, (x, y) = disc((30, 30, 33), 34)(picture, mouth), mouth.astype(int)
    for k in range(-30, 31, 6):
        cv2.line(out, (x + k, y - 26), (x + k, y + 26), (70, 70, 75), 1)
    return out


def half(picture: Picture, mouth: NDArray[np.float64]) -> Picture:
    out, (x, y) = picture.copy(), mouth.astype(int)
    out[y - 40 : y + 60, x : x + 90] = SKIN
    return out


def shaken(picture: Picture, mouth: NDArray[np.float64]) -> Picture:
    kernel = np.zeros((21, 21), np.float32)
    kernel[10] = 1 / 21
    return np.asarray(cv2.filter2D(picture, -1, kernel), np.uint8)


@pytest.fixture(scope="module")
def filmed() -> list[Picture]:
    return list(presenter(4, 4 + FRAMES / 25))


@pytest.fixture(scope="module")
def mouths(filmed: list[Picture]) -> list[NDArray[np.float64]]:
    tracker = FaceTracker()
    points = [tracker.track(picture) for picture in filmed]
    tracker.close()
    return [np.asarray(found[[61, 291, 0, 17]].mean(0), np.float64) for found in points if found is not None]


COVERS: dict[str, tuple[Cover, str]] = {
    "a hand": (hand, MOUTH_HIDDEN),
    "a palm": (disc(SKIN, 38), MOUTH_HIDDEN),
    "a cup": (disc((235, 235, 230), 40), MOUTH_HIDDEN),
    "a microphone": (microphone, MOUTH_HIDDEN),
    "half of it": (half, MOUTH_HIDDEN),
    "a shaken camera": (shaken, BLURRED),
}


@pytest.mark.parametrize("what", COVERS)
def test_frames_in_which_the_mouth_cannot_be_seen_are_found(
    what: str, filmed: list[Picture], mouths: list[NDArray[np.float64]]
) -> None:
    cover, reason = COVERS[what]
    pictures = [
        cover(picture, mouth) if START <= t < STOP else picture
        for t, (picture, mouth) in enumerate(zip(filmed, mouths, strict=True))
    ]
    tracked = follow_face(pictures)
    assert tracked.valid_T[START:STOP].mean() > 0.9  # the mesh believes all of it
    found = unseen(tracked.evidence_T5)
    named = found == reason
    assert named[START + 2 : STOP - 2].all()
    assert not (found[: START - 4] != "").any() and not (found[STOP + 4 :] != "").any()


def test_faces_that_are_seen_are_not_suspected(presenter_video: Path) -> None:
    tracked = follow_face(list(presenter(0, 6)))
    assert not (unseen(tracked.evidence_T5) != "").any()


@pytest.mark.parametrize("name", ["LatentSync_demo1_video.mp4", "vfr_face.mp4"])
def test_real_faces_are_not_suspected(name: str, shared_media: Path) -> None:
    tracked = follow_face(frame for _, frame in zip(range(120), iter_rgb(shared_media / name), strict=False))
    assert not (unseen(tracked.evidence_T5) == MOUTH_HIDDEN).any()
    assert (unseen(tracked.evidence_T5) != "").mean() < 0.05


def test_a_blink_is_no_closed_eye_and_a_mouth_hidden_half_the_time_is_found() -> None:
    random = np.random.default_rng(1)
    evidence = (np.array([2.0, 0.4, 0.5, 0.5, 0.3]) * random.uniform(0.9, 1.1, (500, 5))).astype(np.float32)
    evidence[100:106, EYE] = 0.05
    evidence[200:260, EYE] = 0.05
    evidence[250:, EDGE] = 0.2
    evidence[10] = np.nan
    found = unseen(evidence)
    assert not (found[:195] != "").any()
    assert (found[202:246] == EYES_CLOSED).all()
    assert (found[252:] == MOUTH_HIDDEN).all()
    assert not (unseen(np.full((5, 5), np.nan, np.float32)) != "").any()


def test_time_codes() -> None:
    frames = np.zeros(4000, bool)
    assert time_codes(frames) == ""
    frames[100:150] = True
    frames[1760] = True
    assert time_codes(frames) == "0:04.0 to 0:06.0, 1:10.4"
    frames[3000:3990:10] = True
    assert time_codes(frames, 2) == "0:04.0 to 0:06.0, 1:10.4 and 99 more"
