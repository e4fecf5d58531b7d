"""A live session as the avatar of a LiveKit room: what AvatarRunner of livekit-agents drives (extra `livekit`).

    session = LiveSession(frames, model, tts, idle="bare")
    video = AvatarVideo(session, model, sample_rate_hz=24_000)
    runner = avatar_runner(room, video)        # hears the agent's voice over the room, publishes picture and sound
    await runner.start()

The runner pulls: it waits wherever its queues are full, so a frame that it takes is about to be shown, and is
acknowledged then.

Axes: S audio samples, H W C picture.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Final, TypeAlias

import cv2
import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import (
    AudioReceiver,
    AudioSegmentEnd,
    AvatarOptions,
    AvatarRunner,
    DataStreamAudioReceiver,
    VideoGenerator,
)
from numpy.typing import NDArray

from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.live.events import Event, Failed, LiveFrame
from services.live.pictures import WholePictures
from services.live.session import LiveSession
from services.types import AvatarModel

logger = logging.getLogger(__name__)

Given: TypeAlias = rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd

_AHEAD: Final = 8  # frames that wait for the runner


class AvatarVideo(VideoGenerator):
    """Sound of the agent in, pictures with that sound out; nothing of what was cleared comes out."""

    def __init__(self, session: LiveSession, model: AvatarModel, sample_rate_hz: int = 24_000) -> None:
        """Begin to walk through the template, silent.

        Args:
            session: of whole pictures, opened with idle="bare" or "drawn" so that the avatar moves in silence, too.
            model: its avatar.
            sample_rate_hz: of the sound that comes out; a LiveKit track has one rate for its whole life.
        """
        self._session, self._rate_hz = session, sample_rate_hz
        self._pictures = WholePictures(model)
        self._resampler: rtc.AudioResampler | None = None
        self._resampled_from_hz = 0
        self._given: dict[int, int] = {}  # samples of an epoch...
        self._whole: dict[int, int] = {}  # ...and of those that were ended
        self._stream = session.frames(self._coded, ahead=_AHEAD)

    @property
    def options(self) -> AvatarOptions:
        """What the runner has to know."""
        width, height = self._pictures.size
        return AvatarOptions(
            video_width=width,
            video_height=height,
            video_fps=FPS,
            audio_sample_rate=self._rate_hz,
            audio_channels=1,
        )

    # --- what the runner calls --------------------------------------------------------------------
    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """More of what the agent says, at any rate, or its end."""
        if isinstance(frame, AudioSegmentEnd):
            if self._resampler is not None:
                self._say([_samples(rest) for rest in self._resampler.flush()])
                self._resampler = None
            self._whole |= self._given
            self._given.clear()
            self._session.end()
            return
        self._say(self._at_our_rate(_mono(frame), frame.sample_rate))

    def clear_buffer(self) -> None:
        """The agent was interrupted: what it said and was not shown is forgotten, the mouth closes."""
        self._resampler = None
        self._given.clear()
        finished = self._session.clear()
        logger.debug("interrupted after %d samples", finished.samples)

    async def __aiter__(self) -> AsyncIterator[Given]:  # type: ignore[override]  # an async generator is one
        async for event, given in self._stream:
            for piece in given:
                if self._stream.is_stale(event):
                    break
                yield piece
            if isinstance(event, LiveFrame):
                self._session.acknowledge(event.sequence)

    async def aclose(self) -> None:
        """It is over."""
        self._session.close()

    # --- in ---------------------------------------------------------------------------------------
    def _at_our_rate(self, pcm_S: NDArray[np.int16], rate_hz: int) -> list[NDArray[np.int16]]:
        if rate_hz == self._rate_hz:
            return [pcm_S]
        if self._resampler is None or self._resampled_from_hz != rate_hz:
            self._resampler = rtc.AudioResampler(rate_hz, self._rate_hz, num_channels=1)
            self._resampled_from_hz = rate_hz
        return [_samples(frame) for frame in self._resampler.push(bytearray(pcm_S.tobytes()))]

    def _say(self, pieces: list[NDArray[np.int16]]) -> None:
        for pcm_S in pieces:
            if len(pcm_S):
                epoch = self._session.push(pcm_S, self._rate_hz)
                self._given[epoch] = self._given.get(epoch, 0) + len(pcm_S)

    # --- out, in the session's thread -------------------------------------------------------------
    def _coded(self, event: Event) -> list[Given]:
        if isinstance(event, Failed):
            logger.warning("an utterance cannot be said: %s", event.error)
            self._whole.pop(event.epoch, None)
            return [AudioSegmentEnd()]  # who waits for its end is told that there is nothing more
        if not isinstance(event, LiveFrame):
            return []
        picture_HWC = cv2.cvtColor(self._pictures.of(event), cv2.COLOR_RGB2RGBA)
        height, width = picture_HWC.shape[:2]
        given: list[Given] = [rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, picture_HWC.tobytes())]
        pcm_S = to_pcm16(self._without_closing(event))
        if len(pcm_S):
            given.append(rtc.AudioFrame(pcm_S.tobytes(), self._rate_hz, 1, len(pcm_S)))
        if event.last:
            self._whole.pop(event.epoch, None)
            given.append(AudioSegmentEnd())
        return given

    def _without_closing(self, frame: LiveFrame) -> NDArray[np.float32]:
        """The agent is told how much of its sound was played: the silence in which the mouth closes is not of it."""
        whole = self._whole.get(frame.epoch)
        return frame.pcm_S if whole is None else frame.pcm_S[: max(0, whole - frame.first_sample)]


def avatar_runner(
    room: rtc.Room, video: AvatarVideo, receiver: AudioReceiver | None = None, agent_identity: str | None = None
) -> AvatarRunner:
    """What brings an avatar and a room together; `start` it when the room is connected.

    Args:
        room: where the agent is.
        video: the avatar.
        receiver: where the agent's sound comes from; by default a data stream of the room.
        agent_identity: who sends it; by default the first agent in the room.
    """
    heard = receiver or DataStreamAudioReceiver(room, sender_identity=agent_identity)
    return AvatarRunner(room, audio_recv=heard, video_gen=video, options=video.options)


def _mono(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    pcm_SC = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
    return pcm_SC[:, 0] if frame.num_channels == 1 else pcm_SC.mean(axis=1).astype(np.int16)


def _samples(frame: rtc.AudioFrame) -> NDArray[np.int16]:
    return np.frombuffer(frame.data, np.int16)
