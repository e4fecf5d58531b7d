"""A photo becomes an avatar that opens again, and nothing half-written is left behind."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import photo_328
from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.photo import Stopwatch
from data_prep.photo_avatar import make_photo_avatar
from data_prep.photo_from_video import best_frame
from data_prep.still_landmarks import StillLandmarks
from recipe.avatar_format import PHOTO_FILE, read_manifest, seal_avatar
from recipe.errors import BrokenAvatarError, ConsentFormatError, OutputError, RevokedError
from recipe.tombstones import Tombstone, write_tombstone
from recipe.warp.arrays import load_arrays
from recipe.warp.draw import WarpedFace
from services.avatars.__main__ import main as avatars_main
from services.avatars.avatar import PhotoAvatar, list_avatars, open_avatar, open_folder, open_video_avatar
from services.errors import WrongKindError
from tests.conftest import REPOSITORY
from tests.photo_material import AA, Picture, evidence_of, found_in, prepared, request, written
from tests.toy_avatar import NAME, edit_manifest, toy_avatars  # noqa: F401


@pytest.fixture
def avatars_dir(photo_avatars: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(photo_avatars, tmp_path / "avatars"))


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


def test_an_avatar_opens_again_and_draws_the_same_bytes(photo_avatars: Path, photo_file: Path) -> None:
    avatar = open_avatar(photo_avatars, "eve")
    assert isinstance(avatar, PhotoAvatar)
    manifest = avatar.manifest
    assert (manifest.kind, manifest.frames, manifest.width, manifest.height) == ("photo", 250, 512, 512)
    assert set(manifest.files) == {"photo.npz", "poster.jpg", "report.html"}
    assert len(avatar.motion) == manifest.frames
    photo = prepared(photo_file)
    told = (AA, avatar.motion.head_N5[60], 0.4, 0.1, avatar.motion.gaze_N2[60])
    np.testing.assert_array_equal(WarpedFace(avatar.arrays).draw(*told), WarpedFace(photo.arrays).draw(*told))
    assert sum(path.stat().st_size for path in (photo_avatars / "eve").iterdir()) < 5 << 20
    poster = cv2.imread(str(photo_avatars / "eve" / "poster.jpg"))[..., ::-1]
    assert np.abs(poster.astype(int) - photo.rgb_HWC).mean() < 3
    assert "What may look weak" in (photo_avatars / "eve" / "report.html").read_text()


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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(kind="hologram"), "this program knows video and film and photo"),
        (lambda d: d.update(kind="video"), "lists no hash of frames.mp4"),
        (lambda d: d["files"].pop("photo.npz"), "lists no hash of photo.npz"),
        (lambda d: d["versions"].update(warp=2), "version 2 of the warp, this program draws 1"),
        (lambda d: d["template"].update(motion_seed="x"), "from seed 'x'"),
        (lambda d: d.update(frames=10**9), "at most an hour"),
        (lambda d: d.update(width=256), "holds a photo of 512x512 px, avatar.json says 256x512"),
    ],
)
def test_a_wrong_description_is_refused(
    avatars_dir: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    edit_manifest(avatars_dir / "eve", change)
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


def test_a_revoked_photo_is_refused(photo_file: Path, avatars_dir: Path) -> None:
    manifest, _ = make_photo_avatar(request(photo_file, avatars_dir), Stopwatch())
    write_tombstone(avatars_dir, Tombstone(manifest.source_sha256, "eve", "2026-11-26", "Eve"))
    with pytest.raises(RevokedError, match="was revoked by Eve"):
        make_photo_avatar(request(photo_file, avatars_dir, name="another"), Stopwatch())
    assert not (avatars_dir / "another").exists()


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
    assert "let it speak: python inference_328.py --name eve" in caplog.text
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
