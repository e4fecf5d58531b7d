"""The picture that stands for an avatar: eyes open, mouth closed, looking straight."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.dataset_328 import Dataset328
from recipe.warp.points import LOWER_LIDS, UPPER_LIDS
from training.poster import choose_poster, eye_opening

OPEN, BLINK = 0.3, 0.05


def face(eyes_T: np.ndarray) -> np.ndarray:
    """Landmarks of which only the lids are right: eyes 40 px wide and that share of it high."""
    points_TK2 = np.zeros((len(eyes_T), 478, 2), np.float32)
    for eye, (upper, lower) in enumerate(zip(UPPER_LIDS, LOWER_LIDS, strict=True)):
        for line, sign in ((lower, 1), (upper, -1)):
            for place, point in enumerate(line):
                x = 40 * place / (len(line) - 1)
                height_T = 20 * eyes_T * (0 < place < len(line) - 1)
                points_TK2[:, point] = np.stack([np.full(len(eyes_T), 100 * eye + x), sign * height_T], axis=1)
    return points_TK2


def test_the_openness_of_eyes_is_measured_on_the_one_that_is_less_open() -> None:
    points_TK2 = face(np.array([OPEN, BLINK]))
    np.testing.assert_allclose(eye_opening(points_TK2), [OPEN, BLINK], atol=0.01)
    winking = face(np.array([OPEN]))
    winking[:, list(UPPER_LIDS[1])] = winking[:, list(LOWER_LIDS[1])]
    assert eye_opening(winking)[0] == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("best", [0, 7, 19])
def test_it_is_neither_a_blink_nor_a_word_nor_a_turn(best: int) -> None:
    """Every other frame is better in something: a calmer mouth in a blink, a straighter look while speaking."""
    eyes_T, opening_T, pose_T3 = np.full(20, OPEN), np.full(20, 0.01, np.float32), np.zeros((20, 3), np.float32)
    pose_T3[:, 0] = -9  # the camera stood lower than the eyes
    others = np.setdiff1d(np.arange(20), [best])
    blinks, words, turns = others[::3], others[1::3], others[2::3]
    eyes_T[blinks], opening_T[blinks] = BLINK, 0.0
    opening_T[words] = 0.12
    pose_T3[turns, 1], eyes_T[turns] = 18, 1.1 * OPEN
    pose_T3[best, 1] = 3
    assert choose_poster(face(eyes_T), opening_T, pose_T3) == best


def test_of_a_recording_it_takes_open_eyes_and_a_closed_mouth(film_dataset: Dataset328) -> None:
    dataset = film_dataset
    assert dataset.valid_T.all()
    chosen = choose_poster(dataset.landmarks_TK2, dataset.opening_T, dataset.pose_T3)
    assert eye_opening(dataset.landmarks_TK2)[chosen] > 0.9 * np.quantile(eye_opening(dataset.landmarks_TK2), 0.75)
    assert dataset.opening_T[chosen] < np.quantile(dataset.opening_T, 0.4)
    assert abs(dataset.pose_T3[chosen, 1]) < 10
