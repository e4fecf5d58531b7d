"""Utterances of a live session follow each other, come as text or sound, fail alone, and end when they are cleared."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from services.container import Services
from services.errors import LiveOrderError, TextRejectedError, TooMuchError
from services.live.events import Caption, Failed, Finished, LiveFrame
from services.seams import SEAM_FRAMES
from services.types import AudioChunk
from tests.service_material import RATE_HZ, Gated, Humming, hum, wait_for
from tests.session_watcher import SPEECH, give_whole, sound_of, watched
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


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
