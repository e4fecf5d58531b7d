"""What a live session knows: what is given, what was handed out, and what of it was seen. All of it under one lock.

Whoever gives, watches or clears calls from any thread; the session's own thread asks what to draw next, and hands out
a frame only if nobody has cleared it meanwhile.

Axes: D what a mouth is told.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from services.avatars.template import TemplateStep, TemplateWalk
from services.errors import LiveOrderError, StalledError
from services.live.events import Finished
from services.live.playback import HandedOut, Playback
from services.live.utterance import Interrupted, Utterance
from services.seams import SEAM_FRAMES, mixed

AHEAD_FRAMES: Final = 2 * FPS  # of what is said, before the frame that is shown
_IDLE_AHEAD_FRAMES: Final = 2  # of what is not: speech comes after them
_FEW_FRAMES: Final = 8  # that wait to be shown while more of an utterance is waited for


@dataclass(frozen=True, eq=False, slots=True)
class Unspoken:
    """A frame to be drawn in which nothing is said."""

    epoch: int
    step: TemplateStep
    told_D: NDArray[np.float32]
    closes: bool  # the mouth is on its way to rest


class Ledger:
    """The state of one session; every method takes the lock itself."""

    def __init__(
        self,
        motion_T: NDArray[np.float32],
        start: TemplateStep,
        rest_D: NDArray[np.float32],
        idle: bool,
        stall_s: float | None,
    ) -> None:
        """Nothing was given.

        Args:
            motion_T: of the template, px per frame.
            start: the template frame that is shown first.
            rest_D: what a closed mouth is told.
            idle: frames are handed out in which nothing is said.
            stall_s: give up when nothing is acknowledged for so long; None waits for ever.
        Raises:
            TemplateRangeError: there is no such frame.
        """
        self.lock = threading.Condition(threading.RLock())
        self.rest_D = rest_D
        self.epoch = 0
        self.closed = False
        self._motion_T, self._idle, self._stall_s = motion_T, idle, stall_s
        self._walk = TemplateWalk.start(motion_T, start.index, start.direction)
        self._seen = (start, rest_D)  # on the screen: the template frame, and what its mouth was told
        self._told_D = rest_D  # by the last frame that was handed out
        self._skip_frames = self._closing_frames = 0
        self._valid_from = 0  # older epochs were cleared
        self._given: Utterance | None = None
        self._waiting: deque[Utterance] = deque()
        self._unfinished: dict[int, Utterance] = {}
        self._samples: dict[int, int] = {}  # of the same epochs: that came so far
        self._playback = Playback()

    @property
    def is_speaking(self) -> bool:
        """Whether something was given whose end was not shown yet."""
        return bool(self._unfinished)

    @property
    def is_starving(self) -> bool:
        """Whether whoever watches will soon have shown all that was handed out."""
        return self._playback.ahead < _FEW_FRAMES

    def is_stale(self, epoch: int) -> bool:
        """Whether an epoch was cleared."""
        return epoch < self._valid_from

    # --- in ---------------------------------------------------------------------------------------
    def given(self) -> Utterance | None:
        """What is being given and not ended."""
        with self.lock:
            return self._given if self._given is not None and self._given.is_open else None

    def begin(self, make: Callable[[int], Utterance]) -> Utterance:
        """An utterance begins to be given; `make` gets its epoch.

        Raises:
            LiveOrderError: the session is over.
        """
        with self.lock:
            if self.closed:
                raise LiveOrderError("this session is over; open another one")
            utterance = self._given = make(self.epoch + 1)
            self.epoch += 1
            self._unfinished[self.epoch] = utterance
            self._samples[self.epoch] = 0
            self._waiting.append(utterance)
            return utterance

    def end(self) -> None:
        """What is being given is whole."""
        with self.lock:
            if (given := self.given()) is not None:
                given.end()
            self._given = None
            self.lock.notify_all()

    def clear(self, played: int | None) -> list[Finished]:
        """Forget what was given; returns what becomes of it, the utterance that is being said first."""
        with self.lock:
            finished = []
            for number, (epoch, utterance) in enumerate(sorted(self._unfinished.items())):
                utterance.clear()
                seen = self._playback.played(epoch) if played is None else played if number == 0 else 0
                finished.append(Finished(epoch, max(0, min(seen, self._samples[epoch])), interrupted=True))
            if finished or self._playback.ahead:
                self._go_on_from_what_is_seen()
            self.epoch += 1
            self._valid_from = self.epoch
            self._given = None
            for kept in (self._waiting, self._unfinished, self._samples):
                kept.clear()
            self.lock.notify_all()
            return finished

    def _go_on_from_what_is_seen(self) -> None:
        self._playback.forget()
        step, self._told_D = self._seen
        self._walk = TemplateWalk.after(self._motion_T, step)
        self._skip_frames = 0
        self._closing_frames = 0 if np.array_equal(self._told_D, self.rest_D) else SEAM_FRAMES

    def close(self) -> None:
        """Nothing is drawn any more."""
        with self.lock:
            self.closed = True
            for utterance in self._unfinished.values():
                utterance.clear()
            self.lock.notify_all()

    # --- what is shown ----------------------------------------------------------------------------
    def acknowledge(self, sequence: int) -> list[Finished]:
        """A frame is on the screen; returns the utterances that are over by that."""
        with self.lock:
            finished = []
            for frame in self._playback.acknowledge(sequence):
                self._seen = (frame.step, frame.told_D)
                if frame.last and self._unfinished.pop(frame.epoch, None) is not None:
                    finished.append(Finished(frame.epoch, self._samples.pop(frame.epoch), interrupted=False))
            self.lock.notify_all()
            return finished

    def stands_at(self, step: TemplateStep, lead_frames: int) -> None:
        """Whoever watches walks on alone while nothing is said; see LiveSession.stands_at."""
        with self.lock:
            walk = TemplateWalk.after(self._motion_T, step)
            if not self._playback.ahead:
                self._walk, self._skip_frames = walk, lead_frames
                self._seen = (step, self.rest_D)

    # --- the session's thread ---------------------------------------------------------------------
    def next_work(self) -> Utterance | Unspoken | None:
        """What to draw next; waits for it. None when the session is over."""
        with self.lock:
            while not self.closed:
                if self._waiting and self._waiting[0].is_ready:
                    return self._waiting.popleft()
                if self._closing_frames:
                    told_D = mixed(self._told_D, self.rest_D, SEAM_FRAMES - self._closing_frames + 1)
                    return Unspoken(self.epoch, self._next_step(), told_D, closes=True)
                if self._idle and self._playback.ahead < _IDLE_AHEAD_FRAMES:
                    return Unspoken(self.epoch, self._next_step(), self.rest_D, closes=False)
                self.lock.wait()
        return None

    def _next_step(self) -> TemplateStep:
        return replace(self._walk).steps(1)[0]

    def start_of(self, epoch: int) -> tuple[TemplateStep, NDArray[np.float32]]:
        """Where an utterance begins in the template, and what the frame before it was told.

        Raises:
            Interrupted: it was cleared.
        """
        with self.lock:
            self._check_wanted(epoch)
            self._walk.take(self._skip_frames)
            told_D = self._told_D
            if self._closing_frames:
                told_D = mixed(told_D, self.rest_D, SEAM_FRAMES - self._closing_frames)
            self._skip_frames = self._closing_frames = 0
            return TemplateStep(self._walk.index, self._walk.direction), told_D

    def hand_out_spoken(self, frame: HandedOut, samples: int) -> int:
        """Hand out a frame of an utterance, once there is room; returns its sequence.

        Args:
            frame: its `sequence` is given here.
            samples: of the utterance, that came so far.
        Raises:
            Interrupted: the utterance was cleared.
            StalledError: nothing was acknowledged for too long.
        """
        with self.lock:
            self._wait_for_room(frame.epoch)
            self._samples[frame.epoch] = samples
            self._told_D = self.rest_D if frame.last else frame.told_D
            return self._hand_out(frame)

    def hand_out_unspoken(self, drawn: Unspoken) -> int | None:
        """Hand out a frame in which nothing is said; None if something was cleared or the session ended meanwhile."""
        with self.lock:
            if self.closed or self.is_stale(drawn.epoch):
                return None
            if drawn.closes:
                self._closing_frames -= 1
                if not self._closing_frames:
                    self._told_D = self.rest_D
            return self._hand_out(HandedOut(0, drawn.epoch, drawn.step, 0, drawn.told_D, last=False))

    def _hand_out(self, frame: HandedOut) -> int:
        sequence = self._playback.next_sequence
        self._playback.hand_out(replace(frame, sequence=sequence))
        self._walk = TemplateWalk.after(self._motion_T, frame.step)
        return sequence

    def failed(self, epoch: int) -> bool:
        """The rest of an utterance cannot be said; False if nobody wants to know."""
        with self.lock:
            if self.is_stale(epoch):
                return False
            self._unfinished.pop(epoch).clear()
            self._samples.pop(epoch)
            self._closing_frames = 0 if np.array_equal(self._told_D, self.rest_D) else SEAM_FRAMES
            return True

    def _wait_for_room(self, epoch: int) -> None:
        seen, since = self._playback.shown, time.monotonic()
        self._check_wanted(epoch)
        while self._playback.ahead >= AHEAD_FRAMES:
            if self._playback.shown is not seen:
                seen, since = self._playback.shown, time.monotonic()
            rest_s = None if self._stall_s is None else since + self._stall_s - time.monotonic()
            if rest_s is not None and rest_s <= 0:
                raise StalledError(f"no frame was acknowledged for {self._stall_s:g} s; the session was given up")
            self.lock.wait(rest_s)
            self._check_wanted(epoch)

    def _check_wanted(self, epoch: int) -> None:
        if self.closed or self.is_stale(epoch):
            raise Interrupted
