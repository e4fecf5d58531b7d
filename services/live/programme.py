"""A live session as a steady programme: at every tick one picture and 40 ms of sound, whatever the session does.

For transports that play by a clock of their own and never stop (WebRTC, a stream to a site, a file). Where a frame is
late, picture and sound are held together and go on together: the picture stays, the sound is silent, and nothing is
left out. Whoever calls `tick` 25 times a second is the watcher: what a tick gives is on the screen.

Axes: S audio samples at the programme's rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from recipe.colour import encode_rgb
from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.avatars.template import TemplateStep
from services.live.account import Account
from services.live.events import Began, Event, LiveFrame
from services.live.pictures import WholePictures
from services.live.session import LiveSession

STORE_FRAMES: Final = FPS  # that are made ahead: a network draws several at a time
_START_S: Final = 0.005  # of silence before an utterance, for the samples that a resampler keeps


@dataclass(frozen=True, eq=False, slots=True)
class Moment:
    """40 ms of a programme.

    Attributes:
        number: of the tick, from 0; its time is number / 25 s.
        picture: yuv420p, BT.709; the same object while a picture is held.
        pcm_S: 16 bits, mono, rate / 25 samples.
        speaking: something is being said.
    """

    number: int
    picture: av.VideoFrame
    pcm_S: NDArray[np.int16]
    speaking: bool


class Programme:
    """One session, watched by whoever ticks; `tick` is called from one thread or event loop."""

    def __init__(
        self,
        session: LiveSession,
        pictures: WholePictures,
        rate_hz: int,
        account: Account | None = None,
        on_event: Callable[[Event], None] | None = None,
        on_end: Callable[[], None] | None = None,
    ) -> None:
        """Draw the first picture.

        Args:
            session: of whole pictures, opened with idle="bare" or "drawn".
            pictures: of its avatar.
            rate_hz: of the sound that comes out, a multiple of 25.
            account: is told what goes out.
            on_event: is told, by `tick`, what happens besides frames.
            on_end: called once, when nothing of the session goes on any more.
        """
        self.session, self.rate_hz = session, rate_hz
        self.late = 0  # ticks at which something was being said and the next frame was not there
        self._pictures, self._account, self._on_event = pictures, account, on_event
        silence = LiveFrame(0, 0, 0, np.zeros(0, np.float32), TemplateStep(0, 1), None, idle=True)
        self._picture = encode_rgb(pictures.of(silence))
        self._sound = _Sound(rate_hz)
        self._ticks = 0
        self._speaking = False
        self._stream = session.frames(self._coded, on_end, ahead=STORE_FRAMES)

    @property
    def ended(self) -> bool:
        """Whether the session is over."""
        return self._stream.ended

    def tick(self) -> Moment:
        """The next 40 ms; never waits.

        Raises:
            Exception: what ended the session.
        """
        frame = self._next_frame()
        if frame is not None:
            self._speaking = not (frame.idle or frame.last)
            self._sound.add(frame)
            self.session.acknowledge(frame.sequence)
        self.late += frame is None and self._speaking
        pcm_S = self._sound.take(self.rate_hz // FPS, silent=frame is None)
        moment = Moment(self._ticks, self._picture, pcm_S, self._speaking)
        self._ticks += 1
        return moment

    def _next_frame(self) -> LiveFrame | None:
        while (coded := self._stream.poll()) is not None:
            event, picture = coded
            if isinstance(event, LiveFrame):
                assert picture is not None
                self._picture = picture
                return event
            if isinstance(event, Began):
                self._sound.begin(event.sample_rate_hz)
            if self._on_event is not None:
                self._on_event(event)
        return None

    def _coded(self, event: Event) -> av.VideoFrame | None:
        """The picture to be coded; in the session's thread."""
        if self._account is not None:
            self._account.count(event, [to_pcm16(event.pcm_S).tobytes()] if isinstance(event, LiveFrame) else [])
        return encode_rgb(self._pictures.of(event)) if isinstance(event, LiveFrame) else None


class _Sound:
    """Sound of utterances at any rate becomes a steady stream at one."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._from_hz = rate_hz
        self._resampler: AudioResampler | None = None
        self._held_S = np.zeros(0, np.int16)

    def begin(self, rate_hz: int) -> None:
        """An utterance at this rate follows."""
        self._from_hz = rate_hz
        other = rate_hz != self._rate_hz
        self._resampler = AudioResampler(format="s16", layout="mono", rate=self._rate_hz) if other else None
        self._held_S = np.zeros(round(_START_S * self._rate_hz) if other else 0, np.int16)

    def add(self, frame: LiveFrame) -> None:
        """A frame's sound; of what was said before an interruption nothing is kept."""
        if frame.idle:
            self._held_S = np.zeros(0, np.int16)
        if len(frame.pcm_S):
            self._held_S = np.concatenate([self._held_S, self._resampled(to_pcm16(frame.pcm_S))])

    def take(self, samples: int, silent: bool) -> NDArray[np.int16]:
        """The next samples; what is missing is silent."""
        taken_S = np.zeros(samples, np.int16)
        if not silent:
            there_S, self._held_S = self._held_S[:samples], self._held_S[samples:]
            taken_S[: len(there_S)] = there_S
        return taken_S

    def _resampled(self, pcm_S: NDArray[np.int16]) -> NDArray[np.int16]:
        if self._resampler is None:
            return pcm_S
        sound = av.AudioFrame.from_ndarray(pcm_S[None], format="s16", layout="mono")
        sound.sample_rate = self._from_hz
        parts = [part.to_ndarray().reshape(-1) for part in self._resampler.resample(sound)]
        return np.concatenate([np.zeros(0, np.int16), *parts]).astype(np.int16)
