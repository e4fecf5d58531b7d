"""Driving sets with true frames, and the lip reader: perfect frames score perfect, wrong ones are caught."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.alignment import face_affines, person_template
from data_prep.dataset_328 import Dataset328, open_dataset
from data_prep.landmarks import follow_face
from data_prep.video import FrameWriter, iter_rgb
from evaluation.driving_sets import DrivingSet, as_dataset, evaluate_set, read_driving_set, reader_of
from evaluation.tables import SetScores, sets_text
from evaluation.truth import Truth, load_truth
from evaluation.visemes import LipReader, accuracy_percent, dominant_T
from recipe.mouth import mouth_opening
from recipe.recipe_328 import SAMPLES_PER_FRAME
from recipe.sound import load_audio, write_wav
from services.avatars.avatar import Avatar, open_avatar
from tests.evaluation_material import Parrot, write_small_dataset
from tests.metrics_material import DATA
from tests.toy_avatar import build_toy_avatar

RECORDED, HELD_OUT = 400, (400, 500)  # frames to learn from; frames of the set


@pytest.fixture(scope="module")
def truth() -> Truth:
    return load_truth(DATA / "presenter_ground_truth.npz")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Dataset328:
    """The first sixteen seconds of the presenter, with the landmarks found in them."""
    small = open_dataset(write_small_dataset(tmp_path_factory.mktemp("dataset") / "toy"))
    tracked = follow_face(islice(iter_rgb(DATA / "presenter.mp4"), RECORDED))
    opening_T = mouth_opening(tracked.landmarks_TK2)
    template = person_template(tracked.landmarks_TK2, opening_T)
    return replace(
        small, landmarks_TK2=tracked.landmarks_TK2, valid_T=tracked.valid_T, opening_T=opening_T,
        affine_T23=face_affines(tracked.landmarks_TK2, tracked.valid_T, template),
        splits={"train": [(0, RECORDED)], "val": [], "test": []},
    )  # fmt: skip


@pytest.fixture(scope="module")
def driving(tmp_path_factory: pytest.TempPathFactory) -> DrivingSet:
    """Four later seconds as a set."""
    folder, (first, stop) = tmp_path_factory.mktemp("sets"), HELD_OUT
    with FrameWriter(folder / "truth.mp4", 512, 512) as writer:
        for picture in islice(iter_rgb(DATA / "presenter.mp4"), first, stop):
            writer.write(picture)
    sound = load_audio(DATA / "presenter.mp4")[first * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
    write_wav(folder / "driving.wav", sound)
    with np.load(DATA / "presenter_ground_truth.npz") as whole:
        part = {k: v[first:stop] if v.shape[:1] == (508,) else v for k, v in whole.items()}
    part["phone_start_s"], part["phone_stop_s"] = (part[k] - first / 25 for k in ("phone_start_s", "phone_stop_s"))
    np.savez(folder / "ground_truth.npz", **part)
    facts = {"schema": "avatar328/driving_set/1", "name": "later", "driving": "driving.wav", "truth": "truth.mp4"}
    (folder / "set.json").write_text(json.dumps(facts | {"ground_truth": "ground_truth.npz"}))
    return read_driving_set(folder)


@pytest.fixture(scope="module")
def avatar(tmp_path_factory: pytest.TempPathFactory, presenter_video: Path) -> Avatar:
    folder = tmp_path_factory.mktemp("avatars")
    build_toy_avatar(folder / "toy", presenter_video)
    return open_avatar(folder, "toy")


class Late(Parrot):
    """Draws what should have been drawn two frames ago."""

    def draw(
        self, inner_THWC: NDArray[np.uint8], embeddings: Mapping[str, NDArray[np.float32]]
    ) -> dict[str, NDArray[np.uint8]]:
        return {k: np.concatenate([v[:2], v[:-2]]) for k, v in super().draw(inner_THWC, embeddings).items()}


@pytest.fixture(scope="module")
def parrot(
    driving: DrivingSet, avatar: Avatar, recording: Dataset328, truth: Truth, tmp_path_factory: pytest.TempPathFactory
) -> SetScores:
    video = tmp_path_factory.mktemp("out") / "set_later.mp4"
    return evaluate_set(driving, avatar, recording, Parrot(), "no scorer", reader_of(recording, truth), video)


def test_the_true_frames_score_perfect_and_their_visemes_are_read(parrot: SetScores) -> None:
    number = {key: value.number for key, value in parrot.scores.items()}
    assert number["generated.ssim_mouth"] == pytest.approx(1)
    assert number["generated.truth_opening_r"] == pytest.approx(number["real.truth_opening_r"], abs=0.02)
    assert number["real.truth_opening_r"] > 0.85
    assert number["generated.truth_opening_lag_frames"] == 0
    assert number["generated.truth_viseme_percent"] == pytest.approx(number["real.truth_viseme_percent"], abs=8)
    chance = 100 / (parrot.confusion["real"].sum(axis=1) > 0).sum()
    assert number["real.truth_viseme_percent"] > 2.5 * chance
    assert parrot.video.stat().st_size > 10_000


def test_a_late_mouth_is_caught(
    driving: DrivingSet, avatar: Avatar, recording: Dataset328, parrot: SetScores, tmp_path: Path
) -> None:
    late = evaluate_set(driving, avatar, recording, Late(), "no scorer", None, tmp_path / "late.mp4")
    assert late.scores["generated.truth_opening_lag_frames"].number == 2
    assert late.scores["real.truth_opening_lag_frames"].number == 0
    assert "generated.truth_viseme_percent" not in late.scores and not late.confusion
    printed = sets_text([parrot, late])
    assert printed.count("later") == 6 and "real" in printed and "p, b, m that close" in printed


def test_crops_of_a_set_lie_where_those_of_the_recording_do(driving: DrivingSet, recording: Dataset328) -> None:
    with as_dataset(driving, recording) as dataset:
        assert dataset.valid_T.all() and len(dataset.audio_S) == 100 * SAMPLES_PER_FRAME
        mean = [np.mean(d.affine_T23[:, 0, 0]) for d in (dataset, recording)]
        assert mean[0] == pytest.approx(mean[1], rel=0.03)
        assert dataset.frames_path.is_file()
        assert dataset.crops.std(axis=(1, 2, 3)).min() > 10


def test_a_frozen_mouth_is_read_as_one_viseme(recording: Dataset328, truth: Truth) -> None:
    frames_T = np.arange(RECORDED)
    reader, shown_T = reader_of(recording, truth), dominant_T(truth, frames_T)
    alive = accuracy_percent(reader.confusion(recording.landmarks_TK2, shown_T)).number
    closed = np.repeat(recording.landmarks_TK2[[int(np.argmin(recording.opening_T))]], RECORDED, axis=0)
    counts = reader.confusion(closed, shown_T)
    assert (counts.sum(axis=0) > 0).sum() == 1
    frozen = accuracy_percent(counts).number
    assert alive is not None and frozen is not None and alive > 60 and frozen < 100 / len(reader.classes) + 1


def test_a_frame_without_a_face_is_not_read(recording: Dataset328, truth: Truth) -> None:
    reader = reader_of(recording, truth)
    assert reader.read(np.full((2, 478, 2), np.nan)).tolist() == [-1, -1]
    with pytest.raises(ValueError, match="visemes are shown"):
        LipReader.learn(recording.landmarks_TK2, np.full(RECORDED, -1), truth.viseme_names)


def test_a_folder_that_is_no_set_says_so(tmp_path: Path, driving: DrivingSet, recording: Dataset328) -> None:
    with pytest.raises(ValueError, match="no driving set"):
        read_driving_set(tmp_path)
    facts = {
        "schema": "avatar328/driving_set/1",
        "name": "x",
        "driving": "a.wav",
        "truth": "b.mp4",
        "ground_truth": "c",
    }
    (tmp_path / "set.json").write_text(json.dumps(facts))
    with pytest.raises(ValueError, match=r"a\.wav of the driving set 'x' is missing"):
        read_driving_set(tmp_path)
    write_wav(tmp_path / "short.wav", np.zeros(16000, np.float32))
    with (
        pytest.raises(ValueError, match="do not belong together"),
        as_dataset(replace(driving, sound=tmp_path / "short.wav"), recording),
    ):
        pass
