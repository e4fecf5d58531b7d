"""One face is followed; frames without a good one are marked, never filled with an earlier frame's landmarks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.landmarks import LEAVES_FRAME, NO_FACE, TOO_SMALL, follow_face
from data_prep.pose import head_pose
from data_prep.video import iter_rgb
from tests.metrics_material import true_eyes

REPOSITORY = Path(__file__).resolve().parent.parent
FRAMES = 60


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    """Two seconds and a bit of the synthetic presenter, 512x512; the face is about 190 px wide."""
    return [f for f, _ in zip(iter_rgb(REPOSITORY / "tests" / "data" / "presenter.mp4"), range(FRAMES), strict=False)]


@pytest.fixture(scope="module")
def truth() -> dict[str, NDArray[np.float32]]:
    with np.load(REPOSITORY / "tests" / "data" / "presenter_ground_truth.npz") as file:
        return {"eyes": true_eyes(file)[:FRAMES], "turn": file["head_pitch_yaw_roll_rad"][:FRAMES]}


def eyes(landmarks_TK2: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([landmarks_TK2[:, [362, 263]].mean(axis=1), landmarks_TK2[:, [33, 133]].mean(axis=1)], axis=1)


def test_landmarks_lie_on_the_true_face(frames: list[NDArray[np.uint8]], truth: dict[str, NDArray[np.float32]]) -> None:
    tracked = follow_face(frames)
    assert tracked.valid_T.all() and tracked.second_face_frames == 0
    error = np.linalg.norm(eyes(tracked.landmarks_TK2) - truth["eyes"], axis=-1)
    assert np.median(error) < 5  # of an eye distance of 82 px
    assert tracked.width_T == pytest.approx(188, abs=15)
    pose = head_pose(tracked.landmarks_TK2, tracked.valid_T, 512, 512)
    true_yaw = np.degrees(truth["turn"][:, 1])
    assert np.corrcoef(pose[:, 1], true_yaw)[0, 1] > 0.6
    assert np.abs(pose[:, 1] - true_yaw - np.median(pose[:, 1] - true_yaw)).max() < 3


def test_face_in_a_corner_of_a_large_frame_is_measured_as_well(frames: list[NDArray[np.uint8]]) -> None:
    alone = follow_face(frames[:20])
    large = [np.full((1080, 1920, 3), 60, np.uint8) for _ in range(20)]
    for canvas, frame in zip(large, frames, strict=False):
        canvas[500:1012, 1300:1812] = frame
    placed = follow_face(large)
    assert placed.valid_T.all()
    shift = placed.landmarks_TK2 - alone.landmarks_TK2 - np.array([1300, 500], np.float32)
    assert np.linalg.norm(shift, axis=-1).mean() < 1.0


def test_larger_of_two_faces_is_followed_and_the_other_reported(frames: list[NDArray[np.uint8]]) -> None:
    pair = []
    for k, frame in enumerate(frames):
        small = cv2.resize(frame, (300, 300), interpolation=cv2.INTER_AREA)
        canvas = np.full((512, 812, 3), 60, np.uint8)
        canvas[:, 300:] = frame
        if k >= 20:
            canvas[100:400, :300] = small[:, ::-1]
        pair.append(canvas)
    tracked = follow_face(pair)
    assert tracked.valid_T.all()
    assert (tracked.landmarks_TK2[:, 1, 0] > 450).all()  # the nose stays on the right
    assert tracked.second_face_frames == pytest.approx(40, abs=6)


def test_face_that_leaves_is_marked_and_found_again(frames: list[NDArray[np.uint8]]) -> None:
    def walk() -> Iterator[NDArray[np.uint8]]:
        for k, frame in enumerate(frames):
            shift = int(420 * np.sin(np.pi * min(k, 50) / 50))  # out to the left and back
            yield np.concatenate([frame[:, shift:], np.full((512, shift, 3), 60, np.uint8)], axis=1)

    tracked = follow_face(walk())
    assert tracked.valid_T[:5].all() and tracked.valid_T[-8:].all()
    assert not tracked.valid_T[22:28].any()
    assert {LEAVES_FRAME, NO_FACE} >= set(tracked.reason_T) - {""} and LEAVES_FRAME in tracked.reason_T
    assert not tracked.landmarks_TK2[~tracked.valid_T].any()
    assert np.isnan(tracked.motion_T23[~tracked.valid_T]).all()
    again = follow_face(frames[-5:])
    assert np.abs(tracked.landmarks_TK2[-5:] - again.landmarks_TK2).max() < 6


def test_black_and_small_are_told_apart(frames: list[NDArray[np.uint8]]) -> None:
    black = follow_face(np.zeros((360, 640, 3), np.uint8) for _ in range(6))
    assert black.reason_T == [NO_FACE] * 6 and not black.landmarks_TK2.any()
    small = follow_face(cv2.resize(frame, (320, 320), interpolation=cv2.INTER_AREA) for frame in frames[:6])
    assert small.reason_T == [TOO_SMALL] * 6
    assert small.width_T == pytest.approx(118, abs=12)


def test_a_cut_does_not_drag_the_old_place_along(frames: list[NDArray[np.uint8]]) -> None:
    def place(frame: NDArray[np.uint8], left: int) -> NDArray[np.uint8]:
        canvas = np.full((512, 900, 3), 200 if left else 30, np.uint8)
        canvas[:, left : left + 512] = frame
        return canvas

    joined = follow_face([place(f, 0) for f in frames[:10]] + [place(f, 388) for f in frames[10:20]])
    alone = follow_face(place(f, 388) for f in frames[10:20])
    np.testing.assert_allclose(joined.landmarks_TK2[10:], alone.landmarks_TK2, atol=1.0)


def test_tracking_says_nothing_on_stderr(frames: list[NDArray[np.uint8]], capfd: pytest.CaptureFixture[str]) -> None:
    follow_face(frames[:3])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("width", "height", "x", "y"), [(1024, 512, 0, 0), (1024, 512, 512, 0), (1920, 1080, 1408, 568)]
)
def test_who_looks_into_the_camera_is_not_turned_wherever_the_face_is(
    frames: list[NDArray[np.uint8]], width: int, height: int, x: int, y: int
) -> None:
    def pose(pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        tracked = follow_face(pictures)
        return np.asarray(head_pose(tracked.landmarks_TK2, tracked.valid_T, *pictures[0].shape[1::-1])).mean(0)

    wide = [np.full((height, width, 3), 110, np.uint8) for _ in range(8)]
    for canvas, frame in zip(wide, frames, strict=False):
        canvas[y : y + 512, x : x + 512] = frame
    assert np.abs(pose(wide) - pose(frames[:8])).max() < 3  # 10 to 16 degrees, where perspective counts as a turn
