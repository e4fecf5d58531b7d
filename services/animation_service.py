"""What a server does for its clients, whatever the transport: say a text, say an upload, idle.

It decides who may speak and how many at a time, and watches what they do. `start` sets an utterance going.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import BinaryIO

from services.avatars.template import turning_frames
from services.errors import ConsentMissingError, TemplateRangeError
from services.frame_generation_service import FrameGenerationService
from services.speech.feed import SpeechFeed
from services.streaming.debug_recorder import DebugRecorder
from services.streaming.events import Event
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.pump import Pump
from services.streaming.session import SessionRequest, SoundFeed, run_session
from services.streaming.slots import Slots
from services.streaming.upload import UploadFeed, kept_upload
from services.streaming.wav import spoken_wav
from services.types import AvatarModel, ModelProvider, TTSService

Encoder = Callable[[Generator[Event, None, None]], Generator[bytes, None, None]]


@dataclass(frozen=True, slots=True)
class Begin:
    """Who speaks, and where in its template it begins."""

    avatar: str
    start_frame: int = 0
    direction: int = 1


@dataclass(frozen=True, slots=True)
class SpokenText:
    """A text that a voice speaks."""

    text: str
    voice: str | None = None  # None is the default one
    speed: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class UploadedSound:
    """A recording that is said as it is; copied before the first event, and the copy is always removed."""

    file: BinaryIO


class AnimationService:
    """Makes animations for any number of clients; safe to use from several threads."""

    def __init__(
        self,
        models: ModelProvider,
        frames: FrameGenerationService,
        tts: TTSService,
        idle: IdleFrames,
        recorder: DebugRecorder,
        metrics: ServiceMetrics,
        slots: Slots,
        idle_slots: Slots,
        *,
        public: bool,
        upload_s: float,
        queue_frames: int,
        stall_s: float,
    ) -> None:
        """Take over what it works with.

        Args:
            models, frames, tts, idle, recorder, metrics: make, watch and count.
            slots: how many utterances at a time.
            idle_slots: how many streams of idle frames at a time.
            public: others than this machine can reach the server.
            upload_s: longest uploaded recording.
            queue_frames: coded frames that wait for a slow client before work stops.
            stall_s: a client that takes nothing for so long is given up.
        """
        self._models = models
        self._frames = frames
        self._tts = tts
        self._idle = idle
        self._recorder = recorder
        self._metrics = metrics
        self.slots = slots
        self._idle_slots = idle_slots
        self._public, self._upload_s = public, upload_s
        self._queue_frames, self._stall_s = queue_frames, stall_s
        self._running: list[Pump[bytes]] = []
        self._changing = threading.Lock()

    def open(self, avatar: str) -> AvatarModel:
        """Load an avatar that may be shown here.

        Raises:
            ConsentMissingError: others can reach this server, and nobody's consent is recorded.
            BadNameError, AvatarNotFoundError, BrokenAvatarError, ModelRuntimeError: it cannot be loaded.
        """
        model = self._models.open(avatar)
        self.check_may_show(avatar, model.avatar.may_serve_publicly)
        return model

    def check_may_show(self, avatar: str, may_serve_publicly: bool) -> None:
        """Whether an avatar may be shown to those who can reach this server.

        Raises:
            ConsentMissingError: others can, and nobody's consent is recorded.
        """
        if self._public and not may_serve_publicly:
            raise ConsentMissingError(
                f"avatar {avatar} shows a person without a consent record, and this server can be reached by others; "
                f'record the consent (python -m services.avatars consent {avatar} "who, date, scope")'
            )

    def speaker(self, voice: str | None) -> tuple[str, str]:
        """The voice and the engine that speak when this voice is asked for."""
        status = self._tts.status()
        if voice is None:
            return status.default_voice, status.engine
        known = next((known for known in self._tts.voices() if known.name == voice), None)
        return voice, known.engine if known else status.engine

    def start(self, utterance: str, source: SpokenText | UploadedSound, begin: Begin, encode: Encoder) -> Pump[bytes]:
        """Set an utterance going in a thread of its own; it takes a place until its last stage has ended.

        What is wrong with a text is raised at once; what is wrong with an upload, when its first piece is taken.

        Args:
            utterance: its name, from `new_utterance`.
            source: what is said.
            begin: by whom.
            encode: events to the bytes of a transport.
        Raises:
            TextRejectedError, VoiceNotFoundError: see services.types.TTSService.
            BusyError: there is no place.
        """
        cancelled = threading.Event()  # ends also what waits for the engine
        if isinstance(source, SpokenText):
            events = self._spoken(utterance, source, begin, cancelled)
        else:
            events = self._uploaded(utterance, source, begin)
        self.slots.take()
        self._metrics.sessions.inc()
        try:
            watched = self._metrics.watch(self._recorder.record(events), time.perf_counter())
            pump = Pump(encode(watched), self._queue_frames, "session", self._stall_s, self._ended, cancelled.set)
        except BaseException:  # no thread can be started
            self._ended()
            raise
        self._watch_over(pump)
        return pump

    def _spoken(
        self, utterance: str, said: SpokenText, begin: Begin, cancelled: threading.Event
    ) -> Generator[Event, None, None]:
        tts = self._tts
        tts.check(said.text, said.voice, said.speed)
        return run_session(
            self._frames,
            self._request(
                utterance, begin, lambda: SpeechFeed(tts.synthesize(said.text, said.voice, said.speed, cancelled))
            ),
        )

    def _uploaded(self, utterance: str, sound: UploadedSound, begin: Begin) -> Generator[Event, None, None]:
        with kept_upload(sound.file) as path:
            request = self._request(utterance, begin, lambda: UploadFeed(path, self._upload_s))
            with closing(run_session(self._frames, request)) as events:
                yield from events

    def _request(self, utterance: str, begin: Begin, sound: Callable[[], SoundFeed]) -> SessionRequest:
        return SessionRequest(utterance, lambda: self.open(begin.avatar), sound, begin.start_frame, begin.direction)

    def speech(self, said: SpokenText) -> Pump[bytes]:
        """A text as a WAV file, in one piece, made in a thread; it takes a place until the voice has stopped.

        Raises:
            TextRejectedError, VoiceNotFoundError: see services.types.TTSService.
            BusyError: there is no place.
        """
        self._tts.check(said.text, said.voice, said.speed)
        self.slots.take()
        try:
            cancelled = threading.Event()
            wav = spoken_wav(self._tts.synthesize(said.text, said.voice, said.speed, cancelled))
            pump = Pump(wav, 1, "speech file", None, self.slots.give_back, cancelled.set)
        except BaseException:  # no thread can be started
            self.slots.give_back()
            raise
        self._watch_over(pump)
        return pump

    def _watch_over(self, pump: Pump[bytes]) -> None:
        """It is closed with the service."""
        with self._changing:
            self._running = [*(other for other in self._running if not other.ended), pump]

    def _ended(self) -> None:
        self._metrics.sessions.dec()
        self.slots.give_back()

    def idle_range(self, model: AvatarModel, first: int, count: int) -> range:
        """The template frames that were asked for, as far as there are any.

        Raises:
            TemplateRangeError: there is no first one.
        """
        frames = model.avatar.manifest.frames
        if not 0 <= first < frames:
            raise TemplateRangeError(f"first frame {first} is outside the template; choose 0 to {frames - 1}")
        return range(first, min(first + count, frames))

    def turning_frames(self, model: AvatarModel) -> tuple[int, int]:
        """Between which template frames the avatar walks to and fro."""
        return turning_frames(model.avatar.motion_T)

    def idle_stream(
        self,
        model: AvatarModel,
        encode: Callable[[Generator[tuple[int, bytes], None, None]], Generator[bytes, None, None]],
        indices: range,
    ) -> Pump[bytes]:
        """Idle frames (template index, JPEG), drawn in a thread.

        Raises:
            BusyError: too many are being drawn for others.
        """
        self._idle_slots.take()
        try:
            pieces = encode(self._idle.jpegs(model, indices))
            return Pump(pieces, self._queue_frames, "idle", self._stall_s, self._idle_slots.give_back)
        except BaseException:  # no thread can be started
            self._idle_slots.give_back()
            raise

    def close(self, wait_s: float) -> None:
        """Cancel everything that is being made, and wait for its end."""
        with self._changing:
            running = list(self._running)
        for pump in running:
            pump.close()
        until = time.monotonic() + wait_s
        for pump in running:
            pump.close(wait_s=max(until - time.monotonic(), 0.01))


def new_utterance() -> str:
    """A name for an utterance, also of its directory in debug mode."""
    return f"u-{uuid.uuid4().hex[:16]}"
