"""Ctrl-C and SIGTERM while a stage trains: heard at once, obeyed between two steps."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType


class TrainingStopped(KeyboardInterrupt):
    """Training ended because a signal asked for it; everything is saved, and the message says how to go on."""


class StopRequest:
    """Context manager: the first SIGINT or SIGTERM is noted, a second one raises KeyboardInterrupt at once.

    A process that was told to ignore SIGINT, as a shell tells what it starts in the background, goes on ignoring it:
    whoever started it passes SIGTERM on.
    """

    def __init__(self, alone: bool = True) -> None:
        """Nothing is heard yet.

        Args:
            alone: this process decides for itself. One of several that compute together may only stop where all do,
                so `check` lets it go on.
        """
        self.requested = False
        self._alone = alone
        self._previous: dict[int, object] = {}

    def check(self) -> None:
        """Leave what can be done again: called where nothing that counts has been changed yet.

        Raises:
            TrainingStopped: a stop was asked for.
        """
        if self.requested and self._alone:
            raise TrainingStopped

    def __enter__(self) -> StopRequest:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._request)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.requested and kind is None:  # it came when all was done here: what follows must not begin
            raise KeyboardInterrupt

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
