"""Scores against the presenter's truth: perfect lips score perfect, lips that do not close are caught."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation import truth as truth_module
from evaluation.truth import KEY_POINTS, Truth, closure_percent, key_point_distance, load_truth, score_openings
from tests.metrics_material import DATA

PATH = DATA / "presenter_ground_truth.npz"


@pytest.fixture(scope="module")
def truth() -> Truth:
    return load_truth(PATH)


def _all(truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    return np.arange(len(truth)), np.zeros(len(truth), np.int64)


def test_the_true_opening_scores_perfect(truth: Truth) -> None:
    scores = score_openings(truth.opening_T, truth, *_all(truth))
    assert scores["truth_opening_r"].number == pytest.approx(1)
    assert scores["truth_opening_ccc"].number == pytest.approx(1)
    assert scores["truth_opening_lag_frames"].number == 0
    assert scores["truth_closure_percent"].number == 100


def test_visemes_open_the_mouth_in_the_order_the_truth_was_made_with(truth: Truth) -> None:
    scores = score_openings(truth.opening_T, truth, *_all(truth))
    wide, closed, rest = (scores[f"truth_opening_mm_{name}"].number for name in ("aa", "PP", "sil"))
    assert wide is not None and closed is not None and rest is not None
    assert rest < 1.5 and closed < 2.5 and wide > 8
    with np.load(PATH) as arrays:
        measured = arrays["mouth_open_mm"][arrays["visemes"][:, list(truth.viseme_names).index("aa")] >= 0.6].mean()
    assert wide == pytest.approx(measured, rel=0.05)


def test_lips_that_never_close_are_caught_by_closure_and_not_by_correlation(truth: Truth) -> None:
    parted = truth.opening_T + 2.5 / truth.mm_per_unit
    scores = score_openings(parted, truth, *_all(truth))
    assert scores["truth_closure_percent"].number == 0
    assert scores["truth_opening_r"].number == pytest.approx(1)


def test_late_lips_are_caught_by_the_lag(truth: Truth) -> None:
    late = np.roll(truth.opening_T, 2)
    assert score_openings(late, truth, *_all(truth))["truth_opening_lag_frames"].number == 2


def test_closure_counts_only_what_lies_in_the_frames(truth: Truth) -> None:
    before_speech = np.arange(5)
    answer = closure_percent(truth.opening_T[:5], truth, before_speech)
    assert answer.number is None and "p, b or m" in answer.why


def test_key_points_are_perfect_in_spite_of_a_constant_bias_and_a_shift_is_measured(truth: Truth) -> None:
    landmarks = np.zeros((len(truth), 478, 2))
    landmarks[:, list(KEY_POINTS.values())] = truth.points_TP2 + np.array([3.0, -1.0])
    eyes = float(truth.eyes_T.mean())
    assert key_point_distance(landmarks, landmarks, truth.points_TP2, eyes).number == pytest.approx(0, abs=1e-9)
    moved = landmarks + np.array([0, 0.05 * eyes])
    assert key_point_distance(moved, landmarks, truth.points_TP2, eyes).number == pytest.approx(5)


def test_a_file_that_is_no_truth_says_what_is_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", fps=np.int64(25), phones=np.array(["aa"]))
    with pytest.raises(ValueError, match="keypoints_px"):
        load_truth(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="no readable ground truth"):
        load_truth(tmp_path / "text.npz")


def test_opening_units_agree_with_the_true_ones() -> None:
    landmarks = np.zeros((4, 478, 2))
    landmarks[:, truth_module.IRISES[1], 0] = 80
    landmarks[:, 14, 1] = (0, 8, 16, 24)
    np.testing.assert_allclose(truth_module.opening_over_eyes_T(landmarks), [0, 0.1, 0.2, 0.3])
