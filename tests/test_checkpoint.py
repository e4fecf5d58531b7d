"""Checkpoints are whole, describe themselves and never run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from models import checkpoint
from models.checkpoint import CheckpointError, load_checkpoint, save_checkpoint


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "a" / "last.pt", {"step": 3, "weights": torch.arange(4.0)})
    found = load_checkpoint(tmp_path / "a" / "last.pt")
    assert found["step"] == 3 and torch.equal(found["weights"], torch.arange(4.0))
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["last.pt"]


def test_a_failed_save_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"step": 1})

    def full_disk(content: object, file: object) -> None:
        file.write(b"half")  # type: ignore[attr-defined]
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(path, {"step": 2})
    monkeypatch.undo()
    assert load_checkpoint(path)["step"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["last.pt"]


def test_missing_damaged_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path / "none.pt")
    (tmp_path / "cut.pt").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path / "cut.pt")
    torch.save({"checkpoint_version": 0}, tmp_path / "old.pt")
    with pytest.raises(CheckpointError, match="version 0, this code reads 1"):
        load_checkpoint(tmp_path / "old.pt")


class _Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemError('code ran')",))


def test_code_in_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    torch.save({"checkpoint_version": 1, "x": _Evil()}, path, pickle_module=pickle)
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(path)
