"""Avatars on storage that machines share: whole ones only, and nothing is believed that lies there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import fsspec
import pytest

from recipe.avatar_format import MANIFEST_FILE
from recipe.errors import BrokenAvatarError, RevokedError
from services.avatars.__main__ import main
from services.avatars.avatar import open_avatar
from services.avatars.storage import StorageError, pull, push
from tests.toy_avatar import NAME, toy_avatars  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(params=["folder", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder that machines share, and a storage that is none."""
    if request.param == "folder":
        return str(tmp_path / "shared")
    system = fsspec.filesystem("memory")
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)
    return "memory://bucket/avatars"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_pushed_is_pulled(toy_avatars: Path, storage: str, tmp_path: Path) -> None:
    assert push(toy_avatars, NAME, storage) == f"{storage}/{NAME}"
    here = tmp_path / "avatars"
    here.mkdir()
    pull(here, NAME, storage)
    assert _contents(here / NAME) == _contents(toy_avatars / NAME)
    open_avatar(here, NAME)
    push(toy_avatars, NAME, storage)
    pull(here, NAME, storage)  # again, in the place of what is there
    assert sorted(path.name for path in here.iterdir() if path.is_dir()) == [NAME]


def test_by_the_command(toy_avatars: Path, storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "avatars").mkdir()
    assert main(["--avatars_dir", str(toy_avatars), "push", NAME, storage]) == 0
    assert main(["--avatars_dir", str(tmp_path / "avatars"), "pull", NAME, storage]) == 0
    assert NAME in capsys.readouterr().out
    assert main(["--avatars_dir", str(tmp_path / "avatars"), "pull", "nobody", storage]) == 2
    assert "there is no avatar 'nobody'" in capsys.readouterr().err


def _spoil(storage: str, file: str, content: bytes | None) -> None:
    system, place = fsspec.core.url_to_fs(storage)
    if content is None:
        system.rm_file(f"{place}/{NAME}/{file}")
    else:
        system.pipe_file(f"{place}/{NAME}/{file}", content)


@pytest.mark.parametrize(
    ("file", "content", "error"),
    [
        ("track.npz", b"something else", BrokenAvatarError),
        ("track.npz", None, StorageError),
        (MANIFEST_FILE, b"{}", BrokenAvatarError),
        (MANIFEST_FILE, None, StorageError),
    ],
)
def test_what_is_not_whole_does_not_arrive(
    toy_avatars: Path, storage: str, tmp_path: Path, file: str, content: bytes | None, error: type[Exception]
) -> None:
    push(toy_avatars, NAME, storage)
    _spoil(storage, file, content)
    here = tmp_path / "avatars"
    shutil.copytree(toy_avatars / NAME, here / NAME)
    before = _contents(here / NAME)
    with pytest.raises(error):
        pull(here, NAME, storage)
    assert _contents(here / NAME) == before  # the one that was there stays
    assert [path.name for path in here.iterdir() if path.is_dir()] == [NAME]


def test_a_revoked_person_does_not_come_back(
    toy_avatars: Path, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(toy_avatars, NAME, storage)
    here = tmp_path / "avatars"
    shutil.copytree(toy_avatars / NAME, here / NAME)
    assert main(["--avatars_dir", str(here), "revoke", NAME, "--yes", *_elsewhere(tmp_path)]) == 0
    with pytest.raises(RevokedError):
        pull(here, NAME, storage)
    assert not (here / NAME).exists()


def _elsewhere(tmp_path: Path) -> list[str]:
    options = ("--dataset_dir", "--checkpoint_dir", "--verdicts_dir", "--animations_dir")
    return [text for option in options for text in (option, str(tmp_path / option.strip("-")))]


def test_a_storage_that_cannot_be_used_is_named(toy_avatars: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="nothing://bucket cannot be used"):
        push(toy_avatars, NAME, "nothing://bucket")


def test_a_push_that_breaks_off_leaves_no_avatar(
    toy_avatars: Path, storage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push(toy_avatars, NAME, storage)
    system, _ = fsspec.core.url_to_fs(storage)
    sent: list[str] = []

    def breaks(self: Any, source: str, target: str, **_: Any) -> None:
        if sent:
            raise OSError("the connection was reset")
        sent.append(target)

    monkeypatch.setattr(type(system), "put_file", breaks)
    with pytest.raises(StorageError, match="the connection was reset"):
        push(toy_avatars, NAME, storage)
    (tmp_path / "avatars").mkdir()
    with pytest.raises(StorageError, match="there is no avatar"):
        pull(tmp_path / "avatars", NAME, storage)
