"""A photo becomes an avatar that opens again, or is refused with a reason and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import photo_328
from data_prep.errors import HiddenFaceError, NotAPictureError, PhotoError, PhotoFaceError, PictureSizeError
from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from data_prep.photo_avatar import PhotoRequest, make_photo_avatar
from data_prep.photo_checks import check_photo
from data_prep.photo_evidence import PhotoEvidence, measure_photo
from data_prep.photo_from_video import best_frame
from data_prep.picture_file import read_picture
from data_prep.still_landmarks import StillLandmarks, still_landmarks
from data_prep.video import iter_rgb
from recipe.avatar_format import PHOTO_FILE, read_manifest, seal_avatar
from recipe.errors import BrokenAvatarError, ConsentFormatError, OutputError
from recipe.warp.arrays import load_arrays
from recipe.warp.draw import WarpedFace
from recipe.warp.source import prepare_source
from recipe.warp.units import mouth_units
from services.avatars.__main__ import main as avatars_main
from services.avatars.avatar import PhotoAvatar, list_avatars, open_avatar, open_folder, open_video_avatar
from services.errors import WrongKindError
from tests.conftest import REPOSITORY
from tests.toy_avatar import NAME, toy_avatars  # noqa: F401

AA = mouth_units({"jawOpen": 0.46, "mouthLowerDown": 0.30, "mouthUpperUp": 0.14})
Picture = np.ndarray


@pytest.fixture(scope="module")
def picture(presenter_video: Path) -> Picture:
    return next(iter_rgb(presenter_video))


@pytest.fixture(scope="module")
def found(picture: Picture) -> StillLandmarks:
    return found_in(picture)


@pytest.fixture(scope="module")
def photo_file(picture: Picture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("photo") / "photo.png", picture)


@pytest.fixture(scope="module")
def made(photo_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of avatars with one of a photo."""
    avatars_dir = tmp_path_factory.mktemp("avatars")
    make_photo_avatar(request(photo_file, avatars_dir), Stopwatch())
    return avatars_dir


@pytest.fixture
def avatars_dir(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(made, tmp_path / "avatars"))


def request(photo: Path, avatars_dir: Path, **changes: Any) -> PhotoRequest:
    return PhotoRequest(
        **{"name": "eve", "size_px": 512, "synthetic": True, **changes}, photo=photo, avatars_dir=avatars_dir
    )


def found_in(picture: Picture) -> StillLandmarks:
    found = still_landmarks(picture, FaceDetector().find(picture)[0], FaceMesh())
    assert found is not None
    return found


def written(path: Path, picture: Picture, **options: Any) -> Path:
    Image.fromarray(picture).save(path, **options)
    return path


def prepared(path: Path, size_px: int = 512) -> PreparedPhoto:
    return prepare_photo(path, size_px, Stopwatch())


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


def evidence_of(picture: Picture) -> PhotoEvidence:
    return measure_photo(picture, found_in(picture))


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


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.gif"])
def test_the_usual_formats_are_read(picture: Picture, tmp_path: Path, name: str) -> None:
    read = read_picture(written(tmp_path / name, picture))
    assert read.shape == picture.shape
    assert np.abs(read.astype(int) - picture).mean() < 4


def test_pictures_come_upright_flat_and_in_eight_bits(picture: Picture, tmp_path: Path) -> None:
    image = Image.fromarray(picture[:, :400])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to show it
    image.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "turned.png"), picture[:, :400])

    image.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "cmyk.jpg").astype(int) - picture[:, :400]).mean() < 4

    see_through = image.convert("RGBA")
    see_through.putalpha(Image.fromarray(np.where(np.arange(400) < 200, 0, 255).astype(np.uint8)[None].repeat(512, 0)))
    see_through.save(tmp_path / "alpha.png")
    read = read_picture(tmp_path / "alpha.png")
    assert (read[:, :200] == 255).all()
    np.testing.assert_array_equal(read[:, 200:], picture[:, 200:400])

    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_picture(tmp_path / "deep.png"), grey[..., None].repeat(3, -1))

    frames = [Image.fromarray(p) for p in (picture, 255 - picture)]
    frames[0].save(tmp_path / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    np.testing.assert_array_equal(read_picture(tmp_path / "moving.webp"), picture)


def test_files_that_are_no_pictures_are_refused(photo_file: Path, tmp_path: Path) -> None:
    def refused(name: str, content: bytes, error: type[Exception], message: str) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(error, match=message):
            prepared(tmp_path / name)

    whole = photo_file.read_bytes()
    refused("text.jpg", b"not a picture " * 100, NotAPictureError, "text.jpg is no picture of a kind that is read")
    refused("empty.png", b"", NotAPictureError, "is empty")
    refused("half.png", whole[: len(whole) // 2], NotAPictureError, "half.png is damaged")
    refused("apple.heic", b"\0\0\0\x18ftypheic" + b"\0" * 400, NotAPictureError, "HEIC cannot be read here")
    refused("video.mp4", b"\0\0\0\x18ftypisom" + b"\0" * 400, NotAPictureError, "is no picture")
    with pytest.raises(NotAPictureError, match="is not a file"):
        prepared(tmp_path / "nobody.jpg")


def png_that_says(width: int, height: int) -> bytes:
    """A tiny file whose header promises a huge picture."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (100, 400)])
def test_sizes_are_checked_before_anything_is_decoded(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "huge.png").write_bytes(png_that_says(width, height))
    with pytest.raises(PictureSizeError, match=r"huge\.png (has|is too large)"):
        read_picture(tmp_path / "huge.png")


def test_a_huge_jpeg_is_decoded_small(picture: Picture, tmp_path: Path) -> None:
    large = cv2.resize(picture, (6000, 6000), interpolation=cv2.INTER_LINEAR)
    read = read_picture(written(tmp_path / "large.jpg", large, quality=80))
    assert max(read.shape) <= 4096
    small = cv2.resize(read, (512, 512), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - picture).mean() < 3


def test_the_crop_holds_head_and_shoulders(picture: Picture, found: StillLandmarks, tmp_path: Path) -> None:
    wide = cv2.copyMakeBorder(picture, 200, 0, 400, 300, cv2.BORDER_REPLICATE)
    large = cv2.resize(wide, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    photo = prepared(written(tmp_path / "wide.png", large), 400)
    height, width = photo.rgb_HWC.shape[:2]
    assert max(height, width) == 400
    assert width % 2 == height % 2 == 0
    assert 0.85 < height / width < 1.2
    box = photo.found.skin_box
    assert 0.30 < (box[3] - box[1]) / height < 0.55
    again = found_in(photo.rgb_HWC).points_K3
    assert np.abs(again - photo.found.points_K3)[:468, :2].max() < 2.5  # landmarks were carried along exactly


def test_of_a_video_the_best_frame_is_taken(presenter_video: Path) -> None:
    frame = best_frame(presenter_video, FaceDetector(), FaceMesh())
    evidence = evidence_of(frame)
    assert abs(evidence.yaw_deg) < 5
    assert evidence.mouth_open < 0.02
    assert evidence.eye_open > 0.25


def test_an_avatar_opens_again_and_draws_the_same_bytes(made: Path, photo_file: Path) -> None:
    avatar = open_avatar(made, "eve")
    assert isinstance(avatar, PhotoAvatar)
    manifest = avatar.manifest
    assert (manifest.kind, manifest.frames, manifest.width, manifest.height) == ("photo", 250, 512, 512)
    assert set(manifest.files) == {"photo.npz", "poster.jpg", "report.html"}
    assert len(avatar.motion) == manifest.frames
    photo = prepared(photo_file)
    told = (AA, avatar.motion.head_N5[60], 0.4, 0.1, avatar.motion.gaze_N2[60])
    np.testing.assert_array_equal(WarpedFace(avatar.arrays).draw(*told), WarpedFace(photo.arrays).draw(*told))
    assert sum(path.stat().st_size for path in (made / "eve").iterdir()) < 5 << 20
    poster = cv2.imread(str(made / "eve" / "poster.jpg"))[..., ::-1]
    assert np.abs(poster.astype(int) - photo.rgb_HWC).mean() < 3
    assert "What may look weak" in (made / "eve" / "report.html").read_text()


def test_both_kinds_live_side_by_side(avatars_dir: Path, toy_avatars: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    shutil.copytree(toy_avatars / NAME, avatars_dir / NAME)
    kinds = {entry.name: entry.manifest and entry.manifest.kind for entry in list_avatars(avatars_dir)}
    assert kinds == {"eve": "photo", NAME: "video"}
    assert "kind" not in json.loads((avatars_dir / NAME / "avatar.json").read_text())
    assert open_video_avatar(avatars_dir, NAME).name == NAME
    for opened in (lambda: open_video_avatar(avatars_dir, "eve"), lambda: open_folder(avatars_dir / "eve")):
        with pytest.raises(WrongKindError, match="was made from a photo"):
            opened()
    assert avatars_main(["--avatars_dir", str(avatars_dir), "show", "eve"]) == 0
    assert "eve: 250 idle frames of 512x512 px" in capsys.readouterr().out


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "avatar.json").read_text())
    change(document)
    (folder / "avatar.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(kind="hologram"), "this program knows video and photo"),
        (lambda d: d.update(kind="video"), "lists no hash of frames.mp4"),
        (lambda d: d["files"].pop("photo.npz"), "lists no hash of photo.npz"),
        (lambda d: d["versions"].update(warp=2), "version 2 of the warp, this program draws 1"),
        (lambda d: d["template"].update(motion_seed="x"), "from seed 'x'"),
        (lambda d: d.update(frames=10**9), "a loop of 1000000000 frames"),
        (lambda d: d.update(width=256), "holds a photo of 512x512 px, avatar.json says 256x512"),
    ],
)
def test_a_wrong_description_is_refused(
    avatars_dir: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edited(avatars_dir / "eve", change)
    with pytest.raises(BrokenAvatarError, match=message):
        open_avatar(avatars_dir, "eve")


def test_damaged_arrays_are_refused(avatars_dir: Path) -> None:
    folder = avatars_dir / "eve"
    arrays = load_arrays(folder / PHOTO_FILE)
    content = bytearray((folder / PHOTO_FILE).read_bytes())
    content[1000] ^= 1
    (folder / PHOTO_FILE).write_bytes(content)
    with pytest.raises(BrokenAvatarError, match="is not the file that was packaged"):
        open_avatar(avatars_dir, "eve")
    facts = {k: v for k, v in asdict(read_manifest(folder)).items() if k != "files"}
    np.savez(folder / PHOTO_FILE, **{**arrays, "lid_0_HWC": np.array([print], object)})
    seal_avatar(folder, facts)
    with pytest.raises(BrokenAvatarError, match="lid_0_HWC is object"):
        open_avatar(avatars_dir, "eve")


def test_ears_that_lie_there_are_listed(avatars_dir: Path) -> None:
    folder = avatars_dir / "eve"
    facts = {k: v for k, v in asdict(read_manifest(folder)).items() if k != "files"}
    (folder / "audio_encoder.onnx").write_bytes(b"ears")
    with pytest.raises(BrokenAvatarError, match=r"audio_encoder\.onnx is not listed"):
        open_avatar(avatars_dir, "eve")
    seal_avatar(folder, facts)
    assert "audio_encoder.onnx" in open_avatar(avatars_dir, "eve").manifest.files


def test_nothing_half_written_is_left(photo_file: Path, avatars_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in (avatars_dir / "eve").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("data_prep.photo_avatar.seal_avatar", full)
    for name in ("eve", "new"):
        with pytest.raises(OSError, match="No space left"):
            make_photo_avatar(request(photo_file, avatars_dir, name=name), Stopwatch())
    assert [path.name for path in avatars_dir.iterdir()] == ["eve"]
    assert {path.name: path.read_bytes() for path in (avatars_dir / "eve").iterdir()} == before


def test_replacing_keeps_the_consent_and_spares_trained_avatars(
    photo_file: Path,
    avatars_dir: Path,
    toy_avatars: Path,  # noqa: F811
) -> None:
    given = request(photo_file, avatars_dir, synthetic=False, consent="Eve, 2026-11-26, demos")
    manifest, _ = make_photo_avatar(given, Stopwatch())
    assert manifest.licence == "only within the scope of the recorded consent"
    again, _ = make_photo_avatar(request(photo_file, avatars_dir, synthetic=False, size_px=480), Stopwatch())
    assert again.consent == manifest.consent
    assert again.width == 480
    shutil.copytree(toy_avatars / NAME, avatars_dir / NAME)
    with pytest.raises(OutputError, match="was trained from a recording and is not replaced"):
        make_photo_avatar(request(photo_file, avatars_dir, name=NAME), Stopwatch())
    with pytest.raises(ConsentFormatError, match="who, YYYY-MM-DD, scope"):
        make_photo_avatar(request(photo_file, avatars_dir, consent="Eve"), Stopwatch())


def test_the_command(photo_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    arguments = ["eve", str(photo_file), "--avatars_dir", str(tmp_path), "--size", "400"]
    with caplog.at_level("INFO"):
        assert photo_328.main(arguments) == 0
    assert "400x400 px" in caplog.text
    assert "does not speak yet" in caplog.text
    assert "no consent is recorded" in caplog.text
    assert open_avatar(tmp_path, "eve").manifest.licence == "no consent recorded: private evaluation only"
    assert photo_328.main(["../eve", *arguments[1:]]) == 2
    assert photo_328.main(["eve", str(tmp_path / "nobody.jpg"), *arguments[2:]]) == 2
    with pytest.raises(SystemExit):
        photo_328.parse_options([*arguments[:-1], "401"])


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys, photo_328\n"
        "try:\n    photo_328.main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({'cv2', 'numpy', 'openvino', 'PIL', 'av', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stderr.strip() == "[]"
