"""A live session as a steady programme: every tick gives 40 ms, sound and picture hold and go on together."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from recipe.colour import encode_rgb
from recipe.recipe_328 import FPS
from recipe.sound import to_pcm16
from services.frame_generation_service import FrameGenerationService
from services.live.events import Finished
from services.live.pictures import WholePictures
from services.live.programme import Moment, Programme
from services.live.session import LiveSession
from services.seams import SEAM_FRAMES
from tests.service_material import RATE_HZ, Humming, hum, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SPEECH = hum("never a dull word today", 1.0)  # 30 frames


@contextmanager
def programme(model: Any, rate_hz: int, events: list[Any] | None = None) -> Iterator[Programme]:
    session = LiveSession(FrameGenerationService(), model, Humming(), idle="bare")
    made = Programme(session, WholePictures(model), rate_hz, on_event=None if events is None else events.append)
    try:
        yield made
    finally:
        session.close(5.0)
        assert made.ended


def ticked(made: Programme, count: int, pace_s: float = 0.004) -> list[Moment]:
    moments = []
    for _ in range(count):
        moments.append(made.tick())
        time.sleep(pace_s)
    return moments


def until_silent(made: Programme, most: int = 400) -> list[Moment]:
    moments = []
    while not (moments and any(moment.speaking for moment in moments) and not moments[-1].speaking):
        moments += ticked(made, 1)
        assert len(moments) < most
    return moments


def pixels(moment: Moment) -> np.ndarray:
    return moment.picture.to_ndarray()


def sound_of(moments: list[Moment]) -> np.ndarray:
    return np.concatenate([moment.pcm_S for moment in moments])


def test_in_silence_the_avatar_walks_and_every_tick_has_its_sound(toy_model: Any) -> None:
    with programme(toy_model, 48_000) as made:
        moments = ticked(made, 30, 0.02)
        assert [moment.number for moment in moments] == list(range(30))
        assert {len(moment.pcm_S) for moment in moments} == {1920}
        assert not sound_of(moments).any()
        assert len({id(moment.picture) for moment in moments}) > 15
        first = encode_rgb(next(iter(toy_model.draw([0], _rest(toy_model)))))
        assert np.abs(pixels(moments[0]).astype(int) - first.to_ndarray()).mean() < 2  # coded as JPEG once
        assert made.late == 0


def _rest(model: Any) -> np.ndarray:
    return model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))


@pytest.mark.parametrize("rate_hz", [RATE_HZ, 48_000])
def test_what_is_said_comes_out_whole_however_late_its_frames_are(toy_model: Any, rate_hz: int) -> None:
    """Ticks far faster than frames: sound and picture wait for each other, and nothing is left out."""
    events: list[Any] = []
    with programme(toy_model, rate_hz, events) as made:
        ticked(made, 3)
        made.session.push(SPEECH, RATE_HZ)
        made.session.end()
        moments = until_silent(made)
        heard = sound_of([moment for moment in moments if moment.pcm_S.any()])
        spoken = to_pcm16(SPEECH)
        if rate_hz == RATE_HZ:
            start = int(np.flatnonzero(spoken)[0])
            np.testing.assert_array_equal(heard[start : len(spoken)], spoken[start:][: len(heard) - start])
        level = np.sqrt(np.square(heard.astype(float)).sum() / rate_hz)
        wanted = np.sqrt(np.square(spoken.astype(float)).sum() / RATE_HZ)
        assert level == pytest.approx(wanted, rel=0.03)
        shown = list(dict.fromkeys(id(moment.picture) for moment in moments if moment.speaking))
        assert len(shown) >= 30 + SEAM_FRAMES - 1
        ticked(made, 3)
        assert [type(event) for event in events][-1] is Finished
        assert events[-1] == Finished(1, len(SPEECH), interrupted=False)


def test_after_an_interruption_not_a_sample_is_heard(toy_model: Any) -> None:
    with programme(toy_model, 48_000) as made:
        made.session.push(np.tile(SPEECH, 5), RATE_HZ)
        wait_for(lambda: made.tick().speaking)
        before = ticked(made, 20)
        assert sound_of(before).any()
        played = made.session.clear()
        after = ticked(made, 40)
        assert not sound_of(after).any()
        assert not any(moment.speaking for moment in after[SEAM_FRAMES + 2 :])
        assert 0 < played.samples <= (len(before) + 3) * RATE_HZ // FPS
        made.session.push(SPEECH[: RATE_HZ // 2], RATE_HZ)
        made.session.end()
        assert sound_of(until_silent(made)).any()
