"""The live session: what is given comes out as frames, and nothing of what was cleared ever does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, FPS, SAMPLE_RATE_HZ
from services.avatars.template import TemplateStep, TemplateWalk
from services.container import Services
from services.errors import LiveOrderError, StalledError, TemplateRangeError, TextRejectedError, TooMuchError
from services.frame_generation_service import FrameGenerationService
from services.live.events import Began, Caption, Event, Failed, Finished, LiveFrame
from services.live.ledger import AHEAD_FRAMES
from services.live.session import LiveSession
from services.live.stream import LiveStream
from services.seams import SEAM_FRAMES
from services.speech.feed import SpeechFeed, first_sample
from services.types import AudioChunk
from tests.service_material import RATE_HZ, Gated, Humming, hum, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SPEECH = hum("never a dull word today", 1.0)  # 30 frames


class Watcher:
    """Takes what a session gives in a thread and shows every frame at once, as long as `shows` says so."""

    def __init__(self, session: LiveSession, shows: Callable[[LiveFrame], bool] = lambda frame: True) -> None:
        self.session = session
        self.events: list[Event] = []
        self.error: BaseException | None = None
        self.shows = shows
        self.stream: LiveStream[None] = session.frames(lambda event: None)
        self.thread = threading.Thread(target=self._watch, name="watcher", daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        try:
            for event, _ in self.stream:
                self.events.append(event)
                if isinstance(event, LiveFrame) and self.shows(event):
                    self.session.acknowledge(event.sequence)
        except BaseException as error:  # the test looks at it
            self.error = error

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kind)]

    @property
    def frames(self) -> list[LiveFrame]:
        return self.of(LiveFrame)


@contextmanager
def watched(model: Any, shows: Callable[[LiveFrame], bool] = lambda frame: True, **chosen: Any) -> Iterator[Watcher]:
    """A session and who watches it; its threads are gone afterwards."""
    session = LiveSession(FrameGenerationService(), model, chosen.pop("tts", Humming()), **chosen)
    watcher = Watcher(session, shows)
    try:
        yield watcher
    finally:
        session.close()
        wait_for(lambda: watcher.stream.ended)
        watcher.thread.join(5)
        assert not watcher.thread.is_alive()


def said(model: Any, give: Callable[[LiveSession], None], **chosen: Any) -> list[Event]:
    """All that comes of one utterance."""
    with watched(model, **chosen) as watcher:
        give(watcher.session)
        wait_for(lambda: watcher.of(Finished) or watcher.of(Failed) or watcher.error)
        assert watcher.error is None
        return watcher.events


def give_whole(session: LiveSession, pcm_S: np.ndarray = SPEECH, rate_hz: int = RATE_HZ) -> None:
    session.push(pcm_S, rate_hz)
    session.end()


def sound_of(frames: list[LiveFrame]) -> np.ndarray:
    return np.concatenate([frame.pcm_S for frame in frames])


def assert_same(ours: list[LiveFrame], others: list[LiveFrame]) -> None:
    assert len(ours) == len(others)
    for one, other in zip(ours, others, strict=True):
        assert (one.step, one.first_sample, one.last, one.place) == (
            other.step, other.first_sample, other.last, other.place,
        )  # fmt: skip
        np.testing.assert_array_equal(one.picture_HWC, other.picture_HWC)
        np.testing.assert_array_equal(one.pcm_S, other.pcm_S)


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


def test_utterances_follow_each_other(toy_model: Any) -> None:
    with watched(toy_model) as watcher:
        first = watcher.session.push(SPEECH, RATE_HZ)
        watcher.session.end()
        second = watcher.session.push(SPEECH[: RATE_HZ // 2], RATE_HZ)
        watcher.session.end()
        third = watcher.session.speak("hello there")
        wait_for(lambda: len(watcher.of(Finished)) == 3)
        assert [frame.epoch for frame in watcher.frames] == sorted(frame.epoch for frame in watcher.frames)
        assert [event.epoch for event in watcher.of(Finished)] == [first, second, third] == [1, 2, 3]
        assert not watcher.session.is_speaking


def test_a_sentence_is_said_as_soon_as_it_is_complete(toy_model: Any) -> None:
    with watched(toy_model) as watcher:
        for piece in ("Good mor", "ning every", "body. It", " is"):
            watcher.session.append_text(piece)
        wait_for(lambda: watcher.of(Caption))
        assert [caption.text for caption in watcher.of(Caption)] == ["Good morning everybody"]
        wait_for(lambda: len(watcher.frames) >= 18)  # all of its sound, though the next sentence is not complete
        assert watcher.of(Finished) == []
        watcher.session.append_text(" late")
        watcher.session.end()
        wait_for(lambda: watcher.of(Finished))
        assert [caption.text for caption in watcher.of(Caption)] == ["Good morning everybody", "It is late"]


def test_the_picture_goes_on_while_the_next_sentence_is_being_written(toy_model: Any) -> None:
    """Someone who writes pauses for as long as it takes: the avatar is silent, but never still."""
    with watched(toy_model) as watcher:
        watcher.session.append_text("Good morning everybody. It")
        wait_for(lambda: len(watcher.frames) >= 50)
        watcher.session.append_text(" is late")
        watcher.session.end()
        wait_for(lambda: watcher.of(Finished))
        frames = watcher.frames
        second = watcher.events.index(watcher.of(Caption)[1])
        begins = sum(isinstance(event, LiveFrame) for event in watcher.events[:second])
        assert begins >= 50
        hums = [np.abs(frame.pcm_S).max() > 0 for frame in frames]
        assert not any(hums[20:begins])
        assert hums[begins]
        assert [frame.step.index for frame in frames[20:28]] != [frames[20].step.index] * 8
        assert watcher.of(Finished)[0].samples == sum(len(frame.pcm_S) for frame in frames[:-SEAM_FRAMES])


def test_a_watcher_that_has_enough_to_show_gets_no_longer_pause(toy_model: Any) -> None:
    with watched(toy_model, shows=lambda frame: False) as watcher:
        watcher.session.append_text("Good morning everybody. It")
        wait_for(lambda: len(watcher.frames) >= 20)
        time.sleep(1.0)
        assert len(watcher.frames) < 30  # its sound, and the one pause


def test_what_does_not_fit_is_refused_and_changes_nothing(toy_model: Any) -> None:
    with watched(toy_model, most_waiting_s=2.0, most_waiting_characters=20) as watcher:
        session = watcher.session
        session.push(SPEECH[:100], RATE_HZ)
        with pytest.raises(LiveOrderError, match="sound is being given"):
            session.append_text("hello")
        with pytest.raises(LiveOrderError, match="16000 Hz follows"):
            session.push(SPEECH, 16_000)
        with pytest.raises(TooMuchError):
            session.push(np.zeros(3 * RATE_HZ, np.float32), RATE_HZ)
        with pytest.raises(ValueError, match="shape"):
            session.push(np.zeros((2, 100), np.float32), RATE_HZ)
        with pytest.raises(ValueError, match="3000 Hz"):
            session.push(SPEECH, 3000)
        session.end()
        with pytest.raises(TextRejectedError):
            session.speak("...")
        session.append_text("hello")
        with pytest.raises(LiveOrderError, match="text is being given"):
            session.push(SPEECH, RATE_HZ)
        with pytest.raises(TooMuchError):
            session.append_text("a" * 30)
        session.end()
        wait_for(lambda: len(watcher.of(Finished)) == 2)


def test_a_voice_that_fails_ends_its_utterance_only(toy_model: Any) -> None:
    tts = Humming()
    tts.fail_after_sentences = 0
    with watched(toy_model, tts=tts) as watcher:
        session = watcher.session
        session.speak("hello there")
        wait_for(lambda: watcher.of(Failed))
        session.append_text("...")
        session.end()
        wait_for(lambda: len(watcher.of(Failed)) == 2)
        tts.fail_after_sentences = None
        session.speak("hello there")
        wait_for(lambda: watcher.of(Finished))
        assert [event.epoch for event in watcher.of(Failed)] == [1, 2]
        assert watcher.of(Finished)[0].epoch == 3


class SlowVoice(Humming):
    """A voice that takes its time."""

    def __init__(self, random: np.random.Generator) -> None:
        super().__init__()
        self.random = random

    def _speak(self, *asked: Any) -> Iterator[AudioChunk]:
        for chunk in super()._speak(*asked):
            time.sleep(self.random.uniform(0, 0.02))
            yield chunk


class SlowModel(Gated):
    """Ears and hands that take their time."""

    def __init__(self, inner: Any, random: np.random.Generator) -> None:
        super().__init__(inner, lambda: time.sleep(random.uniform(0, 0.01)))

    def encode_audio(self, *heard: Any) -> np.ndarray:
        self._before_frame()
        return self._inner.encode_audio(*heard)


@pytest.mark.parametrize("seed", range(6))
def test_nothing_of_a_cleared_epoch_comes_out(toy_model: Any, seed: int) -> None:
    """Delays at every stage: the voice, the ears, the drawing, the taking and the showing."""
    random = np.random.default_rng(seed)
    cleared_at: list[tuple[int, int]] = []  # epoch from which on events are right, and how many came before

    def shows(frame: LiveFrame) -> bool:
        time.sleep(random.uniform(0, 0.003))
        return random.random() < 0.5

    voice, model = SlowVoice(np.random.default_rng(seed + 100)), SlowModel(toy_model, np.random.default_rng(seed + 50))
    with watched(model, shows, tts=voice, idle="bare" if seed % 2 else "none") as watcher:
        session = watcher.session
        for turn in range(12):
            if turn % 2:
                session.append_text("one two three. four five. si")
            else:
                session.push(SPEECH, RATE_HZ)
            if turn % 3:
                session.end()
            time.sleep(random.uniform(0, 0.12))
            session.clear()
            cleared_at.append((session.epoch, len(watcher.events)))
        watcher.shows = lambda frame: True
        last = session.speak("the end of it")
        wait_for(lambda: Finished in {type(event) for event in watcher.events if event.epoch == last})
        for epoch, seen in cleared_at:
            # what the watcher was about to note when `clear` returned is the one exception
            late = [e for e in watcher.events[seen + 1 :] if e.epoch < epoch and not isinstance(e, Finished)]
            assert late == []
        finished = [event.epoch for event in watcher.of(Finished)]
        assert finished == sorted(set(finished))
        spoken = [frame for frame in watcher.frames if frame.epoch == last and not frame.idle]
        np.testing.assert_array_equal(
            sound_of(spoken)[: len(hum("the end of it"))], hum("the end of it").astype(np.float32)
        )


def test_clear_answers_at_once_whatever_is_being_drawn(toy_model: Any) -> None:
    slow = Gated(toy_model, lambda: time.sleep(0.3))
    with watched(slow) as watcher:
        give_whole(watcher.session)
        time.sleep(0.1)
        started = time.perf_counter()
        watcher.session.clear()
        wait_for(lambda: watcher.of(Finished))
        assert time.perf_counter() - started < 0.2
        assert watcher.of(Finished) == [Finished(1, 0, interrupted=True)]


def test_the_listener_s_own_count_of_samples_counts(toy_model: Any) -> None:
    with watched(toy_model, lambda frame: frame.sequence <= 6) as watcher:
        give_whole(watcher.session)
        wait_for(lambda: len(watcher.frames) > 10)
        assert watcher.session.clear(played=4321).samples == 4321
    with watched(toy_model) as watcher:
        assert watcher.session.clear(played=4321) == Finished(0, 0, interrupted=False)


def test_a_session_that_is_closed_leaves_no_thread(toy_model: Any, toy_services: Services) -> None:
    before = threading.active_count()
    with watched(toy_model) as watcher:
        watcher.session.append_text("never ended. not at a")
        watcher.session.end()
        watcher.session.push(SPEECH[:100], RATE_HZ)
        with pytest.raises(ValueError, match="taken already"):
            watcher.session.frames(lambda event: None)
    wait_for(lambda: threading.active_count() <= before)
