"""A folder that somebody made to do harm is listed as broken, costs next to nothing and harms no other avatar.

Every hash and the seal are right: whoever made the folder could compute them.
"""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api import create_app
from recipe.avatar_format import MANIFEST_FILE, TRACK_FILE, read_manifest, seal_avatar
from recipe.errors import BrokenAvatarError
from services.avatars.avatar import open_avatar
from tests.service_material import settings_for
from tests.toy_avatar import FRAMES, NAME, edit_manifest, toy_avatars, toy_facts  # noqa: F401


@pytest.fixture
def hostile(toy_avatars: Path, tmp_path: Path) -> Path:  # noqa: F811
    """A copy of the toy avatar beside a whole one."""
    shutil.copytree(toy_avatars, tmp_path / "avatars")
    return Path(shutil.copytree(tmp_path / "avatars" / NAME, tmp_path / "avatars" / "hostile"))


def _nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"m": inner}
    return inner


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(licence="half a pair \ud800"), "text that is no text"),
        (lambda d: d["metrics"].update({"\udfff": 1.0}), "text that is no text"),
        (lambda d: d.update(metrics=_nested(900)), "nests deeper than"),
        (lambda d: d["template"].update(a=_nested(7)), "nests deeper than"),
        (lambda d: d["metrics"].update(x=float("nan")), "NaN is no number"),
        (lambda d: d["metrics"].update(x=float("-inf")), "-Infinity is no number"),
        (lambda d: d.update(frames=10**9), "at most an hour"),
        (lambda d: d.update(width=2**20, height=2**20), "at most an hour"),
        (lambda d: d.update(licence="x" * (1 << 21)), "more than 1048576 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_description_is_refused(hostile: Path, change: Callable[[Any], object], message: str) -> None:
    edit_manifest(hostile, change)
    with pytest.raises(BrokenAvatarError, match=message):
        open_avatar(hostile.parent, "hostile")


@pytest.mark.parametrize("at", [30, 200, -40])
def test_every_changed_character_of_the_description_is_noticed(hostile: Path, at: int) -> None:
    path = hostile / MANIFEST_FILE
    content = bytearray(path.read_bytes())
    at = next(i for i in range(at % len(content), len(content)) if chr(content[i]).isalnum())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(BrokenAvatarError):
        read_manifest(hostile)


def _track(hostile: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(hostile / TRACK_FILE) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _huge(hostile: Path) -> None:
    with zipfile.ZipFile(hostile / TRACK_FILE, "w") as archive:
        for name, content in {**_track_of_toy, "opening_T.npy": _header((1 << 40,))}.items():
            archive.writestr(name, content)


def _bomb(hostile: Path) -> None:
    with zipfile.ZipFile(hostile / TRACK_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _track_of_toy.items():
            archive.writestr(name, content)
        archive.writestr("further.npy", _header((125 << 20,)) + bytes(40 << 20))


def _bad_stream(hostile: Path) -> None:
    with zipfile.ZipFile(hostile / TRACK_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _track_of_toy.items():
            archive.writestr(name, content)
        offset = archive.getinfo("affine_T23.npy").header_offset
    packed = bytearray((hostile / TRACK_FILE).read_bytes())
    packed[offset + 50 : offset + 90] = b"\xff" * 40
    (hostile / TRACK_FILE).write_bytes(packed)


def _flagged(hostile: Path, at_local: int, at_central: int, value: int) -> None:
    """Set one byte in every header of the archive."""
    packed = bytearray((hostile / TRACK_FILE).read_bytes())
    for mark, at in ((b"PK\x03\x04", at_local), (b"PK\x01\x02", at_central)):
        place = packed.find(mark)
        while place >= 0:
            packed[place + at] = value
            place = packed.find(mark, place + 1)
    (hostile / TRACK_FILE).write_bytes(packed)


_track_of_toy: dict[str, bytes] = {}


@pytest.mark.parametrize(
    "spoil",
    [_huge, _bomb, _bad_stream, lambda h: _flagged(h, 6, 8, 1), lambda h: _flagged(h, 8, 10, 99)],
    ids=["4 TiB", "bomb", "bad deflate", "encrypted", "unknown method"],
)
def test_a_hostile_archive_is_refused(hostile: Path, spoil: Callable[[Path], None]) -> None:
    _track_of_toy.update(_track(hostile))
    spoil(hostile)
    seal_avatar(hostile, toy_facts("hostile"))
    with pytest.raises(BrokenAvatarError, match=r"track\.npz"):
        open_avatar(hostile.parent, "hostile")


def test_the_server_lists_it_as_broken_and_the_others_stay(hostile: Path, tmp_path: Path) -> None:
    edit_manifest(hostile, lambda d: d.update(licence="\ud800"))
    deep = Path(shutil.copytree(hostile.parent / NAME, hostile.parent / "deep"))
    edit_manifest(deep, lambda d: d.update(metrics=_nested(900)))
    with TestClient(create_app(settings_for(hostile.parent, tmp_path)), base_url="http://localhost") as client:
        answer = client.get("/avatars")
        listed = {avatar["name"]: avatar for avatar in answer.json()["avatars"]}
    assert answer.status_code == 200 and listed[NAME]["frames"] == FRAMES
    assert "no text" in json.dumps(listed["hostile"]) and "nests deeper" in json.dumps(listed["deep"])
