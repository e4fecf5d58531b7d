"""Photos that speak at once: avatars that are made when they begin, or kept under a token, and are listed nowhere."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import BinaryIO

from services.avatars.photo_studio import AVATAR_NAME, PhotoStudio, PhotoWish
from services.avatars.preloaded import Preloaded, PreloadedPhotos
from services.errors import ConsentMissingError
from services.streaming.pump import Pump
from services.utterance import Begin
from services.work import WorkInPlaces


class SpokenPhotos:
    """Who speaks, where a photo comes with the request; safe to use from several threads."""

    def __init__(self, studio: PhotoStudio, kept: PreloadedPhotos, work: WorkInPlaces, *, public: bool) -> None:
        """Take over what it works with.

        Args:
            studio: makes avatars of photos.
            kept: keeps them under tokens.
            work: gives the places in which they are made.
            public: others than this machine can reach the server.
        """
        self._studio = studio
        self.kept = kept
        self._work = work
        self._public = public

    def check(self, wish: PhotoWish) -> None:
        """Raise what is wrong with a photo before it is looked at.

        Raises:
            ConsentMissingError: others can reach this server, and nobody's consent came with it.
            PhotosUnavailableError, ConsentFormatError: see PhotoStudio.check.
        """
        self._studio.check(wish)
        if self._public and wish.state == "none":
            raise ConsentMissingError(
                "this photo came without the consent of the person it shows, and this server can be reached by others; "
                'send the field consent ("who, YYYY-MM-DD, scope"), or synthetic=true if it shows nobody'
            )

    def once(self, photo: BinaryIO, wish: PhotoWish) -> Begin:
        """An avatar that is made of a photo when it begins to speak, and is nowhere afterwards.

        Raises:
            ConsentMissingError, PhotosUnavailableError, ConsentFormatError: see `check`.
        """
        self.check(wish)
        return Begin(AVATAR_NAME, unlisted=lambda cancelled: self._studio.make(photo, wish, cancelled))

    def again(self, kept: Preloaded) -> Begin:
        """An avatar that was preloaded; it may be dropped meanwhile."""
        return Begin(AVATAR_NAME, unlisted=lambda _: kept.model)

    def preload(self, photo: BinaryIO, wish: PhotoWish) -> Pump[bytes]:
        """Make an avatar of a photo in a thread and keep it; the one item is its token. It takes a place meanwhile.

        Raises:
            ConsentMissingError, PhotosUnavailableError, ConsentFormatError: see `check`.
            BusyError: there is no place.
        """
        self.check(wish)
        cancelled = threading.Event()

        def tokens() -> Generator[bytes, None, None]:
            model = self._studio.make(photo, wish, cancelled)
            if not cancelled.is_set():
                yield self.kept.keep(model).token.encode()

        return self._work.in_one_piece(tokens(), "preload", cancelled)
