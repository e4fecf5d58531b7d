"""The session's own thread: what is given becomes frames, one utterance after the other.

Axes: D what a mouth is told, H W C picture (RGB, uint8).
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from recipe.errors import UserError
from services.avatars.template import TemplateStep
from services.errors import StalledError
from services.frame_generation_service import FrameGenerationService, SpeakingSession
from services.live.events import Began, Caption, Event, Failed, LiveFrame
from services.live.ledger import Ledger, Unspoken
from services.live.playback import HandedOut
from services.live.utterance import Interrupted, Utterance
from services.mouth_rate import MouthRate
from services.seams import SEAM_FRAMES, Seams
from services.speech.feed import SpeechFeed, first_sample
from services.types import AvatarModel, Place, VideoFrame


@dataclass(frozen=True, slots=True)
class Drawing:
    """What draws a session's frames.

    Attributes:
        patches: give of every picture only what the sound changes.
        draws_idle: draw also frames that are the idle picture of their template frame.
        mouth_rate: what this machine can draw in time, remembered from utterance to utterance.
    """

    frames: FrameGenerationService
    model: AvatarModel
    ledger: Ledger
    patches: bool
    draws_idle: bool
    mouth_rate: MouthRate = field(default_factory=MouthRate)

    def events(self) -> Generator[Event, None, None]:
        """Until the session is over; waits for what is to be drawn.

        Raises:
            StalledError: nobody acknowledges what is shown.
        """
        while (work := self.ledger.next_work()) is not None:
            if isinstance(work, Unspoken):
                yield from self._unspoken(work)
                continue
            try:
                yield from self._said(work)
            except Interrupted:
                pass
            except StalledError:
                raise
            except UserError as error:
                if self.ledger.failed(work.epoch):
                    yield Failed(work.epoch, error)

    def _said(self, utterance: Utterance) -> Generator[Event, None, None]:
        feed = SpeechFeed(utterance.chunks(), SEAM_FRAMES)
        try:
            rate_hz = feed.start()
            start, told_D = self.ledger.start_of(utterance.epoch)
            session = self.frames.start(self.model, start.index, start.direction, utterance.epoch)
            session.seams, session.patches = Seams(self.ledger.rest_D, told_D), self.patches
            session.mouth_rate = self.mouth_rate
            yield Began(utterance.epoch, rate_hz, start, feed.voice, utterance.asked_at)
            with closing(self.frames.stream(session, feed, feed.lips)) as stream:
                for frame in stream:
                    for sentence in feed.sentences_until(frame.index):
                        yield Caption(session.epoch, sentence.index, sentence.text)
                    yield self._handed_out(session, session.seams, feed, frame)
        finally:
            feed.close()

    def _handed_out(self, session: SpeakingSession, seams: Seams, feed: SpeechFeed, frame: VideoFrame) -> LiveFrame:
        first, pcm_S = first_sample(frame.index, feed.start()), feed.native_samples(frame.index)
        last = frame.index == session.sound.last_frame
        step = TemplateStep(frame.template_index, frame.direction)
        handed = HandedOut(0, session.epoch, step, first + len(pcm_S), seams.told(frame.index), last)
        sequence = self.ledger.hand_out_spoken(handed, feed.samples)
        picture_HWC, place, held = frame.frame_rgb_HWC, frame.place, frame.held
        return LiveFrame(session.epoch, sequence, first, pcm_S, step, picture_HWC, place, last, held=held)

    def _unspoken(self, work: Unspoken) -> Generator[Event, None, None]:
        drawn = work.closes or self.draws_idle
        place, picture_HWC = self._drawn(work.step.index, work.told_D) if drawn else (None, None)
        sequence = self.ledger.hand_out_unspoken(work)
        if sequence is not None:
            no_sound_S = np.zeros(0, np.float32)
            yield LiveFrame(work.epoch, sequence, 0, no_sound_S, work.step, picture_HWC, place, idle=True)

    def _drawn(self, index: int, told_D: NDArray[np.float32]) -> tuple[Place | None, NDArray[np.uint8]]:
        if self.patches:
            (patch,) = self.model.draw_patches([index], told_D[None])
            return patch
        (picture_HWC,) = self.model.draw([index], told_D[None])
        return None, picture_HWC
