"""An utterance from its sound to its frames, whatever transport takes it from here.

    sound -> frames (services/frame_generation_service.py) -> Header, Caption, Frame, End

Everything is one generator: closing it ends every stage. It blocks, so it runs in a thread (pump.py).

Axes: S audio samples.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.frame_generation_service import FrameGenerationService
from services.mouth_rate import MouthRate
from services.speech.feed import SentenceStart
from services.speech.lips import SpokenLips
from services.streaming.events import Caption, End, Event, Frame, Header
from services.types import AvatarModel, Voice


class SoundFeed(Protocol):
    """The sound of one utterance: for the networks, and for listeners at its own rate."""

    @property
    def voice(self) -> Voice | None:
        """Who speaks, once it started; None in a recording."""

    @property
    def lips(self) -> SpokenLips | None:
        """What the mouth does, once it started; None where only the sound tells."""

    def start(self) -> int:
        """Wait for the first sound; returns the listeners' sample rate, a multiple of 25."""

    def __iter__(self) -> Generator[NDArray[np.float32], None, None]:
        """16 kHz for the networks; closing it frees what makes the sound."""

    def native_samples(self, frame_index: int) -> NDArray[np.float32]:
        """The listeners' sound of a frame that was generated."""

    def sentences_until(self, frame_index: int) -> Sequence[SentenceStart]:
        """Sentences that begin at or before a frame and were not reported yet."""

    def close(self) -> None:
        """Free what makes the sound; for a feed that was never iterated."""


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """Who speaks what, from where in the template on."""

    utterance: str
    model: Callable[[], AvatarModel]  # opened in the session's thread: it may have to be loaded
    sound: Callable[[], SoundFeed]
    start_frame: int = 0
    direction: int = 1
    in_time: bool = False  # rather than every mouth drawn: services/mouth_rate.py


def run_session(frames: FrameGenerationService, request: SessionRequest) -> Generator[Event, None, None]:
    """Generate an utterance.

    Raises:
        UserError: before the header if nothing can be shown at all, else at the frame from
            which on it cannot go on.
    """
    model = request.model()
    session = frames.start(model, request.start_frame, request.direction)
    session.mouth_rate = MouthRate() if request.in_time else None
    feed = request.sound()
    try:
        rate_hz = feed.start()
        manifest, voice = model.avatar.manifest, feed.voice
        yield Header(
            utterance=request.utterance,
            avatar=model.avatar.name,
            width=manifest.width,
            height=manifest.height,
            sample_rate_hz=rate_hz,
            start_frame=request.start_frame,
            direction=request.direction,
            voice=voice.name if voice else None,
            engine=voice.engine if voice else None,
            consent=model.avatar.consent,
            face=model.avatar.face,
        )
        count = 0
        with closing(frames.stream(session, feed, feed.lips)) as stream:
            for frame in stream:
                for sentence in feed.sentences_until(frame.index):
                    yield Caption(sentence.index, sentence.text)
                pcm_S = feed.native_samples(frame.index)
                yield Frame(frame.index, frame.template_index, frame.frame_rgb_HWC, pcm_S, frame.held)
                count += 1
        yield End(count, session.walk.index, session.walk.direction)
    finally:
        feed.close()
