"""Photos that cannot become an avatar are refused with a reason; weak ones are taken with a warning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from benchmarks.bad_photos import BAD_PHOTOS, mouth_of
from data_prep.errors import HiddenFaceError, PhotoError
from data_prep.photo import Stopwatch
from data_prep.photo_avatar import make_photo_avatar
from data_prep.photo_checks import check_photo
from data_prep.photo_evidence import measure_photo
from data_prep.picture_file import read_picture
from data_prep.still_landmarks import StillLandmarks
from data_prep.video import iter_rgb
from presenter.looks import LOOKS
from recipe.warp.draw import WarpedFace
from recipe.warp.source import prepare_source
from tests.photo_material import AA, Picture, evidence_of, found_in, request


@pytest.mark.parametrize("kind", BAD_PHOTOS)
def test_what_cannot_become_an_avatar_is_refused(
    picture: Picture, found: StillLandmarks, tmp_path: Path, kind: str
) -> None:
    """In a word that says why, with nothing half-written; odd files of good photos are taken."""
    bad = BAD_PHOTOS[kind]
    path = bad.made(tmp_path, picture, found)
    if bad.said is None:
        manifest, _ = make_photo_avatar(request(path, tmp_path / "avatars"), Stopwatch())
        assert (manifest.width, manifest.height) == (512, 512)
        return
    with pytest.raises(PhotoError, match=bad.said):
        make_photo_avatar(request(path, tmp_path / "avatars"), Stopwatch())
    assert not (tmp_path / "avatars").exists()


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


PORTRAIT_PX = 420
_SHEET = Path(__file__).parent / "data" / "portraits.webp"
_ON_ANY_FACE = (
    "blurred",
    "closed eyes",
    "a red ball before the middle of the mouth",
    "a hand",
    "a white cup",
    "a microphone",
    "a red cup",
    "closed eyes",
)


@pytest.mark.parametrize("number", range(len(LOOKS)), ids=list(LOOKS))
def test_what_holds_for_one_face_holds_for_others(number: int, tmp_path: Path) -> None:
    """Twelve rendered people of different ages, skins, beards and glasses, turned a little: good as they are."""
    top, left = (PORTRAIT_PX * at for at in divmod(number, 4))
    sheet = np.asarray(Image.open(_SHEET))
    portrait = np.ascontiguousarray(sheet[top : top + PORTRAIT_PX, left : left + PORTRAIT_PX])
    found = found_in(portrait)
    check_photo(measure_photo(portrait, found), "photo")
    for kind in (_ON_ANY_FACE[number % 4], _ON_ANY_FACE[4 + number % 4]):
        bad = BAD_PHOTOS[kind]
        changed = read_picture(bad.made(tmp_path, portrait, found))
        with pytest.raises(PhotoError, match=bad.said):
            check_photo(evidence_of(changed), "photo")


def test_a_turn_that_is_just_too_far_does_not_read_as_allowed(picture: Picture) -> None:
    evidence = replace(evidence_of(picture), yaw_deg=20.01)
    with pytest.raises(PhotoError, match=r"turned sideways by 20\.1 degrees, at most 20 can be used"):
        check_photo(evidence, "a.jpg")
