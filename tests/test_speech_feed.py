"""The engine's sound on its way to the networks: aligned to the sample, and the same however it was cut."""

from __future__ import annotations

import itertools
from collections.abc import Generator

import numpy as np
import pytest

from services.errors import SpeechError
from services.speech.feed import SpeechFeed
from services.types import AudioChunk


def tone(rate_hz: int, samples: int) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(samples) / rate_hz)).astype(np.float32)


def chunks(pcm_S: np.ndarray, rate_hz: int, cuts: list[int]) -> list[AudioChunk]:
    pieces = np.split(pcm_S, cuts)
    return [AudioChunk(piece, rate_hz, f"sentence {i}", True) for i, piece in enumerate(pieces)]


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100])
@pytest.mark.parametrize("duration_s", [0.001, 0.04, 1.0, 2.337])
def test_the_networks_hear_what_the_listeners_hear(rate_hz: int, duration_s: float) -> None:
    pcm_S = tone(rate_hz, round(duration_s * rate_hz))
    random = np.random.default_rng(1)
    whole: np.ndarray | None = None
    for pieces in (1, 3, 40):
        cuts = sorted(random.integers(0, len(pcm_S) + 1, pieces - 1).tolist())
        feed = SpeechFeed(chunks(pcm_S, rate_hz, cuts))
        assert feed.start() == rate_hz
        heard_S = np.concatenate(list(feed))
        frames = -(-len(heard_S) // 640)
        native_S = np.concatenate([feed.native_samples(index) for index in range(frames)])
        # Every frame of the networks has its native samples: the sound, then zeros to the end of the last frame.
        assert len(native_S) == frames * (rate_hz // 25)
        assert frames == -(-len(pcm_S) // (rate_hz // 25))
        np.testing.assert_array_equal(native_S[: len(pcm_S)], pcm_S)
        assert not native_S[len(pcm_S) :].any()
        assert feed.duration_s == len(pcm_S) / rate_hz
        assert len(heard_S) == -(-len(pcm_S) * 16_000 // rate_hz)
        if whole is None:
            whole = heard_S
        np.testing.assert_array_equal(heard_S, whole)
        # In phase: a shift by one sample at 16 kHz would be an error of 0.09.
        inner = slice(200, len(heard_S) - 200)
        np.testing.assert_allclose(heard_S[inner], tone(16_000, len(heard_S))[inner], atol=1e-4)


def test_sentences_are_reported_once_at_the_frame_where_they_begin() -> None:
    feed = SpeechFeed(chunks(tone(22_050, 22_050), 22_050, [881, 882, 8820]))
    for _ in feed:
        pass
    assert [(s.index, s.frame, s.text) for s in feed.sentences_until(0)] == [(0, 0, "sentence 0"), (1, 0, "sentence 1")]
    assert feed.sentences_until(0) == []
    assert [(s.index, s.frame) for s in feed.sentences_until(9)] == [(2, 1)]
    assert [(s.index, s.frame) for s in feed.sentences_until(25)] == [(3, 10)]


def test_only_what_was_not_taken_is_held() -> None:
    endless = (AudioChunk(np.ones(22_050, np.float32), 22_050, "x", False) for _ in itertools.count())
    feed = SpeechFeed(endless)
    heard = 0
    for frame, piece in enumerate(itertools.islice(feed, 50)):
        heard += len(piece)
        feed.native_samples(25 * (frame + 1) - 1)
        assert len(feed._frames) == 0
    assert heard > 49 * 16_000
    with pytest.raises(ValueError, match="released"):
        feed.native_samples(0)
    with pytest.raises(ValueError, match="not heard yet"):
        feed.native_samples(2000)


def test_closing_the_feed_closes_the_engine() -> None:
    closed = []

    def engine() -> Generator[AudioChunk, None, None]:
        try:
            while True:
                yield AudioChunk(np.zeros(1600, np.float32), 16_000, "x", True)
        finally:
            closed.append(True)

    heard = iter(SpeechFeed(engine()))
    next(heard)
    heard.close()
    assert closed == [True]
    feed = SpeechFeed(engine())
    feed.start()
    feed.close()
    assert closed == [True, True]


def test_no_sound_and_wrong_rates_are_refused() -> None:
    with pytest.raises(SpeechError, match="no sound"):
        SpeechFeed([]).start()
    with pytest.raises(ValueError, match="at least 4000 Hz"):
        SpeechFeed(chunks(tone(25, 10), 25, [])).start()
    mixed = [*chunks(tone(16_000, 100), 16_000, []), *chunks(tone(24_000, 100), 24_000, [])]
    with pytest.raises(ValueError, match="24000 Hz follows one at 16000"):
        list(SpeechFeed(mixed))
