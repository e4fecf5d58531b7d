"""LiveKit's own AvatarRunner drives the live session (needs the extra `livekit`; the room is a stand-in)."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest

from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.frame_generation_service import FrameGenerationService
from services.live.session import LiveSession
from services.seams import SEAM_FRAMES
from tests.service_material import Humming, hum
from tests.toy_avatar import SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

agents = pytest.importorskip("livekit.agents.voice.avatar", reason="the extra livekit is not installed")
rtc = importlib.import_module("livekit.rtc")
livekit_avatar = importlib.import_module("integrations.livekit_avatar")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

RATE_HZ = 24_000
SPEECH_S = to_pcm16(hum("never a dull word today"))[:RATE_HZ]  # read at another rate: a second of sound


class Room:
    """As much of a room as the runner asks for."""

    name = "here"

    def __init__(self) -> None:
        self.published: list[Any] = []
        self.local_participant = self

    def isconnected(self) -> bool:
        return True

    def on(self, *_: Any) -> None:
        """Nothing ever happens to this room."""

    def off(self, *_: Any) -> None:
        """As above."""

    async def publish_track(self, track: Any, options: Any) -> Room:
        self.published.append(track)
        return self

    async def wait_for_subscription(self) -> None:
        """Somebody listens already."""


class Shown:
    """What the runner sends to the room."""

    def __init__(self, runner: Any) -> None:
        self.frames: list[Any] = []
        push = runner.av_sync.push

        async def seen(frame: Any, timestamp: float | None = None) -> None:
            self.frames.append(frame)
            await push(frame, timestamp)

        runner.av_sync.push = seen

    @property
    def sounds(self) -> list[Any]:
        return [frame for frame in self.frames if isinstance(frame, rtc.AudioFrame)]

    @property
    def pcm(self) -> np.ndarray:
        return np.concatenate([np.frombuffer(sound.data, np.int16) for sound in self.sounds])


@asynccontextmanager
async def running(model: Any, rate_hz: int = RATE_HZ) -> AsyncIterator[tuple[Any, Shown, list[Any], LiveSession]]:
    session = LiveSession(FrameGenerationService(), model, Humming(), idle="bare")
    video = livekit_avatar.AvatarVideo(session, model, rate_hz)
    voice = agents.QueueAudioOutput(sample_rate=rate_hz, wait_playback_start=True)
    finished: list[Any] = []
    voice.on("playback_finished", finished.append)
    room = Room()
    runner = livekit_avatar.avatar_runner(room, video, voice)
    shown = Shown(runner)
    await runner.start()
    try:
        yield voice, shown, finished, session
        assert len(room.published) == 2
    finally:
        await runner.aclose()
        await video.aclose()


async def until(condition: Callable[[], object], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


async def say(voice: Any, pcm_S: np.ndarray, rate_hz: int = RATE_HZ, size: int = 700) -> None:
    for at in range(0, len(pcm_S), size):
        piece_S = pcm_S[at : at + size]
        await voice.capture_frame(rtc.AudioFrame(piece_S.tobytes(), rate_hz, 1, len(piece_S)))


def test_what_the_agent_says_comes_out_with_pictures(toy_model: Any) -> None:
    async def talk() -> None:
        async with running(toy_model) as (voice, shown, finished, _):
            await until(lambda: len(shown.frames) > 3)  # idle pictures, before anything is said
            assert not shown.sounds
            await say(voice, SPEECH_S)
            voice.flush()
            await until(lambda: finished)
            np.testing.assert_array_equal(shown.pcm, SPEECH_S)
            assert finished[0].playback_position == pytest.approx(len(SPEECH_S) / RATE_HZ)
            assert not finished[0].interrupted
            sounds = [number for number, frame in enumerate(shown.frames) if isinstance(frame, rtc.AudioFrame)]
            assert len(sounds) == FPS
            before = [shown.frames[number - 1] for number in sounds]  # its picture, of the agreed size
            assert {(frame.width, frame.height, frame.type) for frame in before} == {
                (SIZE, SIZE, rtc.VideoBufferType.RGBA)
            }
            assert len({bytes(frame.data) for frame in before}) > FPS // 2
            seen = len(shown.frames)
            await until(lambda: len(shown.frames) > seen + SEAM_FRAMES)  # the avatar moves on

    asyncio.run(talk())


def test_an_interruption_is_told_with_what_was_played_and_nothing_old_follows(toy_model: Any) -> None:
    async def talk() -> None:
        async with running(toy_model) as (voice, shown, finished, session):
            await say(voice, np.tile(SPEECH_S, 4))
            await until(lambda: len(shown.sounds) >= 10)
            voice.clear_buffer()
            await until(lambda: finished)
            played_s = finished[0].playback_position
            assert finished[0].interrupted
            assert 9 / FPS - 0.001 <= played_s < 1.0  # the tenth is just being sent
            assert not session.is_speaking
            heard = len(shown.sounds)
            assert heard <= round(played_s * FPS) + 1
            voice.flush()
            new_S = (SPEECH_S // 3).astype(np.int16)
            await say(voice, new_S)
            voice.flush()
            await until(lambda: len(finished) == 2)
            np.testing.assert_array_equal(shown.pcm[-len(new_S) :], new_S)
            assert sum(len(sound.data) for sound in shown.sounds[heard:]) in (len(new_S), len(new_S) + 960)
            assert finished[1].playback_position == pytest.approx(1.0, abs=0.05)
            assert not finished[1].interrupted

    asyncio.run(talk())


def test_other_rates_come_out_at_the_track_s(toy_model: Any) -> None:
    async def talk() -> None:
        async with running(toy_model, 48_000) as (voice, shown, finished, _):
            await say(voice, SPEECH_S, RATE_HZ)
            voice.flush()
            await until(lambda: finished)
            assert {sound.sample_rate for sound in shown.sounds} == {48_000}
            assert len(shown.pcm) == pytest.approx(2 * len(SPEECH_S), abs=200)
            level = np.sqrt(np.square(shown.pcm.astype(float)).mean() / np.square(SPEECH_S.astype(float)).mean())
            assert level == pytest.approx(1.0, abs=0.05)

    asyncio.run(talk())


def test_a_token_lets_in_as_a_part_of_the_agent() -> None:
    livekit_agent = importlib.import_module("integrations.livekit_agent")
    api = importlib.import_module("livekit.api")
    secret = "s" * 32
    avatar = livekit_agent.AvatarOfWorker("http://localhost:1/join", api_key="key", api_secret=secret)
    claims = api.TokenVerifier("key", secret).verify(avatar.token("here", "agent-1"))
    assert (claims.identity, claims.video.room, claims.video.room_join) == ("avatar328", "here", True)
    assert claims.attributes == {"lk.publish_on_behalf": "agent-1"}
    assert claims.kind == "agent"
