"""Photo avatars for a server: what `services.types.PhotoMaker` asks for, handed in by the entry point.

What is heavy is imported with the first photo: most servers never see one.
"""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from data_prep.photo_restoration import Restore
    from recipe.face_restorer import FaceRestorer

NEEDED: Final = ("PIL", "mediapipe", "openvino", "pillow_heif", "scipy")  # of the extra `train`


def can_make_photos() -> bool:
    """Whether everything is installed; looks, and imports nothing."""
    return all(find_spec(name) is not None for name in NEEDED)


class PhotoMaker:
    """Makes avatars of photos; safe to use from several threads."""

    def __init__(self, size_px: int, restorer: Path | None) -> None:
        """Set what holds for all photos.

        Args:
            size_px: longest side of the frames, at most.
            restorer: ONNX file of a network that restores faces; loaded when somebody asks for it.
        """
        self._size_px = size_px
        self._restorer = restorer
        self._network: FaceRestorer | None = None
        self._restoring = threading.Lock()  # the network is for one thread at a time

    @property
    def has_restorer(self) -> bool:
        """Whether "network" can be asked for."""
        return self._restorer is not None

    def __call__(
        self, photo: Path, avatars_dir: Path, name: str, *, consent: str, synthetic: bool, restore: str
    ) -> None:
        """Make avatars_dir/name of a photo; arguments and errors: `services.types.PhotoMaker`."""
        if restore == "network":
            with self._restoring:
                self._make(photo, avatars_dir, name, consent, synthetic, self._loaded())
        else:
            self._make(photo, avatars_dir, name, consent, synthetic, "off" if restore == "off" else "auto")

    def _make(self, photo: Path, avatars_dir: Path, name: str, consent: str, synthetic: bool, restore: Restore) -> None:
        from data_prep.photo import Stopwatch
        from data_prep.photo_avatar import PhotoRequest, make_photo_avatar

        wish = PhotoRequest(name, photo, avatars_dir, self._size_px, consent, synthetic, restore=restore)
        make_photo_avatar(wish, Stopwatch())

    def _loaded(self) -> FaceRestorer:
        if self._network is None:
            from recipe.face_restorer import FaceRestorer

            assert self._restorer is not None, "nobody may ask for a network that is not there"
            self._network = FaceRestorer(self._restorer)
        return self._network
