"""Whole pictures of a live session's frames, for transports whose other end has no template to walk through.

A session that is opened with `idle="bare"` gives no picture where nothing is said: it is the idle picture of its
template frame. Here each is drawn once and remembered as JPEG, so that an avatar that only listens costs a decoding
per frame instead of a drawing.

Axes: H W C picture (RGB, uint8).
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from services.live.events import LiveFrame
from services.streaming.idle import IdleFrames
from services.types import AvatarModel

_QUALITY: Final = 95
_BUDGET_BYTES: Final = 64 << 20


class WholePictures:
    """Of one session, or of several of the same avatar; safe to use from several threads."""

    def __init__(self, model: AvatarModel, idle: IdleFrames | None = None) -> None:
        """Nothing is drawn yet.

        Args:
            model: the avatar.
            idle: remembers its idle pictures; by default a store of this object's own, 64 MiB at most.
        """
        self._model = model
        self._idle = IdleFrames(_BUDGET_BYTES, _QUALITY) if idle is None else idle

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, px."""
        manifest = self._model.avatar.manifest
        return manifest.width, manifest.height

    def of(self, frame: LiveFrame) -> NDArray[np.uint8]:
        """The picture of a frame, (H, W, 3).

        Raises:
            ValueError: it is a patch; the session has to be opened without patches.
        """
        if frame.place is not None:
            raise ValueError("this frame is a patch; open the session with patches=False")
        if frame.picture_HWC is not None:
            return frame.picture_HWC
        ((_, jpeg),) = self._idle.coded(self._model, [frame.step.index])
        picture_bgr_HWC = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture_bgr_HWC is not None
        return np.asarray(cv2.cvtColor(picture_bgr_HWC, cv2.COLOR_BGR2RGB), np.uint8)
