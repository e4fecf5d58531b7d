"""Each metric of movement scores perfect input perfect and catches the fault it is meant to catch."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import lips
from recipe.mouth import INNER_LIPS, LIPS, OUTER_EYE_CORNERS
from tests.metrics_material import material

Floats = NDArray[np.float64]
EYES_PX = 180.0


def landmarks_of(opening_T: Floats) -> NDArray[np.float32]:
    """A face of fixed points whose lower lip hangs as low as the opening says."""
    rng = np.random.default_rng(5)
    landmarks = np.tile(rng.uniform(60, 260, (478, 2)), (len(opening_T), 1, 1))
    landmarks[:, OUTER_EYE_CORNERS[0]], landmarks[:, OUTER_EYE_CORNERS[1]] = (70, 20), (70 + EYES_PX, 20)
    landmarks[:, INNER_LIPS[0]] = landmarks[:, INNER_LIPS[1]] = (160, 170)
    landmarks[:, INNER_LIPS[1], 1] += opening_T * EYES_PX
    return landmarks.astype(np.float32)


@pytest.fixture(scope="module")
def opening() -> Floats:
    """The presenter's true opening while it speaks."""
    return material().opening_T


@pytest.fixture(scope="module")
def one_stretch(opening: Floats) -> NDArray[np.int64]:
    return np.zeros(len(opening), np.int64)


def test_the_opening_is_the_lips_distance_over_the_eyes(opening: Floats) -> None:
    np.testing.assert_allclose(lips.opening_T(landmarks_of(opening)), opening, atol=1e-6)


def test_perfect_movement_scores_perfect(opening: Floats, one_stretch: NDArray[np.int64]) -> None:
    face = landmarks_of(opening)
    assert lips.landmark_distance(face, face).number == 0
    assert lips.pearson(opening, opening).number == pytest.approx(1)
    assert lips.concordance(opening, opening).number == pytest.approx(1)
    assert lips.amplitude_ratio(opening, opening).number == pytest.approx(1)
    assert lips.best_lag(opening, opening, one_stretch).number == 0


@pytest.mark.parametrize("shift", [-3, -1, 1, 3])
def test_a_shift_is_caught_by_the_lag_with_its_sign(
    opening: Floats, one_stretch: NDArray[np.int64], shift: int
) -> None:
    late = np.roll(opening, shift)
    assert lips.best_lag(late, opening, one_stretch).number == shift
    correlation = lips.pearson(late, opening).number
    assert correlation is not None and correlation < 0.97


def test_the_lag_pairs_no_frames_across_a_cut() -> None:
    """Two stretches, each one frame late, whose neighbours would fit with another lag if they were joined."""
    rng = np.random.default_rng(2)
    truth = np.convolve(rng.normal(size=120), np.ones(4) / 4, "same")
    late = np.concatenate([np.roll(truth[:60], 1), np.roll(truth[60:], 1)])
    stretches = np.repeat([0, 1], 60)
    assert lips.best_lag(late, truth, stretches).number == 1
    with pytest.raises(IndexError):
        lips.best_lag(late, truth, stretches[:50])


def test_a_frozen_mouth_has_no_correlation_no_amplitude_and_zero_concordance(
    opening: Floats, one_stretch: NDArray[np.int64]
) -> None:
    frozen = np.full_like(opening, opening.mean())
    assert lips.pearson(frozen, opening).number is None
    assert "drawn" in lips.pearson(frozen, opening).why
    assert lips.concordance(frozen, opening).number == pytest.approx(0)
    assert lips.amplitude_ratio(frozen, opening).number == pytest.approx(0)
    assert lips.best_lag(frozen, opening, one_stretch).number is None
    distance = lips.landmark_distance(landmarks_of(frozen), landmarks_of(opening)).number
    assert distance is not None and distance > 0.1


def test_half_the_movement_is_caught_by_amplitude_and_concordance_but_not_by_pearson(opening: Floats) -> None:
    mumble = opening / 2
    assert lips.pearson(mumble, opening).number == pytest.approx(1)
    assert lips.amplitude_ratio(mumble, opening).number == pytest.approx(0.5)
    concordance = lips.concordance(mumble, opening).number
    assert concordance is not None and concordance < 0.75


def test_landmark_distance_is_in_percent_of_the_eye_distance(opening: Floats) -> None:
    face = landmarks_of(opening)
    moved = face.copy()
    moved[:, LIPS, 1] += 0.02 * EYES_PX
    assert lips.landmark_distance(moved, face).number == pytest.approx(2, abs=1e-3)


def test_movement_in_silence_is_caught_and_jitter_is_not() -> None:
    rng = np.random.default_rng(4)
    silent = np.arange(200) < 100
    calm = 0.01 + rng.normal(0, 0.003, 200)
    calm[100:] += 0.2 * np.abs(np.sin(np.arange(100)))
    assert lips.silence_move_percent(calm, silent).number == 0
    twitching = calm.copy()
    twitching[20:41] += 0.05
    assert lips.silence_move_percent(twitching, silent).number == pytest.approx(21)


def test_a_mouth_resting_open_is_caught_by_its_opening_in_silence_only() -> None:
    silent = np.ones(50, bool)
    resting_open = np.full(50, 0.12)
    assert lips.silence_move_percent(resting_open, silent).number == 0
    assert lips.silence_opening_percent(resting_open, silent).number == pytest.approx(12)


def test_no_silence_gives_the_reason(opening: Floats) -> None:
    answer = lips.silence_move_percent(opening, np.zeros(len(opening), bool))
    assert answer.number is None and "silent" in answer.why


def test_a_copied_source_mouth_is_caught_by_the_leak_and_an_honest_one_is_not(opening: Floats) -> None:
    rng = np.random.default_rng(7)
    other = [np.abs(np.convolve(rng.normal(size=len(opening)), np.ones(5) / 5, "same")) for _ in range(12)]
    copied = lips.pooled_correlation([opening + 0.001 * o for o in other], opening).number
    honest = lips.pooled_correlation(other, opening).number
    partly = lips.pooled_correlation([0.5 * opening + 0.2 * o for o in other], opening).number
    assert copied is not None and honest is not None and partly is not None
    assert copied > 0.95 and abs(honest) < 0.15 < partly


def test_other_sound_that_resembles_the_source_by_chance_is_no_leak(opening: Floats) -> None:
    rng = np.random.default_rng(8)
    alike = [0.5 * opening + 0.05 * np.convolve(rng.normal(size=len(opening)), np.ones(5), "same") for _ in range(3)]
    plain = lips.pooled_correlation(alike, opening).number
    perfect = lips.net_correlation(alike, alike, opening).number
    leaking = lips.net_correlation([0.5 * (a + opening) for a in alike], alike, opening).number
    assert plain is not None and perfect is not None and leaking is not None
    assert plain > 0.2 and leaking > 0.2
    assert perfect == pytest.approx(0, abs=1e-9)
    holes = [np.where(np.arange(len(opening)) % 7, a, np.nan) for a in alike]
    assert lips.net_correlation(holes, alike, opening).number == pytest.approx(0, abs=1e-3)
    assert lips.net_correlation([np.full_like(opening, np.nan)], alike[:1], opening).number is None


def test_frames_without_a_face_are_left_out_and_counted(opening: Floats) -> None:
    holes = opening.copy()
    holes[::3] = np.nan
    assert lips.pearson(holes, opening).number == pytest.approx(1)
    nearly_all = np.full_like(opening, np.nan)
    nearly_all[:4] = opening[:4]
    answer = lips.pearson(nearly_all, opening)
    assert answer.number is None and "4 frames" in answer.why


def test_runs_end_at_gaps_and_at_cuts() -> None:
    flags = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)
    stretch = np.array([0, 0, 0, 0, 0, 1, 1, 1])
    assert list(lips.runs(flags, stretch)) == [(0, 2), (3, 5), (5, 7)]
