"""What an utterance is asked for by: who speaks, and what is said."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from services.types import AvatarModel

Unlisted = Callable[[threading.Event], AvatarModel]  # told when nobody waits for it any more


@dataclass(frozen=True, slots=True)
class Begin:
    """Who speaks, and where in its template it begins."""

    avatar: str
    start_frame: int = 0
    direction: int = 1
    unlisted: Unlisted | None = None  # opens one that `avatar` does not name
    who: str = "local"  # asks: the name of a key, "local", or "anyone"
    in_time: bool = False  # rather than every mouth drawn: services/mouth_rate.py
    spend: Callable[[float], None] | None = None  # told how many seconds were made, when they are


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text that a voice speaks."""

    text: str
    voice: str | None = None  # None is the default one
    speed: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class UploadedSound:
    """A recording that is said as it is; copied before the first event, and the copy is always removed."""

    file: BinaryIO


def new_utterance() -> str:
    """A name for an utterance, also of its directory in debug mode."""
    return f"u-{uuid.uuid4().hex[:16]}"
