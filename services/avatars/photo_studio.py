"""An avatar of a photo that somebody sent: made aside, loaded, and gone from the disk before it says a word.

It is in memory alone from then on, for as long as somebody holds it, and is listed nowhere.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal

from recipe.consent import ConsentState, parse_consent
from services.errors import BusyError, PhotosUnavailableError
from services.types import ModelProvider, PhotoMaker, PhotoModel

Restoring = Literal["auto", "off", "network"]
AVATAR_NAME: Final = "photo"
REFUSED: Final = "refused"  # what the field says where the person did not agree
_FOLDER: Final = "avatar328-photo-"
_LOOK_S: Final = 0.1  # whether somebody still waits
_LEFT_OVER_S: Final = 600.0  # no photo is worked on for so long: its process was killed


@dataclass(frozen=True, slots=True)
class PhotoWish:
    """What comes with a photo."""

    consent: str = ""  # "who, YYYY-MM-DD, scope"; empty or "refused": there is none
    synthetic: bool = False
    restore: Restoring = "auto"

    @property
    def agreed(self) -> str:
        """The consent, if there is one."""
        return "" if self.consent.strip().lower() == REFUSED else self.consent.strip()

    @property
    def state(self) -> ConsentState:
        """What the avatar will say of it."""
        return "recorded" if self.agreed else "synthetic" if self.synthetic else "none"


def remove_left_overs() -> None:
    """Remove the photos of servers that were killed while they worked on them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with suppress(FileNotFoundError):
            if folder.stat().st_mtime < time.time() - _LEFT_OVER_S:
                shutil.rmtree(folder, ignore_errors=True)


class PhotoStudio:
    """Makes avatars of photos, few at a time; safe to use from several threads."""

    def __init__(self, maker: PhotoMaker | None, models: ModelProvider, at_once: int) -> None:
        """Take over what it works with.

        Args:
            maker: makes the avatar; None where that is not installed.
            models: loads it.
            at_once: photos that are worked on at the same time; who comes later waits.
        """
        self._maker = maker
        self._models = models
        self._turns = threading.Semaphore(at_once)

    def check(self, wish: PhotoWish) -> None:
        """Raise what is wrong before the photo is looked at; cheap.

        Raises:
            PhotosUnavailableError: nothing of the kind is made here.
            ConsentFormatError: the consent does not say who agreed, when, and to what.
        """
        self._installed(wish)
        if wish.agreed:
            parse_consent(wish.agreed, "")

    def _installed(self, wish: PhotoWish) -> PhotoMaker:
        if self._maker is None:
            raise PhotosUnavailableError(
                "this server makes no avatars of photos, because what reads faces is not installed; its operator "
                "installs it by scripts/setup.sh without --serve, on Python 3.11 or 3.12"
            )
        if wish.restore == "network" and not self._maker.has_restorer:
            raise PhotosUnavailableError(
                "this server has no network that restores faces (setting AVATAR328_PHOTOS__RESTORER); "
                "send restore=auto or restore=off"
            )
        return self._maker

    def make(self, photo: BinaryIO, wish: PhotoWish, cancelled: threading.Event) -> PhotoModel:
        """Make and load an avatar; when this returns or raises, nothing of it is on the disk.

        Args:
            photo: read at once.
            wish: what came with it.
            cancelled: set by any thread when nobody wants it any more.
        Raises:
            PhotoRefusedError: no avatar can be made of it.
            PhotosUnavailableError, ConsentFormatError: see `check`.
            RestorerError, ModelRuntimeError: a network failed.
        """
        maker = self._installed(wish)
        with tempfile.TemporaryDirectory(prefix=_FOLDER) as folder:
            path, avatars_dir = Path(folder) / "the photo", Path(folder) / "avatars"
            with path.open("wb") as copy:
                shutil.copyfileobj(photo, copy)
            with self._turn(cancelled):
                maker(
                    path,
                    avatars_dir,
                    AVATAR_NAME,
                    consent=wish.agreed,
                    synthetic=wish.synthetic,
                    restore=wish.restore,
                )
            return self._models.open_unlisted(avatars_dir, AVATAR_NAME)

    @contextmanager
    def _turn(self, cancelled: threading.Event) -> Iterator[None]:
        while not self._turns.acquire(timeout=_LOOK_S):
            if cancelled.is_set():
                raise BusyError("the photo's turn did not come before its sender left")
        try:
            if cancelled.is_set():
                raise BusyError("the photo's sender left")
            yield
        finally:
            self._turns.release()
