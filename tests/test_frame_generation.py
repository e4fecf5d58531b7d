"""A stream is the offline result, bit for bit, as early as its sound allows, and leaves nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.audio_window import frame_count, window_pcm
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import AUDIO_LOOKAHEAD_SAMPLES, AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ
from recipe.sound import load_audio
from recipe.voice_gate import gate
from services.avatars.loaded import LoadedAvatar
from services.avatars.template import TemplateWalk
from services.errors import TemplateRangeError
from services.frame_generation_service import FrameGenerationService, HeardSound
from services.types import ToldLips, VideoFrame
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SERVICE = FrameGenerationService()


@pytest.fixture(scope="module")
def speech(presenter_video: Path) -> np.ndarray:
    """2.51 s from the middle of a sentence into a pause; no whole number of frames."""
    return load_audio(presenter_video)[6000 : 6000 + 40_123]


def cut(pcm_S: np.ndarray, sizes: Sequence[int]) -> Iterator[np.ndarray]:
    start = 0
    for size in sizes:
        yield pcm_S[start : start + size]
        start += size
    yield pcm_S[start:]


def assert_same(got: Sequence[VideoFrame], expected: Sequence[VideoFrame]) -> None:
    assert [(f.index, f.template_index, f.gate) for f in got] == [(f.index, f.template_index, f.gate) for f in expected]
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_array_equal(one.frame_rgb_HWC, other.frame_rgb_HWC)
        np.testing.assert_array_equal(one.pcm_S, other.pcm_S)


@given(sizes=st.lists(st.integers(0, 12_000), max_size=12))
@settings(deadline=None, max_examples=12)
def test_streamed_frames_are_the_whole_ones(toy_model: LoadedAvatar, speech: np.ndarray, sizes: list[int]) -> None:
    assert_same(
        list(SERVICE.generate(toy_model, cut(speech, sizes), start_frame=7)),
        list(SERVICE.generate(toy_model, [speech], start_frame=7)),
    )


@given(samples=st.integers(0, 20_000), sizes=st.lists(st.integers(0, 3000), max_size=30))
@settings(deadline=None, max_examples=60)
def test_every_frame_hears_its_window_and_its_gate(speech: np.ndarray, samples: int, sizes: list[int]) -> None:
    """The stream's windows and gates are those of training, for any length and any cut."""
    pcm_S = speech[:samples]
    sound = HeardSound(AUDIO_WINDOW_SAMPLES)
    heard = [window for piece in cut(pcm_S, sizes) for window in sound.push(piece)] + list(sound.finish())
    frames = frame_count(samples)
    assert [window.index for window in heard] == list(range(frames))
    if frames:
        np.testing.assert_array_equal(np.stack([window.pcm_S for window in heard]), window_pcm(pcm_S, 0, frames))
    np.testing.assert_array_equal(np.array([window.gate for window in heard], np.float32), gate(pcm_S))


@pytest.mark.parametrize("batch_frames", [2, 4, 16])
def test_frames_do_not_depend_on_how_many_are_computed_at_a_time(
    toy_model: LoadedAvatar, speech: np.ndarray, batch_frames: int
) -> None:
    class Grouped:
        """The toy avatar on a machine that is handed several frames at a time."""

        avatar, encode_audio, draw = toy_model.avatar, toy_model.encode_audio, toy_model.draw

        def __init__(self) -> None:
            self.first_batch_frames, self.batch_frames = 1, batch_frames

    assert_same(
        list(SERVICE.generate(Grouped(), cut(speech, [700, 9000]))), list(SERVICE.generate(toy_model, [speech]))
    )


def test_a_frame_is_the_template_with_the_patch_of_its_own_sound(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    """The whole way by hand, for one frame."""
    i = 23
    frame = list(SERVICE.generate(toy_model, [speech], start_frame=50))[i]
    template_index = TemplateWalk.start(toy_model.avatar.motion_T, 50).take(i + 1)[-1]
    embedding_BD = toy_model.encode_audio(window_pcm(speech, i, 1), gate(speech)[i : i + 1])
    patch = toy_model.decode(toy_model.encode_template([template_index]), embedding_BD)[0]
    expected = toy_model.template.frame(template_index)
    paste_patch(expected, patch, plan_paste(toy_model.avatar.affine_T23[template_index], *expected.shape[:2]))
    np.testing.assert_array_equal(frame.frame_rgb_HWC, expected)
    np.testing.assert_array_equal(frame.pcm_S, speech[640 * i : 640 * (i + 1)])
    assert (frame.template_index, frame.pts_s) == (template_index, i / 25)
    assert not np.array_equal(expected, toy_model.template.frame(template_index))


def test_the_sound_is_complete_and_the_last_frame_is_filled_with_silence(
    toy_model: LoadedAvatar, speech: np.ndarray
) -> None:
    frames = list(SERVICE.generate(toy_model, [speech]))
    joined = np.concatenate([frame.pcm_S for frame in frames])
    assert len(joined) == 63 * 640
    np.testing.assert_array_equal(joined[: len(speech)], speech)
    assert not joined[len(speech) :].any()


def test_a_frame_comes_as_soon_as_its_lookahead_is_heard(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    pulled = 0

    def live() -> Iterator[np.ndarray]:
        nonlocal pulled
        for piece in cut(speech, [160] * (len(speech) // 160)):
            pulled += len(piece)
            yield piece

    for frame in SERVICE.generate(toy_model, live()):
        needed = 640 * (frame.index + 1) + AUDIO_LOOKAHEAD_SAMPLES
        assert pulled <= min(needed + 159, len(speech))


def test_sessions_do_not_see_each_other(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    sounds = (speech, speech[::-1].copy(), speech[5000:20_000])
    alone = [
        list(SERVICE.generate(toy_model, [sound], start)) for sound, start in zip(sounds, (0, 30, 59), strict=True)
    ]
    streams = [
        SERVICE.generate(toy_model, cut(sound, [3000] * 9), start)
        for sound, start in zip(sounds, (0, 30, 59), strict=True)
    ]
    together: list[list[VideoFrame]] = [[] for _ in sounds]
    for _ in range(63):
        for stream, frames in zip(streams, together, strict=True):
            frames.extend(islice(stream, 1))
    for got, expected in zip(together, alone, strict=True):
        assert_same(got, expected)


def test_an_utterance_goes_on_where_the_last_one_ended(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    first = SERVICE.start(toy_model, start_frame=3)
    shown = [frame.template_index for frame in SERVICE.stream(first, [speech])]
    second = SERVICE.start(toy_model, first.walk.index, first.walk.direction, epoch=1)
    shown += [frame.template_index for frame in SERVICE.stream(second, [speech])]
    assert set(np.abs(np.diff(shown)).tolist()) == {1}
    assert shown == TemplateWalk.start(toy_model.avatar.motion_T, 3).take(len(shown))


def test_closing_frees_everything_and_ends_the_sound(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    ended = []

    def live() -> Iterator[np.ndarray]:
        try:
            while True:
                yield speech[:3200]
        finally:
            ended.append(True)

    session = SERVICE.start(toy_model)
    frames = SERVICE.stream(session, live())
    picture = weakref.ref(next(frames).frame_rgb_HWC)
    frames.close()
    assert ended == [True]
    del session, frames
    gc.collect()
    assert picture() is None
    assert not [o for o in gc.get_objects() if type(o) is HeardSound]


def test_an_error_in_the_sound_reaches_the_caller_after_the_frames_before_it(
    toy_model: LoadedAvatar, speech: np.ndarray
) -> None:
    def broken() -> Iterator[np.ndarray]:
        yield speech[:16_000]
        raise OSError("the microphone was unplugged")

    frames = SERVICE.generate(toy_model, broken())
    expected = list(islice(SERVICE.generate(toy_model, [speech[:16_000]]), 19))
    assert_same(list(islice(frames, 19)), expected)
    with pytest.raises(OSError, match="unplugged"):
        next(frames)


def test_a_start_frame_outside_the_template_is_refused_at_the_call(toy_model: LoadedAvatar) -> None:
    with pytest.raises(TemplateRangeError, match="choose 0 to 59"):
        SERVICE.generate(toy_model, [], start_frame=60)


@pytest.mark.parametrize("wrong", [np.zeros((2, 640), np.float32), np.zeros(640), np.zeros(640, np.int16)])
def test_sound_of_another_form_is_refused(toy_model: LoadedAvatar, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"expected float32 of shape \(S,\)"):
        next(SERVICE.generate(toy_model, [wrong]))


class QuickModel:
    """Draws at once, so that minutes can be tested: everything else is the real code."""

    def __init__(self, model: LoadedAvatar, first_batch_frames: int = 4, batch_frames: int = 4) -> None:
        self.avatar = model.avatar
        self.first_batch_frames, self.batch_frames = first_batch_frames, batch_frames
        self.calls: list[int] = []  # frames of each

    def encode_audio(self, pcm_BS: np.ndarray, gate_B: np.ndarray, lips: ToldLips = ()) -> np.ndarray:
        self.calls.append(len(pcm_BS))
        return gate_B[:, None]

    def draw(self, indices: Sequence[int], embedding_BD: np.ndarray, held: Sequence[bool] = ()) -> Iterator[np.ndarray]:
        return (np.zeros((2, 2, 3), np.uint8) for _ in indices)


@pytest.mark.parametrize(
    ("first", "most", "calls"),
    [
        (1, 16, [1, 2, 4, 8, 4, 16, 9, 12, 7]),  # a second of sound ends 19 frames, the next one 25, the rest 12 and 7
        (1, 4, [1, 2, *[4] * 4, *[4] * 6, 1, *[4] * 3, 4, 3]),
        (2, 2, [*[2] * 9, 1, *[2] * 12, 1, *[2] * 6, *[2] * 3, 1]),
        (3, 8, [3, 6, 8, 2, *[8] * 3, 1, 8, 4, 7]),
    ],
)
def test_batches_grow_over_an_utterance_to_what_the_model_computes_at_a_time(
    toy_model: LoadedAvatar, speech: np.ndarray, first: int, most: int, calls: list[int]
) -> None:
    model = QuickModel(toy_model, first, most)
    for _ in range(2):  # the next utterance begins small again
        model.calls.clear()
        assert [frame.index for frame in SERVICE.generate(model, [speech])] == list(range(63))
        assert model.calls == calls


def test_long_sound_takes_no_more_memory_than_short(toy_model: LoadedAvatar, speech: np.ndarray) -> None:
    """Whether it comes in small pieces or as minutes at a time."""

    def peak_bytes(pieces: Iterator[np.ndarray]) -> tuple[int, int]:
        tracemalloc.start()
        frames = sum(1 for _ in SERVICE.generate(QuickModel(toy_model), pieces))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return frames, peak

    second = speech[:SAMPLE_RATE_HZ]
    short_frames, short_peak = peak_bytes(second for _ in range(3))
    long_frames, long_peak = peak_bytes(second for _ in range(120))
    assert (short_frames, long_frames) == (75, 3000)
    assert long_peak < 1.05 * short_peak + 20_000
    minute = np.tile(second, 60)
    frames, peak = peak_bytes(iter([minute]))
    assert frames == 1500
    assert peak < 1.05 * short_peak + 20_000
