"""The live session: what is given comes out as frames, and nothing of what was cleared ever does."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, FPS, SAMPLE_RATE_HZ
from services.avatars.template import TemplateStep, TemplateWalk
from services.errors import LiveOrderError, StalledError, TemplateRangeError
from services.frame_generation_service import FrameGenerationService
from services.live.events import Began, Event, Finished, LiveFrame
from services.live.ledger import AHEAD_FRAMES
from services.live.session import LiveSession
from services.seams import SEAM_FRAMES
from services.speech.feed import SpeechFeed, first_sample
from services.types import AudioChunk
from tests.service_material import RATE_HZ, wait_for
from tests.session_watcher import SPEECH, assert_same, give_whole, said, sound_of, watched
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.fixture(scope="module")
def whole(toy_model: Any) -> list[Event]:
    return said(toy_model, give_whole)


@pytest.mark.parametrize("seed", range(4))
def test_any_chunking_gives_what_the_whole_gives(toy_model: Any, whole: list[Event], seed: int) -> None:
    random = np.random.default_rng(seed)

    def give(session: LiveSession) -> None:
        at = 0
        while at < len(SPEECH):
            count = int(random.choice([1, 7, 220, 882, 5000]))
            session.push(SPEECH[at : at + count], RATE_HZ)
            at += count
            if seed % 2:
                time.sleep(random.uniform(0, 0.004))
        session.end()

    events = said(toy_model, give)
    assert_same(
        [event for event in events if isinstance(event, LiveFrame)],
        [event for event in whole if isinstance(event, LiveFrame)],
    )


def test_between_the_seams_a_frame_is_what_the_offline_program_draws(toy_model: Any, whole: list[Event]) -> None:
    frames = [event for event in whole if isinstance(event, LiveFrame)]
    assert len(frames) == 30 + SEAM_FRAMES
    feed = SpeechFeed([AudioChunk(SPEECH, RATE_HZ, "", False)], SEAM_FRAMES)
    offline = list(FrameGenerationService().generate(toy_model, feed))
    assert [frame.step.index for frame in frames] == [frame.template_index for frame in offline]
    for live, drawn in list(zip(frames, offline, strict=True))[SEAM_FRAMES:-SEAM_FRAMES]:
        np.testing.assert_array_equal(live.picture_HWC, drawn.frame_rgb_HWC)
    assert [frame.last for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert whole[-1] == Finished(1, len(SPEECH), interrupted=False)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_051, 44_100, 48_000])
def test_listeners_get_the_sound_that_was_given_at_its_own_rate(toy_model: Any, rate_hz: int) -> None:
    levels_S = np.random.default_rng(rate_hz).integers(-9000, 9000, int(0.73 * rate_hz), dtype=np.int16)
    events = said(toy_model, lambda session: give_whole(session, levels_S, rate_hz))
    began = next(event for event in events if isinstance(event, Began))
    frames = [event for event in events if isinstance(event, LiveFrame)]
    assert began.sample_rate_hz == rate_hz
    assert [frame.first_sample for frame in frames] == [first_sample(i, rate_hz) for i in range(len(frames))]
    heard_S = sound_of(frames)
    np.testing.assert_array_equal(np.rint(heard_S[: len(levels_S)] * 32768), levels_S)
    assert not heard_S[len(levels_S) :].any()
    assert events[-1] == Finished(1, len(levels_S), interrupted=False)


def test_patches_over_the_idle_pictures_are_the_whole_pictures(toy_model: Any, whole: list[Event]) -> None:
    events = said(toy_model, give_whole, patches=True)
    patches = [event for event in events if isinstance(event, LiveFrame)]
    frames = [event for event in whole if isinstance(event, LiveFrame)]
    rest = toy_model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))
    for patch, frame in zip(patches, frames, strict=True):
        (over,) = toy_model.draw([patch.step.index], rest)
        assert patch.place is not None
        assert patch.picture_HWC is not None
        assert frame.picture_HWC is not None
        assert patch.picture_HWC.size < 0.5 * over.size
        height, width = patch.picture_HWC.shape[:2]
        over[patch.place.top : patch.place.top + height, patch.place.left : patch.place.left + width] = (
            patch.picture_HWC
        )
        np.testing.assert_array_equal(over, frame.picture_HWC)


def test_at_most_two_seconds_are_ahead_of_the_frame_that_is_shown(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: False) as watcher:
        give_whole(watcher.session, np.tile(SPEECH, 4))
        wait_for(lambda: len(watcher.frames) == AHEAD_FRAMES)
        time.sleep(0.1)
        assert len(watcher.frames) == AHEAD_FRAMES
        watcher.session.acknowledge(6)
        wait_for(lambda: len(watcher.frames) == AHEAD_FRAMES + 7)
        watcher.session.acknowledge(10_000)  # never handed out: says nothing
        time.sleep(0.1)
        assert len(watcher.frames) == AHEAD_FRAMES + 7
        assert watcher.of(Finished) == []


def test_who_shows_nothing_is_given_up(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: False, stall_s=0.2) as watcher:
        give_whole(watcher.session, np.tile(SPEECH, 4))
        wait_for(lambda: watcher.error is not None)
        assert isinstance(watcher.error, StalledError)
        with pytest.raises(LiveOrderError, match="over"):
            watcher.session.push(SPEECH, RATE_HZ)


def test_after_clear_the_walk_goes_on_from_the_frame_that_was_shown(toy_model: Any) -> None:
    start = TemplateStep(50, 1)
    with watched(toy_model, lambda frame: frame.sequence <= 6, start=start) as watcher:
        give_whole(watcher.session, np.tile(SPEECH, 4))
        wait_for(lambda: len(watcher.frames) == AHEAD_FRAMES + 7)
        shown = watcher.frames[6]
        seen = len(watcher.events)
        watcher.shows = lambda frame: True
        finished = watcher.session.clear()
        assert finished == Finished(1, shown.first_sample + len(shown.pcm_S), interrupted=True)
        watcher.session.push(SPEECH, RATE_HZ)
        watcher.session.end()
        wait_for(lambda: len(watcher.of(Finished)) == 2)
        after = [event for event in watcher.events[seen:] if isinstance(event, LiveFrame)]
        walk = TemplateWalk.after(toy_model.avatar.motion_T, shown.step)
        assert [frame.step for frame in after] == walk.steps(len(after))
        assert {frame.epoch for frame in after} - {2} == {3}  # perhaps the mouth began to close before
        assert watcher.of(Finished) == [finished, Finished(3, len(SPEECH), interrupted=False)]


def test_an_interrupted_mouth_closes_step_by_step(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: frame.sequence <= 14) as watcher:
        give_whole(watcher.session, np.tile(SPEECH, 4))
        wait_for(lambda: len(watcher.frames) == AHEAD_FRAMES + 15)
        seen = len(watcher.frames)
        watcher.session.clear()
        wait_for(lambda: len(watcher.frames) == seen + SEAM_FRAMES)
        time.sleep(0.05)
        closing = watcher.frames[seen:]
        assert [(frame.idle, frame.epoch, len(frame.pcm_S)) for frame in closing] == [(True, 2, 0)] * SEAM_FRAMES
        rest = toy_model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))
        from_rest = []
        for frame in closing:
            (closed,) = toy_model.draw([frame.step.index], rest)
            from_rest.append(np.abs(closed.astype(int) - frame.picture_HWC).sum())
        assert from_rest == sorted(from_rest, reverse=True)
        assert from_rest[-1] < 0.6 * from_rest[0]


def test_seams_are_no_jumps(toy_model: Any, whole: list[Event]) -> None:
    """From the idle picture before to the one after, no frame differs from its neighbour by more than inside speech."""
    frames = [event for event in whole if isinstance(event, LiveFrame)]
    rest = toy_model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))
    told = [np.abs(a.picture_HWC.astype(int) - next(toy_model.draw([a.step.index], rest))).mean() for a in frames]
    steps = np.abs(np.diff([0.0, *told, 0.0]))
    inside = steps[SEAM_FRAMES:-SEAM_FRAMES].max()
    assert inside > 0
    assert max(steps[:SEAM_FRAMES].max(), steps[-SEAM_FRAMES:].max()) <= inside


def test_idle_frames_walk_on_and_speech_begins_after_them(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: False, idle="bare") as watcher:
        wait_for(lambda: len(watcher.frames) == 2)  # no more before they are shown
        watcher.shows = lambda frame: True
        watcher.session.acknowledge(1)
        wait_for(lambda: len(watcher.frames) > 20)
        give_whole(watcher.session)
        wait_for(lambda: watcher.of(Finished))
        more = len(watcher.frames)
        wait_for(lambda: len(watcher.frames) > more + 5)
        frames = watcher.frames
        steps = TemplateWalk.start(toy_model.avatar.motion_T).steps(len(frames))
        assert [frame.step for frame in frames] == steps
        assert [frame.sequence for frame in frames] == list(range(len(frames)))
        assert all((frame.picture_HWC is None) == frame.idle for frame in frames)


def test_idle_frames_are_drawn_where_that_is_wanted(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: False, idle="drawn") as watcher:
        wait_for(lambda: len(watcher.frames) == 2)
        rest = toy_model.encode_audio(np.zeros((1, 8032), np.float32), np.zeros(1, np.float32))
        for frame in watcher.frames:
            np.testing.assert_array_equal(frame.picture_HWC, next(toy_model.draw([frame.step.index], rest)))
        watcher.session.clear()  # those are not shown any more; others follow
        wait_for(lambda: len(watcher.frames) == 4)


def test_speech_begins_where_the_watcher_will_stand(toy_model: Any) -> None:
    with watched(toy_model) as watcher:
        watcher.session.stands_at(TemplateStep(20, -1), lead_frames=3)
        give_whole(watcher.session)
        wait_for(lambda: watcher.of(Finished))
        assert [frame.step.index for frame in watcher.frames[:3]] == [16, 15, 14]
        assert watcher.of(Began)[0].start == TemplateStep(16, -1)
        with pytest.raises(TemplateRangeError):
            watcher.session.stands_at(TemplateStep(1000, 1))


@pytest.mark.parametrize("rate_hz", [16_000, 24_000, 48_000])
def test_a_microphone_waits_for_the_lookahead_and_nothing_else(toy_model: Any, rate_hz: int) -> None:
    """Of every sound so far, all frames are there whose future was heard, though nobody says that it is over."""
    with watched(toy_model) as watcher:
        heard_s = 0.0
        for _ in range(10):
            watcher.session.push(np.sin(np.arange(rate_hz // 10) / 9).astype(np.float32), rate_hz)
            heard_s += 0.1
            resampled_s = 0.0 if rate_hz == 16_000 else 0.002  # a filter hears ahead, too
            known = int((heard_s - resampled_s - AUDIO_LOOKAHEAD_SAMPLES / SAMPLE_RATE_HZ) * FPS + 1e-6)
            wait_for(lambda known=known: len(watcher.frames) >= known)
        assert known >= 18
        assert len(watcher.frames) <= known + 1
