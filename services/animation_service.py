"""What a server does for its clients, whatever the transport: say a text, say an upload, idle.

It decides who may speak, and watches what they do. `start` sets an utterance going.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import closing

from recipe.avatar_format import MATTES_FILE
from recipe.recipe_328 import FPS
from services.avatars.template import turning_frames
from services.credentials.signing import Credentials
from services.errors import ConsentMissingError, NotCutOutError, TemplateRangeError
from services.frame_generation_service import FrameGenerationService
from services.speech.feed import SpeechFeed
from services.spoken_photos import SpokenPhotos
from services.streaming.debug_recorder import DebugRecorder
from services.streaming.events import Event
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.provenance import Asked, ProvenanceLog
from services.streaming.pump import Pace, Pump
from services.streaming.session import SessionRequest, SoundFeed, run_session
from services.streaming.slots import Slots
from services.streaming.traces import Traces
from services.streaming.upload import UploadFeed, check_upload, kept_upload
from services.types import AudioChunk, AvatarModel, ModelProvider, TTSService
from services.utterance import Begin, SpokenText, UploadedSound
from services.work import WorkInPlaces

logger = logging.getLogger(__name__)

Encoder = Callable[[Generator[Event, None, None]], Generator[bytes, None, None]]


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
        work: WorkInPlaces,
        idle_slots: Slots,
        photos: SpokenPhotos,
        *,
        provenance: ProvenanceLog,
        credentials: Credentials | None = None,
        traces: Traces | None = None,
        public: bool,
        upload_s: float,
        queue_frames: int,
        stall_s: float,
        behind_s: float,
    ) -> None:
        """Take over what it works with.

        Args:
            models, frames, tts, idle, recorder, metrics: make, watch and count.
            work: what is being made, and how many utterances at a time.
            idle_slots: how many streams of idle frames at a time.
            photos: avatars of photos that come with a request.
            provenance: who had which avatar say what.
            credentials: sign finished files; None leaves them unsigned.
            traces: tell of every utterance; None tells nobody.
            public: others than this machine can reach the server.
            upload_s: longest uploaded recording.
            queue_frames: coded frames that wait for a slow client before work stops.
            stall_s: a client that takes nothing for so long is given up.
            behind_s: so is one that falls so far behind the clock.
        """
        self._models = models
        self._frames = frames
        self._tts = tts
        self._idle = idle
        self._recorder = recorder
        self._metrics = metrics
        self.work, self.slots = work, work.slots
        metrics.places.set_function(lambda: work.slots.count)
        self._idle_slots = idle_slots
        self.photos = photos
        self.provenance = provenance
        self._credentials, self._traces = credentials, traces
        self._public, self._upload_s = public, upload_s
        self._queue_frames, self._stall_s = queue_frames, stall_s
        self._pace = Pace(1 / FPS, behind_s)

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
        asked = Asked(utterance, begin.who, begin.avatar, "text" if isinstance(source, SpokenText) else "sound")
        if isinstance(source, SpokenText):
            asked.heard.update(source.text.encode(errors="surrogatepass"))  # half pairs are not spoken
            events = self._spoken(utterance, source, begin, cancelled)
        else:
            events = self._uploaded(utterance, source, begin, cancelled, asked)
        self.work.take_place()
        self._metrics.sessions.inc()
        try:
            recorded = self._recorder.record(self.work.until_stopped(events))
            if self._traces is not None:
                recorded = self._traces.watch(recorded, utterance, begin.avatar)
            watched = self._metrics.watch(recorded, time.perf_counter(), begin.spend)
            pump = Pump(
                self.provenance.watch(asked, encode(watched)),
                self._queue_frames,
                "session",
                self._stall_s,
                self._pace,
                self._ended,
                cancelled.set,
            )
        except BaseException:  # no thread can be started
            self._ended()
            raise
        self.work.watch_over(pump, begin.avatar)
        return pump

    def _spoken(
        self, utterance: str, said: SpokenText, begin: Begin, cancelled: threading.Event
    ) -> Generator[Event, None, None]:
        tts = self._tts
        tts.check(said.text, said.voice, said.speed)
        return run_session(
            self._frames,
            self._request(
                utterance,
                begin,
                cancelled,
                lambda: SpeechFeed(tts.synthesize(said.text, said.voice, said.speed, cancelled)),
            ),
        )

    def _uploaded(
        self, utterance: str, sound: UploadedSound, begin: Begin, cancelled: threading.Event, asked: Asked
    ) -> Generator[Event, None, None]:
        with kept_upload(sound.file) as path:
            with path.open("rb") as copy:
                hashlib.file_digest(copy, lambda: asked.heard)
            check_upload(path, self._upload_s)  # before a photo is worked on for it
            request = self._request(utterance, begin, cancelled, lambda: UploadFeed(path, self._upload_s))
            with closing(run_session(self._frames, request)) as events:
                yield from events

    def _request(
        self, utterance: str, begin: Begin, cancelled: threading.Event, sound: Callable[[], SoundFeed]
    ) -> SessionRequest:
        def opened() -> AvatarModel:
            return self.open(begin.avatar) if begin.unlisted is None else begin.unlisted(cancelled)

        return SessionRequest(utterance, opened, sound, begin.start_frame, begin.direction, begin.in_time)

    def speech(
        self, said: SpokenText, encode: Callable[[Generator[AudioChunk, None, None]], Generator[bytes, None, None]]
    ) -> Pump[bytes]:
        """A text as sound alone, made in a thread; it takes a place until the voice has stopped.

        Args:
            said: the text.
            encode: chunks of speech to the bytes of a file.
        Raises:
            TextRejectedError, VoiceNotFoundError: see services.types.TTSService.
            BusyError: there is no place.
        """
        self._tts.check(said.text, said.voice, said.speed)
        cancelled = threading.Event()
        file = encode(self._tts.synthesize(said.text, said.voice, said.speed, cancelled))
        return self.work.in_one_piece(file, "speech file", cancelled)

    @property
    def signs_files(self) -> bool:
        """Whether finished files carry Content Credentials."""
        return self._credentials is not None

    def finished_file(
        self, pieces: Generator[bytes, None, None], media_type: str, name: str
    ) -> Generator[bytes, None, None]:
        """A file that is not played before it is whole: signed, where that was set up."""
        return pieces if self._credentials is None else self._credentials.signed(pieces, media_type, name)

    def recode(self, pieces: Generator[bytes, None, None]) -> Pump[bytes]:
        """Set going in a thread what codes pictures that are there already; it takes a place until it has ended.

        Raises:
            BusyError: there is no place.
        """
        return self.work.start(
            lambda give_back: Pump(pieces, self._queue_frames, "recode", self._stall_s, on_end=give_back)
        )

    def forget(self, recordings: Collection[str]) -> None:
        """Avatars of these recordings or photos (SHA-256) were revoked: they leave memory, and stop speaking.

        What they were saying is cut: it ends without its last line.
        """
        self.photos.kept.forget(recordings)
        names = self._models.forget(recordings)
        if not names:
            return
        self._idle.forget()
        self.work.close_those_of(names)
        logger.info("revoked, and dropped: %s", ", ".join(names))

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
        transparent: bool = False,
    ) -> Pump[bytes]:
        """Idle frames (template index, picture; see `IdleFrames.coded`), drawn in a thread.

        Raises:
            NotCutOutError: they are to be transparent, and what is behind the person is not known.
            BusyError: too many are being drawn for others.
        """
        if transparent and MATTES_FILE not in model.avatar.manifest.files:
            raise NotCutOutError(model.avatar.manifest)
        self._idle_slots.take()
        try:
            pieces = encode(self._idle.coded(model, indices, transparent))
            return Pump(pieces, self._queue_frames, "idle", self._stall_s, on_end=self._idle_slots.give_back)
        except BaseException:  # no thread can be started
            self._idle_slots.give_back()
            raise
