"""What a server does for its clients, whatever the transport: say a text, say an upload, idle.

It decides who may speak and how many at a time, and watches what they do. Work is described as generators; `stream`
sets one going in a thread of its own.
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
from services.streaming.session import SessionRequest, run_session
from services.streaming.slots import Slots
from services.streaming.upload import UploadFeed, kept_upload
from services.streaming.wav import spoken_wav
from services.types import AvatarModel, ModelProvider, TTSService

Encoder = Callable[[Generator[Event, None, None]], Generator[bytes, None, None]]


@dataclass(frozen=True, slots=True)
class Place:
    """Who speaks, and where in its template it begins."""

    avatar: str
    start_frame: int = 0
    direction: int = 1


@dataclass(frozen=True, slots=True)
class Rules:
    """What is allowed."""

    public: bool  # others than this machine can reach the server
    upload_s: float
    queue_frames: int
    stall_s: float


@dataclass(frozen=True, eq=False, slots=True)
class Animation:
    """An utterance that can be set going."""

    events: Generator[Event, None, None]
    left: threading.Event  # ends also what waits for the engine


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
        rules: Rules,
    ) -> None:
        self._models = models
        self._frames = frames
        self._tts = tts
        self._idle = idle
        self._recorder = recorder
        self._metrics = metrics
        self.slots = slots
        self._idle_slots = idle_slots
        self._rules = rules
        self._running: list[Pump[bytes]] = []
        self._changing = threading.Lock()

    def open(self, avatar: str) -> AvatarModel:
        """Load an avatar that may be shown here.

        Raises:
            ConsentMissingError: others can reach this server, and nobody's consent is recorded.
            BadNameError, AvatarNotFoundError, BrokenAvatarError, ModelRuntimeError: it cannot be loaded.
        """
        model = self._models.open(avatar)
        if self._rules.public and not model.avatar.may_serve_publicly:
            raise ConsentMissingError(
                f"avatar {avatar} shows a person without a consent record, and this server can be reached by others; "
                f'record the consent (python -m services.avatars consent {avatar} "who, date, scope")'
            )
        return model

    def say(self, utterance: str, text: str, voice: str | None, speed: float, place: Place) -> Animation:
        """A text, spoken; what is wrong with it is raised at once.

        Raises:
            TextRejectedError, VoiceNotFoundError: see services.types.TTSService.
        """
        tts = self._tts
        tts.check(text, voice, speed)
        left = threading.Event()
        request = SessionRequest(
            utterance=utterance,
            model=lambda: self.open(place.avatar),
            sound=lambda: SpeechFeed(tts.synthesize(text, voice, speed, left)),
            start_frame=place.start_frame,
            direction=place.direction,
        )
        return Animation(run_session(self._frames, request), left)

    def speaker(self, voice: str | None) -> tuple[str, str]:
        """The voice and the engine that speak when this voice is asked for."""
        status = self._tts.status()
        if voice is None:
            return status.default_voice, status.engine
        known = next((known for known in self._tts.voices() if known.name == voice), None)
        return voice, known.engine if known else status.engine

    def say_upload(self, utterance: str, file: BinaryIO, place: Place) -> Animation:
        """An uploaded recording, spoken; it is copied before the first event, and the copy is always removed."""
        return Animation(self._upload(utterance, file, place), threading.Event())

    def _upload(self, utterance: str, file: BinaryIO, place: Place) -> Generator[Event, None, None]:
        with kept_upload(file) as path:
            request = SessionRequest(
                utterance=utterance,
                model=lambda: self.open(place.avatar),
                sound=lambda: UploadFeed(path, self._rules.upload_s),
                start_frame=place.start_frame,
                direction=place.direction,
            )
            with closing(run_session(self._frames, request)) as events:
                yield from events

    def stream(self, animation: Animation, encode: Encoder) -> Pump[bytes]:
        """Set an utterance going; it takes a place until its last stage has ended.

        Raises:
            BusyError: there is no place.
        """
        self.slots.take()
        self._metrics.sessions.inc()
        try:
            watched = self._metrics.watch(self._recorder.record(animation.events), time.perf_counter())
            pieces, rules = encode(watched), self._rules
            pump = Pump(pieces, rules.queue_frames, "session", rules.stall_s, self._ended, animation.left.set)
        except BaseException:  # no thread can be started
            self._ended()
            raise
        self._watch_over(pump)
        return pump

    def speech(self, text: str, voice: str | None, speed: float) -> Pump[bytes]:
        """A text as a WAV file, in one piece, made in a thread; it takes a place until the voice has stopped.

        Raises:
            TextRejectedError, VoiceNotFoundError: see services.types.TTSService.
            BusyError: there is no place.
        """
        self._tts.check(text, voice, speed)
        self.slots.take()
        try:
            left = threading.Event()
            wav = spoken_wav(self._tts.synthesize(text, voice, speed, left))
            pump = Pump(wav, 1, "speech file", None, self.slots.give_back, left.set)
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
            return Pump(pieces, self._rules.queue_frames, "idle", self._rules.stall_s, self._idle_slots.give_back)
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
