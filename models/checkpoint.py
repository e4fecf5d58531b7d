"""Checkpoints that describe themselves and are never half-written.

A checkpoint is a dictionary of plain values and tensors, read with `weights_only=True`: opening one never runs code.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from recipe.files import written_aside

CHECKPOINT_VERSION = 1


class CheckpointError(ValueError):
    """A checkpoint is missing, damaged or of another version."""


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write `content` under a temporary name, flush it to disk and rename it.

    Raises:
        OSError: the disk is full or not writable; an older checkpoint at `path` is untouched.
    """
    with written_aside(path) as part, part.open("wb") as file:
        try:
            torch.save({"checkpoint_version": CHECKPOINT_VERSION, **content}, file)
        except RuntimeError as error:  # torch closes its archive, which fails again and hides why
            raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None
        file.flush()
        os.fsync(file.fileno())


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        CheckpointError: there is none, it is damaged, or another version wrote it.
    """
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: run the training stage that writes it first")
    try:
        content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types for a damaged file
        raise CheckpointError(f"checkpoint {path} cannot be read ({error}): delete it to train again") from error
    version = content.get("checkpoint_version")
    if version != CHECKPOINT_VERSION:
        raise CheckpointError(f"checkpoint {path} has version {version}, this code reads {CHECKPOINT_VERSION}")
    return content
