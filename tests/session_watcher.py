"""A live session that is watched: what comes out of it, and how that is compared."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from services.frame_generation_service import FrameGenerationService
from services.live.events import Event, Failed, Finished, LiveFrame
from services.live.session import LiveSession
from services.live.stream import LiveStream
from tests.service_material import RATE_HZ, Humming, hum, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

SPEECH = hum("never a dull word today", 1.0)  # 30 frames


class Watcher:
    """Takes what a session gives in a thread and shows every frame at once, as long as `shows` says so."""

    def __init__(self, session: LiveSession, shows: Callable[[LiveFrame], bool] = lambda frame: True) -> None:
        self.session = session
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.shows = shows
        self.stream: LiveStream[None] = session.frames(lambda event: None)
        self.thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        try:
            for event, _ in self.stream:
                self.events.append(event)
                if isinstance(event, LiveFrame) and self.shows(event):
                    self.session.acknowledge(event.sequence)
        except BaseException as error:  # the test looks at it
            self.error = error

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    @property
    def frames(self) -> list[LiveFrame]:
        return self.of(LiveFrame)


@contextmanager
def watched(model: Any, shows: Callable[[LiveFrame], bool] = lambda frame: True, **chosen: Any) -> Iterator[Watcher]:
    """A session and who watches it; its threads are gone afterwards."""
    session = LiveSession(FrameGenerationService(), model, chosen.pop("tts", Humming()), **chosen)
    watcher = Watcher(session, shows)
    try:
        yield watcher
    finally:
        session.close()
        wait_for(lambda: watcher.stream.ended)
        watcher.thread.join(5)
        assert not watcher.thread.is_alive()


def said(model: Any, give: Callable[[LiveSession], None], **chosen: Any) -> list[Event]:
    """All that comes of one utterance."""
    with watched(model, **chosen) as watcher:
        give(watcher.session)
        wait_for(lambda: watcher.of(Finished) or watcher.of(Failed) or watcher.error)
        assert watcher.error is None
        return watcher.events


def give_whole(session: LiveSession, pcm_S: np.ndarray = SPEECH, rate_hz: int = RATE_HZ) -> None:
    session.push(pcm_S, rate_hz)
    session.end()


def sound_of(frames: list[LiveFrame]) -> np.ndarray:
    return np.concatenate([frame.pcm_S for frame in frames])


def assert_same(ours: list[LiveFrame], others: list[LiveFrame]) -> None:
    assert len(ours) == len(others)
    for one, other in zip(ours, others, strict=True):
        assert (one.step, one.first_sample, one.last, one.place) == (
            other.step, other.first_sample, other.last, other.place,
        )  # fmt: skip
        np.testing.assert_array_equal(one.picture_HWC, other.picture_HWC)
        np.testing.assert_array_equal(one.pcm_S, other.pcm_S)
