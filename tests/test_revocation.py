"""A person who wants no avatar any more: everything made of them goes, and none comes back by mistake."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

import services.http.app
from config import Models
from recipe.errors import RevokedError
from recipe.tombstones import Tombstone, revoked_recordings, write_tombstone
from services.avatars.__main__ import main
from services.avatars.avatar import list_avatars, open_avatar
from services.container import build_services
from tests.processes import running
from tests.service_material import app_for, client_of, settings_for, wait_for
from tests.test_locks import HOLDER
from tests.toy_avatar import NAME, edit_manifest, toy_avatars  # noqa: F401

RECORDING = b"a recording"
SHA256 = hashlib.sha256(RECORDING).hexdigest()


@pytest.fixture
def home(tmp_path: Path, toy_avatars: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A place of work in which everything of an avatar lies, and things of another one."""
    monkeypatch.setattr("recipe.places.home", lambda: tmp_path)
    shutil.copytree(toy_avatars, tmp_path / "avatars")
    edit_manifest(tmp_path / "avatars" / NAME, lambda document: document.update(source_sha256=SHA256))
    (tmp_path / "outside.mp4").write_bytes(RECORDING)
    for folder in (f"dataset/{NAME}/.stages", f"checkpoint/{NAME}/unet", f"avatars/.{NAME}.part", "dataset/other"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file.npy").write_bytes(b"x")
    (tmp_path / f"dataset/{NAME}/{NAME}.mp4").symlink_to(tmp_path / "outside.mp4")
    for name in (NAME, "other"):
        verdict = tmp_path / f"cache/runtimes/{name}-0.json"
        verdict.parent.mkdir(parents=True, exist_ok=True)
        verdict.write_text(json.dumps({"network": f"/somewhere/avatars/{name}/unet_decoder.onnx"}))
    (tmp_path / "cache/tensorrt/1.0-abcd").mkdir(parents=True)
    (tmp_path / "cache/animations").mkdir()
    (tmp_path / "cache/animations" / ("0" * 64)).write_bytes(b"an animation")
    return tmp_path


def revoke(*further: str) -> int:
    return main(["revoke", NAME, *further])


def test_everything_goes_and_nothing_else(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(home / "avatars" / NAME, home / "avatars/again")
    assert revoke("--by", "Ada", "--yes") == 0
    left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())
    again = [f"avatars/again/{path.name}" for path in (home / "avatars/again").iterdir()]
    stone = f"avatars/.revoked/{SHA256}.json"
    assert left == sorted([stone, *again, "cache/runtimes/other-0.json", "dataset/other/file.npy", "outside.mp4"])
    assert not any((home / folder / NAME).exists() for folder in ("avatars", "dataset", "checkpoint"))
    told = json.loads((home / stone).read_text())
    assert (told["source_sha256"], told["name"], told["by"]) == (SHA256, NAME, "Ada")
    out = capsys.readouterr().out
    assert f"stays: {home / 'outside.mp4'}" in out
    assert "refused from now on: again" in out
    assert revoke("--yes") == 2
    assert "nothing is called 'toy'" in capsys.readouterr().err


def test_it_asks_first_and_never_while_another_writes(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(home.rglob("*"))
    assert revoke() == 2
    assert "say --yes" in capsys.readouterr().err
    with running(HOLDER, home / "checkpoint" / NAME / "unet"):
        assert revoke("--yes") == 2
        assert "is being written by another process" in capsys.readouterr().err
    assert sorted(path for path in home.rglob("*") if path.suffix != ".lock") == before


def test_a_revocation_that_was_cut_off_is_in_force_and_goes_on(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> None:
        raise OSError(f"{path}: the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr("services.avatars.revocation._remove", fails)
        assert revoke("--yes") == 2
    with pytest.raises(RevokedError, match="was revoked by"):
        open_avatar(home / "avatars", NAME)
    (home / "avatars" / NAME / "avatar.json").unlink()
    assert revoke("--yes") == 0
    assert not (home / "avatars" / NAME).exists()


def test_a_broken_avatar_is_revoked_by_the_hash_of_its_recording(home: Path) -> None:
    (home / "avatars" / NAME / "avatar.json").write_text("{")
    assert revoke("--yes") == 0
    assert revoked_recordings(home / "avatars") == {SHA256}


def test_it_is_neither_opened_nor_listed_as_whole_under_any_name(home: Path) -> None:
    avatars = home / "avatars"
    (avatars / NAME).rename(avatars / "again")
    write_tombstone(avatars, Tombstone(SHA256, NAME, "2026-11-26", "Ada"))
    (entry,) = list_avatars(avatars)
    assert entry.manifest is None
    assert "was revoked by Ada on 2026-11-26 (it was called toy)" in str(entry.problem)
    (avatars / ".revoked" / f"{SHA256}.json").write_text("not to be read")
    with pytest.raises(RevokedError, match=r"was revoked and is neither made nor shown; only if the person agreed"):
        open_avatar(avatars, "again")
    (avatars / ".revoked" / f"{SHA256}.json").unlink()
    assert open_avatar(avatars, "again").name == "again"


def test_a_running_server_drops_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services.http.app, "_LOOK_AGAIN_S", 0.05)
    models = Models(avatars_dir=home / "avatars", device="cpu", threads=1, runtime="onnxruntime")
    made = build_services(models)
    with client_of(app_for(settings_for(home / "avatars", home / "work"), made)) as client:
        parts = client.app.state.parts  # type: ignore[attr-defined]
        line = parts.live.open(NAME, "jpeg", False)
        assert client.get("/avatar/frames?count=1").status_code == 200
        assert revoke("--yes") == 0
        assert client.get("/generate?text=hello").status_code in (404, 410)
        wait_for(lambda: line.stream.ended and made.models.forget([SHA256]) == [])
        wait_for(lambda: parts.animations.slots.used == 0)
        assert client.get("/avatars").json()["avatars"] == []


def test_a_copy_that_comes_back_is_refused_by_a_server(home: Path) -> None:
    shutil.copytree(home / "avatars" / NAME, home / "kept")
    assert revoke("--yes") == 0
    shutil.copytree(home / "kept", home / "avatars" / NAME)
    made = build_services(Models(avatars_dir=home / "avatars", device="cpu", threads=1, runtime="onnxruntime"))
    with client_of(app_for(settings_for(home / "avatars", home / "work"), made)) as client:
        answer = client.get("/generate?text=hello")
    assert (answer.status_code, answer.json()["type"]) == (410, "/problems/avatar-revoked")
    assert str(home) not in answer.text
