"""A real Pipecat pipeline with the live session in it (needs the extra `pipecat`)."""

from __future__ import annotations

import asyncio
import importlib
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

pytest.importorskip("pipecat", reason="the extra pipecat is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")

RATE_HZ = 24_000
SPEECH_S = to_pcm16(hum("never a dull word today"))[:RATE_HZ]  # read at another rate: a second of sound
FIRST_S = 0.6  # of silence before anything is said


def through(model: Any, given: list[Any], processors: int = 1) -> tuple[list[Any], Any]:
    """What comes down of a pipeline in which only the avatar is; and the avatar."""
    pipecat_avatar = importlib.import_module("integrations.pipecat_avatar")
    utils = importlib.import_module("pipecat.tests.utils")

    async def run() -> tuple[list[Any], Any]:
        session = LiveSession(FrameGenerationService(), model, Humming(), idle="bare")
        avatar = pipecat_avatar.AvatarProcessor(session, model)
        down, _ = await asyncio.wait_for(utils.run_test(avatar, frames_to_send=given, start_timeout=10.0), 30)
        return list(down), session

    return asyncio.run(run())


def frames() -> Any:
    return importlib.import_module("pipecat.frames.frames")


def spoken(pcm_S: np.ndarray, size: int = 960, channels: int = 1) -> list[Any]:
    pcm_SC = np.repeat(pcm_S[:, None], channels, axis=1)
    pieces = [pcm_SC[at : at + size] for at in range(0, len(pcm_SC), size)]
    return [frames().TTSAudioRawFrame(piece.tobytes(), RATE_HZ, channels, context_id="one") for piece in pieces]


def sound_of(down: list[Any]) -> np.ndarray:
    sounds = [np.frombuffer(frame.audio, np.int16) for frame in down if isinstance(frame, frames().TTSAudioRawFrame)]
    return np.concatenate([np.zeros(0, np.int16), *sounds])


@pytest.mark.parametrize("channels", [1, 2])
def test_a_picture_comes_before_every_40_ms_of_the_voice(toy_model: Any, channels: int) -> None:
    kinds = frames()
    sleep = importlib.import_module("pipecat.tests.utils").SleepFrame(FIRST_S)
    started, stopped = kinds.TTSStartedFrame(), kinds.TTSStoppedFrame(context_id="one")
    down, session = through(toy_model, [sleep, started, *spoken(SPEECH_S, 700, channels), stopped])
    assert not session.is_speaking
    begin = next(number for number, frame in enumerate(down) if isinstance(frame, kinds.TTSAudioRawFrame)) - 1
    idle = [frame for frame in down[:begin] if isinstance(frame, kinds.OutputImageRawFrame)]
    assert 3 <= len(idle) <= FIRST_S * FPS + 10
    assert isinstance(started, kinds.TTSStartedFrame)
    assert down[begin : begin + 2 * (FPS + SEAM_FRAMES)] == down[begin:-1]
    assert down[-1] is stopped  # after the last picture
    images, sounds = down[begin:-1:2], down[begin + 1 : -1 : 2]
    assert {type(frame) for frame in images} == {kinds.OutputImageRawFrame}
    assert {(frame.size, frame.format, frame.sync_with_audio) for frame in images} == {((SIZE, SIZE), "RGB", True)}
    assert {(frame.sample_rate, frame.num_channels, frame.context_id) for frame in sounds} == {(RATE_HZ, 1, "one")}
    assert {len(frame.audio) for frame in sounds} == {2 * RATE_HZ // FPS}
    np.testing.assert_array_equal(sound_of(down)[: len(SPEECH_S)], SPEECH_S)
    assert not sound_of(down)[len(SPEECH_S) :].any()
    assert len({frame.image for frame in images}) > FPS // 2


def test_an_interruption_stops_sound_and_mouth_and_the_next_answer_is_whole(toy_model: Any) -> None:
    kinds, utils = frames(), importlib.import_module("pipecat.tests.utils")
    interruption = kinds.InterruptionFrame()
    new_S = (SPEECH_S[: RATE_HZ // 2] // 3).astype(np.int16)
    given = [
        *spoken(np.tile(SPEECH_S, 6)), utils.SleepFrame(1.2), interruption, kinds.TTSStoppedFrame(),
        utils.SleepFrame(0.3), *spoken(new_S), kinds.TTSStoppedFrame(),
    ]  # fmt: skip
    down, _ = through(toy_model, given)
    at = next(number for number, frame in enumerate(down) if isinstance(frame, kinds.InterruptionFrame))
    old_S, rest_S = sound_of(down[:at]), sound_of(down[at + 2 :])  # one piece may have been on its way
    assert 0.2 < len(old_S) / RATE_HZ < 3.0
    np.testing.assert_array_equal(old_S, np.tile(SPEECH_S, 6)[: len(old_S)])
    np.testing.assert_array_equal(rest_S[: len(new_S)], new_S)
    silent = [frame for frame in down[at + 2 :] if isinstance(frame, kinds.OutputImageRawFrame)]
    assert len(silent) > FPS // 2 + SEAM_FRAMES + 3  # the mouth closed, the avatar moved on, and then spoke


def test_what_is_none_of_its_business_goes_through(toy_model: Any) -> None:
    text = frames().TextFrame("hello")
    down, _ = through(toy_model, [text, frames().TTSStoppedFrame()])
    others = [frame for frame in down if not isinstance(frame, frames().OutputImageRawFrame)]
    assert others[0] is text
    assert isinstance(others[1], frames().TTSStoppedFrame)
