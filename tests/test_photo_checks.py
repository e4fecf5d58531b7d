"""Photos that cannot become an avatar are refused with a reason; weak ones are taken with a warning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_prep.errors import HiddenFaceError, PhotoError, PhotoFaceError
from data_prep.photo import Stopwatch
from data_prep.photo_avatar import make_photo_avatar
from data_prep.photo_checks import check_photo
from data_prep.photo_evidence import measure_photo
from data_prep.still_landmarks import StillLandmarks
from data_prep.video import iter_rgb
from recipe.warp.draw import WarpedFace
from recipe.warp.source import prepare_source
from recipe.warp.units import mouth_units
from tests.photo_material import AA, Picture, evidence_of, found_in, prepared, request, written


def covered(picture: Picture, colour: Any, outline: Any, noise: float = 4.0) -> Picture:
    """Something with soft edges and a little texture before the face."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 255)
    alpha = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.2)[..., None]
    grain = np.random.default_rng(0).normal(0, noise, (*picture.shape[:2], 1))
    return np.clip(picture + (np.array(colour) + grain - picture) * alpha, 0, 255).astype(np.uint8)


def mouth_of(found: StillLandmarks) -> np.ndarray:
    return found.points_K3[[13, 14], :2].mean(0)


def mask_over(picture: Picture, found: StillLandmarks, colour: Any) -> Picture:
    corners = [[-95, -50], [0, -70], [95, -50], [60, 50], [0, 72], [-60, 50]]
    return covered(picture, colour, mouth_of(found) + corners)


def disc_over(picture: Picture, found: StillLandmarks, colour: Any, radius: float = 36) -> Picture:
    turn = np.linspace(0, 2 * np.pi, 40)
    return covered(picture, colour, mouth_of(found) + radius * np.stack([np.cos(turn), np.sin(turn)], axis=-1))


def hand_over(picture: Picture, found: StillLandmarks) -> Picture:
    """Four fingers of the cheek's own colour with dark lines between them, as lips have one."""
    skin = picture[found.points_K3[50, 1].astype(int), found.points_K3[50, 0].astype(int)].astype(float)
    x, y = mouth_of(found)
    shown = covered(picture, skin, [[x - 95, y - 38], [x + 85, y - 42], [x + 90, y + 45], [x - 85, y + 42]])
    for k in range(4):
        start, stop = (round(x - 90), round(y - 20 + 20 * k)), (round(x + 85), round(y - 28 + 20 * k))
        cv2.line(shown, start, stop, (skin * 0.7).astype(int).tolist(), 2, cv2.LINE_AA)
    return shown


def beside(picture: Picture) -> Picture:
    return np.concatenate([picture, picture[:, ::-1]], axis=1)


def turned(picture: Picture) -> Picture:
    matrix = cv2.getRotationMatrix2D((256, 230), 28, 1.0)
    return cv2.warpAffine(picture, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)


def shrunk(picture: Picture) -> Picture:
    return cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


REFUSED: dict[str, tuple[Callable[[Picture, StillLandmarks], Picture], type[PhotoError], str]] = {
    "no face": (lambda p, f: np.roll(p[:150].repeat(2, 0), 200, axis=1)[:, :180], PhotoFaceError, "no face was found"),
    "two faces": (lambda p, f: beside(p), PhotoFaceError, "shows 2 faces, expected one"),
    "a small face": (lambda p, f: shrunk(p), PhotoFaceError, r"is 11\d px wide, at least 150"),
    "a turned face": (lambda p, f: turned(p), PhotoFaceError, r"turned tilted by 2\d degrees"),
    "blur": (lambda p, f: cv2.GaussianBlur(p, (0, 0), 4), PhotoFaceError, "is blurred"),
    "a blue mask": (lambda p, f: mask_over(p, f, (120, 170, 210)), HiddenFaceError, "mouth in .* is hidden"),
    "a white mask": (lambda p, f: mask_over(p, f, (230, 230, 228)), HiddenFaceError, "mouth in .* is hidden"),
    "a black mask": (lambda p, f: mask_over(p, f, (30, 30, 32)), HiddenFaceError, "mouth in .* is hidden"),
    "a hand": (hand_over, HiddenFaceError, "mouth in .* is hidden"),
    "a microphone": (lambda p, f: disc_over(p, f, (40, 40, 44)), HiddenFaceError, "mouth in .* is hidden"),
    "a red cup": (lambda p, f: disc_over(p, f, (190, 40, 40)), HiddenFaceError, "mouth in .* is hidden"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_become_an_avatar_is_refused(
    picture: Picture, found: StillLandmarks, tmp_path: Path, case: str
) -> None:
    change, error, message = REFUSED[case]
    path = written(tmp_path / "photo.png", change(picture, found))
    with pytest.raises(error, match=message):
        make_photo_avatar(request(path, tmp_path / "avatars"), Stopwatch())
    assert not (tmp_path / "avatars").exists()


def test_closed_eyes_are_refused(picture: Picture, found: StillLandmarks, tmp_path: Path) -> None:
    asleep = WarpedFace(prepare_source(picture, found.points_K3)).draw(mouth_units({}), np.zeros(5), 1.0)
    with pytest.raises(HiddenFaceError, match=r"eyes in asleep\.png are closed"):
        prepared(written(tmp_path / "asleep.png", asleep))


def test_whole_recordings_pass(presenter_video: Path) -> None:
    """No frame of the presenter is refused but those in the middle of a blink."""
    refused = []
    for i, frame in enumerate(iter_rgb(presenter_video)):
        if i % 25 == 0:
            evidence = measure_photo(frame, found_in(frame))
            try:
                check_photo(evidence, f"{i}")
            except HiddenFaceError:
                refused.append(evidence)
    assert [evidence for evidence in refused if evidence.eye_open > 0.15] == []
    assert len(refused) <= 3


def test_weak_photos_are_taken_with_a_warning(picture: Picture, found: StillLandmarks) -> None:
    def said(changed: Picture) -> str:
        return "; ".join(check_photo(evidence_of(changed), "photo"))

    assert said(picture) == ""
    glasses = picture.copy()
    for iris in (468, 473):
        centre = tuple(int(v) for v in found.points_K3[iris, :2] + [0, 3])
        cv2.ellipse(glasses, centre, (36, 26), 0, 0, 360, (18, 18, 20), -1, cv2.LINE_AA)
    assert "sunglasses" in said(glasses)
    shadow = picture.astype(np.float32)
    shadow[:, : int(mouth_of(found)[0])] *= 0.35
    assert "hard shadow" in said(shadow.astype(np.uint8))
    spoken = WarpedFace(prepare_source(picture, found.points_K3)).draw(AA, np.zeros(5))
    assert "mouth is open" in said(spoken)
    beard = picture.astype(np.float32)
    at = found.points_K3[:, :2]
    chin = np.zeros(picture.shape[:2], np.float32)
    cv2.fillPoly(chin, [at[[205, 164, 425, 434, 378, 152, 149, 214]].astype(np.int32)], 1.0)
    lips = np.zeros_like(chin)
    cv2.fillPoly(lips, [at[[61, 40, 37, 267, 270, 291, 405, 17, 181]].astype(np.int32)], 1.0)
    beard *= 1 - 0.6 * cv2.GaussianBlur(np.maximum(chin - lips, 0), (0, 0), 2)[..., None]
    assert "beard" in said(beard.astype(np.uint8))
