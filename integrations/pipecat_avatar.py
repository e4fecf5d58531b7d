"""A live session as a processor of a Pipecat pipeline (extra `pipecat`), after the text-to-speech service.

    session = LiveSession(frames, model, tts, idle="bare")
    pipeline = Pipeline([transport.input(), stt, ..., tts, AvatarProcessor(session, model), transport.output()])

Sound of the speech service goes in and comes out again with a picture before every 40 ms of it. Pictures are sent
`sync_with_audio`, through the queue in which the transport plays sound, so that both keep in step; give the transport
`video_out_enabled`, the avatar's size and a frame rate of 25.

Nobody tells a processor what was played, so it sends by the clock: a fifth of a second ahead of what is heard. That is
how much of an interrupted utterance may have been sent and never shown.

Axes: S audio samples.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import Any, Final

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.live.events import Began, Event, Failed, LiveFrame
from services.live.pictures import WholePictures
from services.live.session import LiveSession
from services.types import AvatarModel

logger = logging.getLogger(__name__)

_AHEAD: Final = 16  # frames that wait to be sent
_LEAD_S: Final = 0.2  # of what is said, before it is heard
_FRAME_S: Final = 1 / FPS
_LAST_WORDS_S: Final = 60.0  # a pipeline that ends waits so long for what is being said


class AvatarProcessor(FrameProcessor):
    """TTSAudioRawFrame in, OutputImageRawFrame and TTSAudioRawFrame out."""

    def __init__(self, session: LiveSession, model: AvatarModel, **chosen: Any) -> None:
        """Nothing is shown before the pipeline starts.

        Args:
            session: of whole pictures, opened with idle="bare" or "drawn" so that the avatar moves in silence, too.
            model: its avatar.
            chosen: see FrameProcessor.
        """
        super().__init__(**chosen)
        self._session = session
        self._pictures = WholePictures(model)
        self._stream = session.frames(self._coded, ahead=_AHEAD)
        self._sending: asyncio.Task[None] | None = None
        self._given: int | None = None  # epoch of what is being given
        self._stops: dict[int, list[Frame]] = defaultdict(list)  # that follow the last picture of an epoch
        self._rates_hz: dict[int, int] = {}
        self._context: dict[int, str | None] = {}
        self._silent = asyncio.Event()
        self._silent.set()
        self._due_s = 0.0  # time of the loop at which the next frame is heard

    # --- in ---------------------------------------------------------------------------------------
    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take the sound, hold its end back until it was shown, hand on everything else."""
        await super().process_frame(frame, direction)
        if isinstance(frame, TTSAudioRawFrame):
            self._say(frame)
            return
        if isinstance(frame, TTSStoppedFrame) and self._given is not None:
            self._stops[self._given].append(frame)
            self._given = None
            self._session.end()
            return
        if isinstance(frame, StartFrame):
            await self.push_frame(frame, direction)
            self._sending = self.create_task(self._send())
            return
        if isinstance(frame, InterruptionFrame):
            self._interrupt()
        elif isinstance(frame, EndFrame):
            await self._finish()
        elif isinstance(frame, CancelFrame):
            await self._stop()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """The pipeline is gone."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        await self._stop()

    def _say(self, frame: TTSAudioRawFrame) -> None:
        pcm_S = np.frombuffer(frame.audio, np.int16)
        if frame.num_channels > 1:
            pcm_S = pcm_S.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
        if not len(pcm_S):
            return
        if self._given is not None and self._rates_hz[self._given] != frame.sample_rate:
            self._session.end()
        epoch = self._session.push(pcm_S, frame.sample_rate)
        self._given, self._rates_hz[epoch], self._context[epoch] = epoch, frame.sample_rate, frame.context_id
        self._silent.clear()

    def _interrupt(self) -> None:
        finished = self._session.clear()
        logger.debug("interrupted after %d samples", finished.samples)
        self._given = None
        for kept in (self._stops, self._rates_hz, self._context):
            kept.clear()
        self._silent.set()

    async def _finish(self) -> None:
        self._session.end()
        try:
            await asyncio.wait_for(self._silent.wait(), _LAST_WORDS_S)
        except TimeoutError:
            logger.warning("the pipeline ends though something is still being said after %g s", _LAST_WORDS_S)
        await self._stop()

    async def _stop(self) -> None:
        self._session.close()
        if self._sending is not None:
            await self.cancel_task(self._sending)
            self._sending = None

    # --- out --------------------------------------------------------------------------------------
    def _coded(self, event: Event) -> tuple[bytes, bytes]:
        """Picture and sound of a frame; in the session's thread."""
        if not isinstance(event, LiveFrame):
            return b"", b""
        return self._pictures.of(event).tobytes(), to_pcm16(event.pcm_S).tobytes()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        async for event, (picture, sound) in self._stream:
            if isinstance(event, LiveFrame):
                lead_s = 0.0 if event.idle else _LEAD_S
                self._due_s = max(self._due_s, loop.time())
                await asyncio.sleep(self._due_s - lead_s - loop.time())
                if self._stream.is_stale(event):
                    self._due_s = 0.0
                    continue
                self._due_s += _FRAME_S
                await self._send_frame(event, picture, sound)
                self._session.acknowledge(event.sequence)
            elif isinstance(event, Began):
                self._due_s = max(self._due_s, loop.time() + _LEAD_S)
            elif isinstance(event, Failed):
                await self.push_error(f"an utterance cannot be said: {event.error}")
                await self._over(event.epoch)

    async def _send_frame(self, frame: LiveFrame, picture: bytes, sound: bytes) -> None:
        image = OutputImageRawFrame(image=picture, size=self._pictures.size, format="RGB")
        image.sync_with_audio = True
        await self.push_frame(image)
        if sound and not self._session.is_stale(frame):
            rate_hz = self._rates_hz[frame.epoch]
            context = self._context[frame.epoch]
            await self.push_frame(TTSAudioRawFrame(sound, rate_hz, 1, context_id=context))
        if frame.last:
            await self._over(frame.epoch)

    async def _over(self, epoch: int) -> None:
        self._rates_hz.pop(epoch, None)
        self._context.pop(epoch, None)
        for stopped in self._stops.pop(epoch, []):
            await self.push_frame(stopped)
        if not self._rates_hz:
            self._silent.set()
