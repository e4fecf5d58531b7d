"""An avatar is opened whole and unharmed, or not at all and with a reason."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipe.avatar_format import AVATAR_FILES, read_manifest, seal_avatar, write_manifest
from recipe.consent import parse_consent
from recipe.errors import BadNameError, BrokenAvatarError, ConsentFormatError, InUseError
from services.avatars.__main__ import main
from services.avatars.avatar import list_avatars, open_avatar, record_consent
from services.errors import AvatarNotFoundError
from tests.conftest import REPOSITORY
from tests.processes import running
from tests.test_locks import HOLDER
from tests.toy_avatar import (
    FRAMES,
    NAME,
    build_toy_avatar,
    edit_manifest,
    toy_affines,
    toy_avatars,  # noqa: F401
    toy_facts,
)


@pytest.fixture
def avatars_dir(toy_avatars: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A copy that may be damaged."""
    return Path(shutil.copytree(toy_avatars, tmp_path / "avatars"))


def rewrite_track(folder: Path, **arrays: np.ndarray) -> None:
    """Replace arrays of track.npz and seal the avatar again: damage that no hash shows."""
    with np.load(folder / "track.npz") as file:
        track = dict(file)
    np.savez(folder / "track.npz", **{**track, **arrays})
    seal_avatar(folder, toy_facts(folder.name))


def test_opens_with_everything_in_it(avatars_dir: Path) -> None:
    avatar = open_avatar(avatars_dir, NAME)
    np.testing.assert_array_equal(avatar.affine_T23, toy_affines(FRAMES))
    assert avatar.references_3HWC.std(axis=(1, 2, 3)).min() > 10  # pictures, not a flat colour
    assert avatar.manifest.metrics == {"generated.psnr_mouth_db": 31.5, "generated.opening_r": 0.87}
    assert set(avatar.manifest.files) == set(AVATAR_FILES)
    assert avatar.notice is None


def test_a_copied_folder_is_the_whole_deployment(avatars_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(avatars_dir / NAME, tmp_path / "elsewhere" / "renamed")
    assert open_avatar(tmp_path / "elsewhere", "renamed").name == "renamed"


@pytest.mark.parametrize("name", ["..", "../toy", "toy/", "/etc", "", ".", "a b", "toy\n", "a" * 65, "-toy", "tøy"])
def test_names_that_could_leave_the_folder_are_refused(avatars_dir: Path, name: str) -> None:
    with pytest.raises(BadNameError, match="not allowed"):
        open_avatar(avatars_dir, name)


def test_an_unknown_avatar_names_the_known_ones(avatars_dir: Path) -> None:
    with pytest.raises(AvatarNotFoundError, match=r"no avatar 'tony'.*there: toy"):
        open_avatar(avatars_dir, "tony")
    with pytest.raises(AvatarNotFoundError, match="none yet"):
        open_avatar(avatars_dir / "missing", "tony")


@pytest.mark.parametrize("filename", AVATAR_FILES)
def test_every_missing_file_is_named(avatars_dir: Path, filename: str) -> None:
    (avatars_dir / NAME / filename).unlink()
    with pytest.raises(BrokenAvatarError, match=rf"{filename} is missing; copy the avatar again"):
        open_avatar(avatars_dir, NAME)


@pytest.mark.parametrize("filename", AVATAR_FILES)
def test_every_changed_byte_is_noticed(avatars_dir: Path, filename: str) -> None:
    path = avatars_dir / NAME / filename
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenAvatarError, match=rf"{filename} is not the file that was packaged \(SHA-256"):
        open_avatar(avatars_dir, NAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="other"), "is not an avatar description"),
        (lambda d: d.update(version=2), "format version 2, this program reads 3"),
        (lambda d: d["recipe"].update(fps=30), "fps: 30, this code 25"),
        (lambda d: d["recipe"].clear(), "fps: None, this code 25"),
        (lambda d: d.pop("licence"), "field 'licence' is None, expected str"),
        (lambda d: d.update(frames="60"), "field 'frames' is '60', expected int"),
        (lambda d: d.update(frames=True), "field 'frames' is True, expected int"),
        (lambda d: d.update(frames=0), "expected at least one frame"),
        (lambda d: d.update(width=255), "even width and height"),
        (lambda d: d.update(synthetic="yes"), "field 'synthetic' is 'yes', expected bool"),
        (lambda d: d["files"].pop("unet_decoder.onnx"), "lists no hash of unet_decoder.onnx"),
        (lambda d: d["files"].update({"../toy/track.npz": "ab" * 32}), "is not a plain file name"),
        (lambda d: d["files"].update({"/etc/passwd": "ab" * 32}), "is not a plain file name"),
        (lambda d: d["files"].update({"a\\b": "ab" * 32}), "is not a plain file name"),
        (lambda d: d["files"].update({"..": "ab" * 32}), "is not a plain file name"),
        (lambda d: d["files"].update({"track.npz": "AB"}), "the hash of track.npz is 'AB'"),
        (lambda d: d.update(consent="yes"), "field 'consent' is 'yes'"),
        (lambda d: d.update(consent={"who": "A", "date": "2026-01-01", "scope": ""}), "field 'consent'"),
        (lambda d: d.update(frames=61), r"affine_T23 is float32 \(60, 2, 3\), expected float32 \(61, 2, 3\)"),
    ],
)
def test_a_wrong_description_is_refused(avatars_dir: Path, change: Callable[[Any], object], message: str) -> None:
    edit_manifest(avatars_dir / NAME, change)
    with pytest.raises(BrokenAvatarError, match=message):
        open_avatar(avatars_dir, NAME)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b"[" * 100_000, b"null"])
def test_a_description_that_is_no_json_object_is_refused(avatars_dir: Path, content: bytes) -> None:
    (avatars_dir / NAME / "avatar.json").write_bytes(content)
    with pytest.raises(BrokenAvatarError, match=r"avatar\.json"):
        open_avatar(avatars_dir, NAME)


def test_an_unfinished_folder_is_refused(avatars_dir: Path) -> None:
    (avatars_dir / NAME / "avatar.json").unlink()
    with pytest.raises(BrokenAvatarError, match="packaging did not finish"):
        open_avatar(avatars_dir, NAME)


def test_a_track_of_another_form_is_refused(avatars_dir: Path) -> None:
    folder = avatars_dir / NAME
    singular = toy_affines(FRAMES)
    singular[17] = 0
    rewrite_track(folder, affine_T23=singular)
    with pytest.raises(BrokenAvatarError, match="a transform without an inverse"):
        open_avatar(avatars_dir, NAME)
    rewrite_track(folder, affine_T23=toy_affines(FRAMES), motion_T=np.zeros(FRAMES))
    with pytest.raises(BrokenAvatarError, match="motion_T is float64"):
        open_avatar(avatars_dir, NAME)


def test_a_pickle_in_the_track_is_not_loaded(avatars_dir: Path) -> None:
    rewrite_track(avatars_dir / NAME, motion_T=np.array([print] * FRAMES, object))
    with pytest.raises(BrokenAvatarError, match=r"motion_T is object"):
        open_avatar(avatars_dir, NAME)


def test_the_list_shows_broken_avatars_with_the_reason(avatars_dir: Path, presenter_video: Path) -> None:
    build_toy_avatar(avatars_dir / "whole", presenter_video)
    (avatars_dir / NAME / "track.npz").unlink()
    (avatars_dir / "not a name").mkdir()
    (avatars_dir / ".hidden").mkdir()
    (avatars_dir / "README.md").touch()
    entries = {entry.name: entry for entry in list_avatars(avatars_dir)}
    assert sorted(entries) == ["not a name", "toy", "whole"]
    assert entries["whole"].problem is None
    assert "track.npz is missing" in str(entries["toy"].problem)
    assert "not allowed" in str(entries["not a name"].problem)


def test_sealing_refuses_what_is_incomplete(avatars_dir: Path) -> None:
    folder = avatars_dir / NAME
    before = (folder / "avatar.json").read_bytes()
    facts = toy_facts(NAME)
    facts.pop("source_sha256")
    with pytest.raises(BrokenAvatarError, match="field 'source_sha256' is None"):
        seal_avatar(folder, facts)
    (folder / "poster.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"poster\.jpg"):
        seal_avatar(folder, toy_facts(NAME))
    assert (folder / "avatar.json").read_bytes() == before


def test_sealing_and_reading_give_the_same_facts(avatars_dir: Path) -> None:
    sealed = seal_avatar(avatars_dir / NAME, {**toy_facts(NAME), "licence": "© Ünïcode"})
    assert asdict(read_manifest(avatars_dir / NAME)) == asdict(sealed)


def test_a_failed_write_leaves_the_old_description(avatars_dir: Path) -> None:
    folder = avatars_dir / NAME
    manifest = read_manifest(folder)
    before = sorted(folder.iterdir())
    manifest.metrics["nan"] = float("nan")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_manifest(folder, manifest)
    assert sorted(folder.iterdir()) == before
    assert "nan" not in read_manifest(folder).metrics


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ada Lovelace, 2026-11-20, product videos", ("Ada Lovelace", "2026-11-20", "product videos")),
        ("  Lovelace, Ada ,2026-11-20,demos, talks ", ("Lovelace, Ada", "2026-11-20", "demos, talks")),
        ("林, 2024-02-29, alles", ("林", "2024-02-29", "alles")),
    ],
)
def test_consent_is_read(text: str, expected: tuple[str, str, str]) -> None:
    consent = parse_consent(text, "ab" * 32)
    assert (consent.who, consent.date, consent.scope) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ada",
        "Ada, yesterday, demos",
        "Ada, 2026-11-20",
        "Ada, 2026-11-20, ",
        ", 2026-11-20, demos",
        "A, 2026-02-30, x",
    ],
)
def test_consent_without_a_part_is_refused(avatars_dir: Path, text: str) -> None:
    path = avatars_dir / NAME / "avatar.json"
    before = path.read_bytes()
    with pytest.raises(ConsentFormatError, match="who, YYYY-MM-DD, scope"):
        record_consent(avatars_dir, NAME, text)
    assert path.read_bytes() == before


def test_consent_decides_who_may_be_served(avatars_dir: Path) -> None:
    seal_avatar(avatars_dir / NAME, {**toy_facts(NAME), "synthetic": False})
    without = open_avatar(avatars_dir, NAME)
    assert not without.may_serve_publicly
    assert "no consent record" in str(without.notice)
    record_consent(avatars_dir, NAME, "Ada, 2026-11-20, demos")
    given = open_avatar(avatars_dir, NAME)
    assert given.may_serve_publicly
    assert given.notice is None
    assert given.manifest.consent is not None
    assert given.manifest.consent.source_sha256 == "ab" * 32
    unchanged = {"consent": None}
    assert {**asdict(given.manifest), **unchanged} == {**asdict(without.manifest), **unchanged}


def test_consent_is_not_recorded_while_the_avatar_is_made_anew(avatars_dir: Path) -> None:
    with running(HOLDER, avatars_dir / NAME) as other:
        with pytest.raises(InUseError, match=rf"{NAME} is being written by another process \({other.pid} on"):
            record_consent(avatars_dir, NAME, "Ada, 2026-11-20, demos")
        other.kill()
        other.wait()
        assert record_consent(avatars_dir, NAME, "Ada, 2026-11-20, demos").consent is not None


def test_commands(avatars_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--avatars_dir", str(avatars_dir), *arguments])
        return code, *capsys.readouterr()

    assert run("consent", NAME, "Ada, 2026-11-20, demos")[:2] == (0, run("show", NAME)[1])
    code, out, _ = run("list")
    assert (code, out.count("\n")) == (0, 2)
    assert "toy: 60 frames of 256x256 px" in out
    assert "consent of Ada, 2026-11-20: demos" in out
    assert run("verify", NAME) == (0, "toy: all 6 files are as packaged\n", "")
    (avatars_dir / NAME / "poster.jpg").write_bytes(b"x")
    code, out, err = run("verify", NAME)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "poster.jpg is not the file that was packaged" in err
    code, out, _ = run("list")
    assert (code, "toy: BROKEN: " in out) == (0, True)
    for arguments in (("show", "nobody"), ("consent", "..", "x"), ("consent", NAME, "Ada")):
        code, out, err = run(*arguments)
        assert (code, out, err.startswith("error: "), err.count("\n")) == (2, "", True, 1)


def test_the_module_runs_as_a_program(avatars_dir: Path) -> None:
    command = [sys.executable, "-m", "services.avatars", "--avatars_dir", str(avatars_dir)]
    done = subprocess.run([*command, "verify", NAME], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "toy: all 6 files are as packaged\n", "")
    wrong = subprocess.run([*command, "destroy"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
