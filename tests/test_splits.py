"""Splits: blocks that do not touch, cross no cut, and hold what they are for."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.splits import GAP_FRAMES, SHORT_GAP_FRAMES, make_splits
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLES_PER_FRAME


def test_five_minutes_are_cut_as_documented() -> None:
    splits = make_splits(7500, [(0, 7500)], np.ones(7500, bool))
    assert splits == {
        "train": [(0, 3562 - GAP_FRAMES), (3937 + GAP_FRAMES, 6750 - GAP_FRAMES)],
        "val": [(3562, 3937)],
        "test": [(6750, 7500)],
    }


def test_ten_seconds_leave_enough_training() -> None:
    splits = make_splits(250, [(0, 250)], np.ones(250, bool))
    assert splits["test"] == [(200, 250)]
    assert splits["val"] == [(112, 137)]
    assert splits["train"] == [(0, 99), (150, 187)]


def test_short_gap_shares_no_sample() -> None:
    last_sample_of_training = 0 * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2 + AUDIO_WINDOW_SAMPLES // 2
    held_out = SHORT_GAP_FRAMES + 1
    first_sample_of_test = held_out * SAMPLES_PER_FRAME + SAMPLES_PER_FRAME // 2 - AUDIO_WINDOW_SAMPLES // 2
    assert last_sample_of_training <= first_sample_of_test
    assert SHORT_GAP_FRAMES == 13


def test_closed_mouth_silence_at_the_end_does_not_fill_the_test() -> None:
    speech = np.zeros(1500, bool)
    speech[250:1000] = True  # 10 s of silence before and 20 s behind
    splits = make_splits(1500, [(0, 1500)], np.ones(1500, bool), speech)
    ((start, stop),) = splits["test"]
    assert (start, stop) == (875, 1025)  # 10 %, of it the last second silent
    assert splits["train"][-1] == (1025 + GAP_FRAMES, 1500)  # the rest of the silence teaches the closed mouth
    ((start, stop),) = splits["val"]
    assert speech[start:stop].all()


def test_blocks_move_off_a_cut_and_training_ends_at_it() -> None:
    clips = [(0, 246), (246, 470), (470, 500)]
    splits = make_splits(500, clips, np.ones(500, bool))
    assert splits["test"] == [(420, 470)]
    assert splits["val"] == [(246, 271)]
    assert splits["train"] == [(0, 233), (284, 407), (483, 500)]


def test_blocks_move_to_where_the_face_is() -> None:
    valid = np.ones(1000, bool)
    valid[880:] = False
    valid[480:520] = False
    splits = make_splits(1000, [(0, 1000)], valid)
    assert splits["test"] == [(780, 880)]
    ((start, stop),) = splits["val"]
    assert valid[start:stop].all()
    assert min(abs(start - 475), abs(stop - 525)) <= 50


def test_too_little_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"only \d+ frames with a good face are left for training .* record longer"):
        make_splits(200, [(0, 200)], np.ones(200, bool))
    with pytest.raises(ValueError, match="has no room for a validation block of 25 frames"):
        make_splits(80, [(0, 80)], np.ones(80, bool))
    with pytest.raises(ValueError, match="no test block of 50 frames has a good face"):
        make_splits(400, [(0, 400)], np.zeros(400, bool))


@settings(max_examples=150, deadline=None)
@given(
    frames=st.integers(300, 9000),
    cut_shares=st.lists(st.floats(0.01, 0.99), max_size=5),
    speech_from=st.floats(0, 0.25),
    speech_to=st.floats(0.75, 1),
)
def test_blocks_never_touch(frames: int, cut_shares: list[float], speech_from: float, speech_to: float) -> None:
    edges = sorted({0, frames, *(int(frames * share) for share in cut_shares)})
    clips = list(itertools.pairwise(edges))
    speech = np.zeros(frames, bool)
    speech[int(frames * speech_from) : int(frames * speech_to)] = True
    try:
        splits = make_splits(frames, clips, np.ones(frames, bool), speech)
    except ValueError as error:
        assert frames < 600, error
        return
    gap = GAP_FRAMES if frames >= 750 else SHORT_GAP_FRAMES
    for name in ("val", "test"):
        ((start, stop),) = splits[name]
        assert 0 <= start < stop <= frames
        assert speech[start:stop].any()
        for a, b in splits["train"]:
            assert b + gap <= start or stop + gap <= a
    assert splits["val"][0][1] + gap <= splits["test"][0][0]
    for a, b in splits["train"]:
        assert any(c <= a < b <= d for c, d in clips)
