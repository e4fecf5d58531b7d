"""The sync score finds an offset, knows luck from fit, and runs a scoring network from its two files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from evaluation.sync import OnnxSyncScorer, score_sync


def _embeddings(count: int = 120, seed: int = 0) -> NDArray[np.float32]:
    """Unit vectors that drift, so that neighbours are alike and distant ones are not."""
    steps = np.random.default_rng(seed).normal(size=(count + 4, 32))
    smooth = sum(steps[k : k + count] for k in range(5))
    return (smooth / np.linalg.norm(smooth, axis=1, keepdims=True)).astype(np.float32)


def test_matching_picture_and_sound_score_perfect() -> None:
    both = _embeddings()
    score = score_sync([(both, both, np.ones(len(both), bool))])
    assert score is not None
    assert score.offset_frames == 0
    assert score.accuracy_percent == 100
    assert score.confidence > 0.8


@pytest.mark.parametrize("late", [-4, -1, 1, 4])
def test_a_late_picture_has_a_positive_offset(late: int) -> None:
    sound = _embeddings()
    picture = np.roll(sound, late, axis=0)
    score = score_sync([(picture, sound, np.ones(len(sound), bool))])
    assert score is not None and score.offset_frames == late
    assert (score.accuracy_percent > 95) == (abs(late) <= 1)


def test_unrelated_sound_scores_chance() -> None:
    picture, sound = _embeddings(400), _embeddings(400, seed=9)
    score = score_sync([(picture, sound, np.ones(400, bool))])
    assert score is not None
    assert score.confidence < 0.1
    assert score.accuracy_percent < 30  # chance is 3 of 31 offsets


def test_silent_windows_are_not_scored_and_sound_does_not_cross_stretches() -> None:
    both = _embeddings(60)
    voiced = np.arange(60) >= 30
    score = score_sync([(both, both, voiced), (both[:8], both[:8], np.ones(8, bool))])
    assert score is not None
    assert score.windows == 25  # windows 30..54; the second stretch is too short to slide
    assert score_sync([(both, both, np.zeros(60, bool))]) is None


def _mean_colour_network(path: Path, input_name: str, element: int, shape: list[str | int], axes: list[int]) -> None:
    """A network whose embedding is the mean over all but the batch and window axes, as a file."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [input_name], ["float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["float", "axes"], ["embedding_BD"], keepdims=0),
        ],
        "mean",
        [helper.make_tensor_value_info(input_name, element, shape)],
        [helper.make_tensor_value_info("embedding_BD", TensorProto.FLOAT, ["B", 5])],
        [numpy_helper.from_array(np.array(axes, np.int64), "axes")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def test_the_scorer_runs_every_window_of_five_through_its_files(tmp_path: Path) -> None:
    visual = ["B", 5, 320, 320, 3]
    _mean_colour_network(tmp_path / OnnxSyncScorer.VISUAL, "crops_BTHWC", TensorProto.UINT8, visual, [2, 3, 4])
    _mean_colour_network(tmp_path / OnnxSyncScorer.AUDIO, "pcm_BTS", TensorProto.FLOAT, ["B", 5, 8032], [2])
    scorer = OnnxSyncScorer(tmp_path)
    level_T = np.arange(10, 50, dtype=np.uint8)
    inner_THWC = np.broadcast_to(level_T[:, None, None, None], (40, 320, 320, 3))
    pcm_TS = np.broadcast_to((level_T / 100).astype(np.float32)[:, None], (40, 8032))
    expected = np.stack([level_T[n : n + 5] for n in range(36)]).astype(float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(scorer.picture(inner_THWC), expected, atol=1e-5)
    np.testing.assert_allclose(scorer.sound(pcm_TS), expected, atol=1e-5)
    assert scorer.sound(pcm_TS[:4]).shape[0] == 0
    with pytest.raises(ValueError, match="320"):
        scorer.picture(inner_THWC[:, :192])


def test_a_missing_scorer_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=OnnxSyncScorer.VISUAL):
        OnnxSyncScorer(tmp_path)
