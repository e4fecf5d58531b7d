"""A film avatar before another background: the edges of the person, and the copy that carries everything over."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_prep.background import composed, main
from data_prep.errors import FaceError
from data_prep.matte import cut_out, own_colour, own_person, to_edges
from data_prep.photo import Stopwatch
from data_prep.photo_avatar import PhotoRequest, make_photo_avatar
from data_prep.video import FrameWriter, iter_rgb
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.avatar_format import FILM_FILE, FRAMES_FILE, TRACK_FILE, read_manifest, write_manifest
from recipe.avatar_format import seal_avatar as seal
from recipe.consent import parse_consent
from recipe.film.arrays import load_film, save_film
from recipe.warp.draw import WarpedFace
from services.avatars.avatar import FilmAvatar, PhotoAvatar, open_avatar
from tests.conftest import REPOSITORY

SIZE, FRAMES = 512, 6
SKIN, WALL = (200, 140, 110), (150, 150, 155)  # equally bright


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A disk before a wall, and its true opacity with a soft edge."""
    far = np.hypot(*np.mgrid[-256:256, -256:256])
    alpha_HW = np.clip((160 - far) / 4, 0, 1).astype(np.float32)
    mixed = alpha_HW[..., None] * np.array(SKIN) + (1 - alpha_HW[..., None]) * np.array(WALL)
    return np.round(mixed).astype(np.uint8), alpha_HW


def test_a_coarse_mask_is_drawn_to_the_colours_of_the_picture() -> None:
    rgb_HWC, alpha_HW = scene()
    coarse = cv2.GaussianBlur(np.roll(alpha_HW, 2, axis=1), (0, 0), 4).astype(np.float32)
    drawn = to_edges(coarse, rgb_HWC)
    assert np.abs(drawn - alpha_HW).mean() < 0.7 * np.abs(coarse - alpha_HW).mean()
    wrong, before = (int(((mask_HW > 0.5) != (alpha_HW > 0.5)).sum()) for mask_HW in (drawn, coarse))
    assert wrong < 0.5 * before, (wrong, before)


def test_the_old_wall_does_not_shine_through() -> None:
    rgb_HWC, alpha_HW = scene()
    rim = (alpha_HW > 0.2) & (alpha_HW < 0.8)
    assert np.abs(own_colour(rgb_HWC, alpha_HW)[rim] - SKIN).max() < 8
    before_blue = composed(rgb_HWC, alpha_HW, "#000080").astype(float)
    wanted = alpha_HW[..., None] * np.array(SKIN) + (1 - alpha_HW[..., None]) * np.array((0, 0, 128))
    assert np.abs(before_blue - wanted).max() < 8
    np.testing.assert_allclose(composed(rgb_HWC, alpha_HW, 12.0)[:8], np.broadcast_to(WALL, (8, SIZE, 3)), atol=2)


def test_other_people_and_nobody() -> None:
    mask = np.zeros((SIZE, SIZE), np.float32)
    mask[20:100, 10:40] = mask[20:100, 90:120] = 1
    own = own_person(mask, np.array([25, 50]))
    assert own is not None and own[50, 25] == 1 and not own[:, 60:].any()
    assert own_person(mask, np.array([64, 50])) is None
    with pytest.raises(FaceError, match="frame 0"):
        list(cut_out([np.full((SIZE, SIZE, 3), 90, np.uint8)], np.array([[64.0, 64.0]])))


@pytest.fixture(scope="module")
def avatars_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first frames of the demo as an avatar of somebody who agreed."""
    root = tmp_path_factory.mktemp("avatars")
    source, folder = REPOSITORY / "avatars" / "demo", root / "short"
    folder.mkdir()
    manifest = read_manifest(source)
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    with FrameWriter(folder / FRAMES_FILE, manifest.width, manifest.height) as writer:
        for picture in islice(iter_rgb(source / FRAMES_FILE), FRAMES):
            writer.write(picture)
    with np.load(source / TRACK_FILE) as track:
        np.savez(folder / TRACK_FILE, **{key: track[key][:FRAMES] for key in track})
    film = load_film(source / FILM_FILE)
    save_film(folder / FILM_FILE, {**film, "track_TK2": film["track_TK2"][:FRAMES]})
    facts = {
        name: getattr(manifest, name) for name in manifest.__dataclass_fields__ if name not in ("files", "consent")
    }
    sealed = seal(folder, facts | {"name": "short", "frames": FRAMES, "synthetic": False})
    consent = parse_consent("Ada, 2026-11-20, tests", sealed.source_sha256)
    write_manifest(folder, replace(sealed, consent=consent, licence="only for tests"))
    return root


def test_the_copy_differs_behind_the_person_alone_and_carries_everything_over(avatars_dir: Path) -> None:
    assert main(["short", "--out", "blue", "--colour", "#204060", "--avatars_dir", str(avatars_dir)]) == 0
    before, after = open_avatar(avatars_dir, "short"), open_avatar(avatars_dir, "blue")
    assert isinstance(after, FilmAvatar) and after.name == after.manifest.name == "blue"
    for name in ("consent", "licence", "source_sha256", "synthetic", "metrics", "frames", "width", "height"):
        assert getattr(after.manifest, name) == getattr(before.manifest, name), name
    assert after.manifest.template == before.manifest.template | {"background": "#204060", "of": "short"}
    filmed, drawn = (np.array(list(iter_rgb(folder / FRAMES_FILE)), int) for folder in (before.folder, after.folder))
    face = before.face
    inner = (slice(None), slice(face.top + 60, face.bottom - 80), slice(face.left + 60, face.right - 60))
    assert np.abs(filmed[inner] - drawn[inner]).mean() < 1.5  # coded anew
    np.testing.assert_allclose(drawn[:, :60, :60].mean((0, 1, 2)), (0x20, 0x40, 0x60), atol=2)
    poster = cv2.imread(str(after.folder / "poster.jpg"))
    np.testing.assert_allclose(poster[:60, :60].mean((0, 1)), (0x60, 0x40, 0x20), atol=3)


def test_a_photo_stands_before_it_too(tmp_path: Path) -> None:
    wish = PhotoRequest("eve", REPOSITORY / "avatars/demo/poster.jpg", tmp_path, 320, synthetic=True)
    make_photo_avatar(wish, Stopwatch())
    assert main(["eve", "--out", "blue", "--colour", "#204060", "--avatars_dir", str(tmp_path)]) == 0
    after = open_avatar(tmp_path, "blue")
    assert isinstance(after, PhotoAvatar) and after.manifest.template["of"] == "eve"
    head_5 = np.array([0.0, 6.0, 0.0, 0.0, 0.0])  # turned aside: what was behind the hair is seen
    drawn = WarpedFace(after.arrays).draw(np.zeros(len(MOUTH_UNITS)), head_5).astype(int)
    before = WarpedFace(open_avatar(tmp_path, "eve").arrays).draw(np.zeros(len(MOUTH_UNITS)), head_5)  # type: ignore[union-attr]
    face = (slice(150, 220), slice(140, 190))
    np.testing.assert_array_equal(drawn[face], before[face])
    np.testing.assert_array_equal(drawn[:60, :40], np.broadcast_to((0x20, 0x40, 0x60), (60, 40, 3)))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nobody", "--out", "x", "--blur", "12"], "no avatar 'nobody'"),
        (["short", "--out", "short", "--blur", "12"], "is there already"),
        (["short", "--out", "../x", "--blur", "12"], "../x"),
        (["demo-unet", "--out", "x", "--blur", "12"], "of kind video"),
    ],
)
def test_what_cannot_be_is_said(
    avatars_dir: Path, arguments: list[str], says: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = REPOSITORY / "avatars" if arguments[0] == "demo-unet" else avatars_dir
    assert main([*arguments, "--avatars_dir", str(folder)]) == 2
    assert says in caplog.text
    assert not (folder / "x").exists()


@pytest.mark.parametrize("wrong", [["--blur", "0"], ["--blur", "9999"], ["--colour", "blue"], []])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["short", "--out", "x", *wrong])
    assert stopped.value.code == 2
