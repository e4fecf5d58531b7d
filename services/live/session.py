"""A live session: sound or text in, frames with their sound out, for as long as somebody is there.

    session = LiveSession(frames, model, tts)
    stream = session.frames()                  # taken in any thread by `for`, in an event loop by `async for`
    session.push(pcm_S, 24_000)                # from any other; or append_text
    session.end()
    for event, _ in stream:                    # Began, LiveFrame ...
        session.acknowledge(event.sequence)    # it is on the screen: at most two seconds more are made
    session.clear()                            # at any time: nothing of what was given comes out any more

The audio sample count is the only clock: no frame is paced by the time of day, but by whoever acknowledges frames.
One thread per session draws. `clear` forgets everything that was not shown, and the walk through the template goes on
from the frame that was shown, in its direction.

Axes: S audio samples.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Final, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from recipe.recipe_328 import window_samples
from recipe.sound import from_pcm16
from services.avatars.template import TemplateStep
from services.errors import LiveOrderError
from services.frame_generation_service import FrameGenerationService
from services.live.drawing import Drawing
from services.live.events import Event, Finished
from services.live.ledger import Ledger
from services.live.stream import Coded, LiveStream
from services.live.utterance import GivenSound, GivenText
from services.speech.feed import LEAST_RATE_HZ
from services.streaming.pump import Pump
from services.types import AvatarModel, TTSService

T = TypeVar("T")
Idle = Literal["none", "bare", "drawn"]

_TAKEN_AHEAD: Final = 2  # frames that wait to be taken
_MOST_RATE_HZ: Final = 192_000
_FIRST: Final = TemplateStep(0, 1)


class LiveSession:
    """One avatar before one listener. Every method may be called from any thread."""

    def __init__(
        self,
        frames: FrameGenerationService,
        model: AvatarModel,
        tts: TTSService,
        *,
        patches: bool = False,
        idle: Idle = "none",
        start: TemplateStep = _FIRST,
        most_waiting_s: float = 600.0,
        most_waiting_characters: int = 5000,
        stall_s: float | None = None,
    ) -> None:
        """Be there, silent.

        Args:
            frames: makes the frames.
            model: the avatar.
            tts: speaks text.
            patches: give of every picture only what the sound changes.
            idle: frames in which nothing is said: "none" (but those in which a mouth closes that was interrupted),
                "bare" (without a picture), "drawn".
            start: the template frame that is shown first.
            most_waiting_s: of sound that may wait to be said.
            most_waiting_characters: of text that may wait to be spoken.
            stall_s: give up when no frame is taken or acknowledged for so long; None waits for ever.
        Raises:
            TemplateRangeError: there is no such frame.
        """
        self._tts = tts
        self._most_waiting_s, self._most_characters = most_waiting_s, most_waiting_characters
        self._stall_s = stall_s
        silence_BS = np.zeros((1, window_samples(model.avatar.manifest.recipe["audio_features"])), np.float32)
        rest_D = model.encode_audio(silence_BS, np.zeros(1, np.float32))[0]
        self._ledger = Ledger(model.avatar.motion_T, start, rest_D, idle != "none", stall_s)
        self._drawing = Drawing(frames, model, self._ledger, patches, idle == "drawn")
        self._insert: Callable[[Event], None] | None = None  # into the stream, past what waits there
        self._close_stream: Callable[[float], None] | None = None

    @property
    def epoch(self) -> int:
        """Of what was given last, or of the silence after it was cleared."""
        return self._ledger.epoch

    @property
    def is_speaking(self) -> bool:
        """Whether something was given whose end was not shown yet."""
        return self._ledger.is_speaking

    def is_stale(self, event: Event) -> bool:
        """Whether an event belongs to what was cleared; who keeps events back looks again before it lets them go."""
        return self._ledger.is_stale(event.epoch) and not isinstance(event, Finished)

    # --- in ---------------------------------------------------------------------------------------
    def push(self, pcm_S: NDArray[np.floating] | NDArray[np.int16], rate_hz: int) -> int:
        """Give sound that is said as it is; the first begins an utterance.

        Args:
            pcm_S: mono, float in [-1, 1] or 16 bits, any number of samples.
            rate_hz: the same for a whole utterance.
        Returns:
            The utterance's epoch.
        Raises:
            ValueError: it is no such sound.
            LiveOrderError: a text is being given, the rate changed, or the session is over.
            TooMuchError: too much waits already.
        """
        if pcm_S.ndim != 1 or not (np.issubdtype(pcm_S.dtype, np.floating) or pcm_S.dtype == np.int16):
            raise ValueError(f"sound is {pcm_S.dtype} of shape {pcm_S.shape}, expected float or int16 of shape (S,)")
        if not LEAST_RATE_HZ <= rate_hz <= _MOST_RATE_HZ:
            raise ValueError(f"sound at {rate_hz} Hz is not taken: expected {LEAST_RATE_HZ} to {_MOST_RATE_HZ} Hz")
        heard_S = from_pcm16(pcm_S.astype(np.int16)) if pcm_S.dtype == np.int16 else np.array(pcm_S, np.float32)
        with self._ledger.lock:
            given = self._ledger.given()
            if not len(heard_S):
                return self.epoch
            if given is None:
                given = self._ledger.begin(lambda epoch: GivenSound(epoch, rate_hz, self._most_waiting_s))
            if not isinstance(given, GivenSound):
                raise LiveOrderError("a text is being given; end it before sound follows")
            given.push(heard_S, rate_hz)
            self._ledger.lock.notify_all()
            return given.epoch

    def append_text(self, text: str, voice: str | None = None, speed: float = 1.0) -> int:
        """Give text as it is written, cut anywhere; the first begins an utterance, and a sentence is spoken as soon as
        it is complete.

        Args:
            text: more of it.
            voice, speed: see services.types.TTSService; they count when the utterance begins.
        Returns:
            The utterance's epoch.
        Raises:
            LiveOrderError: sound is being given, or the session is over.
            VoiceNotFoundError, TextRejectedError: there is no such voice or speed.
            TooMuchError: too much waits already.
        """
        with self._ledger.lock:
            given = self._ledger.given()
            if given is None:
                if not text.strip():
                    return self.epoch
                self._tts.check("a", voice, speed)
                given = self._ledger.begin(
                    lambda epoch: GivenText(
                        epoch, self._tts, voice, speed, self._most_characters, self._notify,
                        lambda: self._ledger.is_starving,
                    )
                )  # fmt: skip
            if not isinstance(given, GivenText):
                raise LiveOrderError("sound is being given; end it before a text follows")
            given.append(text)
            return given.epoch

    def speak(self, text: str, voice: str | None = None, speed: float = 1.0) -> int:
        """Say a whole text after what was given before it; returns its epoch.

        Raises:
            TextRejectedError: nothing in it can be spoken; and what `append_text` raises.
        """
        self._tts.check(text, voice, speed)
        with self._ledger.lock:
            self.end()
            epoch = self.append_text(text, voice, speed)
            self.end()
            return epoch

    def end(self) -> None:
        """What is being given is whole."""
        self._ledger.end()

    def clear(self, played: int | None = None) -> Finished:
        """Say nothing more of what was given; nothing of it comes out once this has returned.

        Args:
            played: samples of what is being said that were played, where whoever plays knows better than by the frame
                that was acknowledged last.
        Returns:
            What was being said, and how much of it was played.
        """
        finished = self._ledger.clear(played)
        self._tell(finished)
        return finished[0] if finished else Finished(self.epoch - 1, 0, interrupted=False)

    # --- what is shown ----------------------------------------------------------------------------
    def acknowledge(self, sequence: int) -> None:
        """A frame is on the screen, and its sound begins; those before it were shown or left out."""
        self._tell(self._ledger.acknowledge(sequence))

    def stands_at(self, step: TemplateStep, lead_frames: int = 0) -> None:
        """Whoever watches walks through the template by itself while nothing is said, and is at this frame.

        Args:
            step: the frame, and the direction in which it goes on.
            lead_frames: speech begins so many frames later in the walk: about as long as its first frame takes.
        Raises:
            TemplateRangeError: there is no such frame.
        """
        self._ledger.stands_at(step, lead_frames)

    # --- out --------------------------------------------------------------------------------------
    def frames(
        self, code: Callable[[Event], T], on_end: Callable[[], None] | None = None, ahead: int = _TAKEN_AHEAD
    ) -> LiveStream[T]:
        """What happens, in order; once per session. Its thread is started here.

        Args:
            code: what a transport makes of an event; called in the session's thread, of Finished also in the caller's
                of `acknowledge` and `clear`.
            on_end: called once, when nothing of the session goes on any more.
            ahead: events that may wait to be taken; more where nobody but the taker keeps a store of frames.
        """
        if self._insert is not None:
            raise ValueError("the frames of this session are taken already")

        def ended() -> None:
            self._ledger.close()
            if on_end is not None:
                on_end()

        pump = Pump(self._coded(code), ahead, "live", self._stall_s, on_end=ended, on_close=self._ledger.close)
        stream = LiveStream(pump, code, self.is_stale)
        self._insert, self._close_stream = stream.insert, stream.close
        return stream

    def close(self, wait_s: float = 0.0) -> None:
        """It is over: every thread of it ends, and is waited for as long as that."""
        self._ledger.close()
        if self._close_stream is not None:
            self._close_stream(wait_s)

    def _coded(self, code: Callable[[Event], T]) -> Generator[Coded[T], None, None]:
        for event in self._drawing.events():
            if not self.is_stale(event):
                yield Coded(event, code(event))

    def _tell(self, events: Iterable[Event]) -> None:
        if self._insert is not None:
            for event in events:
                self._insert(event)

    def _notify(self) -> None:
        with self._ledger.lock:
            self._ledger.lock.notify_all()
