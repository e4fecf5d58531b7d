"""The crop stands still on the face, lies where the recipe says, and is cut alike in training and serving."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.alignment import CHIN, RIGID_POINTS, SUBNASALE, face_affines, person_template, steady_affines, valid_runs
from data_prep.landmarks import Tracked, follow_face
from data_prep.video import FrameWriter, iter_rgb
from recipe.colour import decode_rgb
from recipe.crop import crop_face
from recipe.mouth import OUTER_EYE_CORNERS, mouth_opening
from recipe.recipe_328 import CHIN_Y, CROP_PX, SUBNASALE_XY
from tests.metrics_material import true_eyes

FRAMES = 150
REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def presenter() -> tuple[list[NDArray[np.uint8]], Tracked]:
    """The first six seconds of the synthetic presenter, tracked."""
    video = iter_rgb(REPOSITORY / "tests" / "data" / "presenter.mp4")
    frames = [frame for frame, _ in zip(video, range(FRAMES), strict=False)]
    return frames, follow_face(frames)


@pytest.fixture(scope="module")
def affines(presenter: tuple[list[NDArray[np.uint8]], Tracked]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(raw, steady) frame px -> crop px."""
    _, tracked = presenter
    landmarks_TK2, valid_T = tracked.landmarks_TK2, tracked.valid_T
    template = person_template(landmarks_TK2[valid_T], mouth_opening(landmarks_TK2)[valid_T])
    raw = face_affines(landmarks_TK2, valid_T, template)
    return raw, steady_affines(raw, valid_T, [(0, FRAMES)], tracked.motion_T23)


def moved(affine_T23: NDArray[np.float32], points_TP2: NDArray[np.floating]) -> NDArray[np.float64]:
    return points_TP2 @ affine_T23[:, :, :2].swapaxes(1, 2) + affine_T23[:, None, :, 2]


def test_face_lies_where_the_recipe_says(
    presenter: tuple[list[NDArray[np.uint8]], Tracked], affines: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    landmarks_TK2 = presenter[1].landmarks_TK2
    in_crop = moved(affines[1], landmarks_TK2)
    assert np.median(in_crop[:, SUBNASALE], axis=0) == pytest.approx(SUBNASALE_XY, abs=0.5)
    opening_T = mouth_opening(landmarks_TK2)
    closed = opening_T <= np.quantile(opening_T, 0.25)
    assert np.median(in_crop[closed, CHIN, 1]) == pytest.approx(CHIN_Y, abs=1.0)
    eyes = in_crop[:, OUTER_EYE_CORNERS[1]] - in_crop[:, OUTER_EYE_CORNERS[0]]
    assert np.median(np.degrees(np.arctan2(eyes[:, 1], eyes[:, 0]))) == pytest.approx(0, abs=0.5)
    assert 95 < np.median(in_crop[:, 291, 0] - in_crop[:, 61, 0]) < 135  # the mouth's width


def test_true_eyes_stand_still_in_the_crop(affines: tuple[NDArray[np.float32], NDArray[np.float32]]) -> None:
    """Measured against the scene that the presenter was rendered from, not against our own landmarks."""
    with np.load(REPOSITORY / "tests" / "data" / "presenter_ground_truth.npz") as truth:
        eyes = true_eyes(truth)[:FRAMES].mean(axis=1, keepdims=True)
    trembling = {}
    for name, affine in zip(("raw", "steady"), affines, strict=True):
        steps = np.diff(moved(affine, eyes)[:, 0], axis=0)
        trembling[name] = float(np.sqrt((np.diff(steps, axis=0) ** 2).sum(axis=1).mean()))
    assert trembling["steady"] < 0.25  # px of the crop
    assert trembling["steady"] < trembling["raw"] / 4


def test_steadying_recovers_a_jerky_true_motion() -> None:
    """Every fifth step is double, as after conversion from 30 to 25 fps: trembling goes, the real motion stays."""
    random = np.random.default_rng(0)
    count = 100
    t = np.arange(count) * 1.2 // 1 / 1.2
    true = np.zeros((count, 2, 3))
    true[:, 0, 0] = true[:, 1, 1] = 1.3
    true[:, 0, 2], true[:, 1, 2] = -300 + 60 * np.sin(t / 6), -200 + 25 * np.cos(t / 5)
    square = np.concatenate([true, np.broadcast_to([0.0, 0.0, 1.0], (count, 1, 3))], axis=1)
    motion = np.full((count, 2, 3), np.nan, np.float32)
    motion[1:] = (np.linalg.inv(square[1:]) @ square[:-1])[:, :2]
    noisy = true.copy()
    noisy[:, :, 2] += random.normal(0, 1.0, (count, 2))
    steady = steady_affines(noisy.astype(np.float32), np.ones(count, bool), [(0, count)], motion)
    error = steady[:, :, 2] - true[:, :, 2]
    assert np.diff(error, axis=0).std() < 0.15
    assert error.std() < 0.5
    motion[40] = np.nan  # one step unknown: the landmarks decide there, nothing breaks
    again = steady_affines(noisy.astype(np.float32), np.ones(count, bool), [(0, count)], motion)
    assert np.isfinite(again).all() and np.abs(again[:, :, 2] - true[:, :, 2]).max() < 3


def test_nothing_is_smoothed_across_a_cut_or_a_gap() -> None:
    valid_T = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)
    assert valid_runs(valid_T, [(0, 5), (5, 8)]) == [(0, 2), (3, 5), (5, 7)]
    affine = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (8, 1, 1))
    affine[5:, 0, 2] = 50
    motion = np.tile(np.array([[1, 0, 0], [0, 1, 0]], np.float32), (8, 1, 1))
    steady = steady_affines(affine, valid_T, [(0, 5), (5, 8)], motion)
    np.testing.assert_allclose(steady[valid_T], affine[valid_T], atol=1e-5)
    assert not steady[~valid_T].any()


def test_crop_is_placed_to_a_fraction_of_a_pixel() -> None:
    y, x = np.mgrid[0:500, 0:600].astype(np.float64)
    blob = 30 + 200 * np.exp(-((x - 300.37) ** 2 + (y - 250.81) ** 2) / (2 * 20**2))
    frame = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    for scale in (0.4, 0.8, 1.0, 1.7):
        turn = scale * np.exp(0.2j)
        affine = np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0]])
        affine[:, 2] = np.array([164.25, 150.5]) - affine[:, :2] @ [300.37, 250.81]
        weight = crop_face(frame, affine.astype(np.float32))[..., 0].astype(np.float64) - 30
        rows, columns = np.mgrid[0:CROP_PX, 0:CROP_PX]
        weight[weight < 5] = 0
        centre = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
        assert centre == pytest.approx((164.25, 150.5), abs=0.06), scale


def test_shrinking_does_not_alias() -> None:
    """Stripes too fine for the crop become even grey, and do not beat."""
    stripes = np.where(np.arange(2000) // 2 % 2, 255, 0).astype(np.uint8)
    frame = np.broadcast_to(stripes[None, :, None], (2000, 2000, 3)).copy()
    affine = np.array([[0.21, 0, -40], [0, 0.21, -40]], np.float32)
    crop = crop_face(frame, affine)[20:-20, 20:-20, 0]
    plain = cv2.warpAffine(frame, affine, (CROP_PX, CROP_PX), flags=cv2.INTER_CUBIC)[20:-20, 20:-20, 0]
    assert crop.std() < 12 < 80 < plain.std()


def test_beyond_the_frame_the_edge_is_repeated_and_a_zero_affine_is_an_error() -> None:
    frame = np.full((200, 200, 3), 77, np.uint8)
    crop = crop_face(frame, np.array([[1, 0, 100], [0, 1, 250]], np.float32))
    assert (crop == 77).all()
    far = crop_face(frame, np.array([[1, 0, 5000], [0, 1, -5000]], np.float32))
    assert (far == 77).all()
    with pytest.raises(ValueError, match="no valid face"):
        crop_face(frame, np.zeros((2, 3), np.float32))


def test_crop_of_a_piece_equals_crop_of_the_whole(
    presenter: tuple[list[NDArray[np.uint8]], Tracked], affines: tuple[NDArray[np.float32], NDArray[np.float32]]
) -> None:
    """The part of the frame that is looked at does not show in the result."""
    frame, affine = presenter[0][10], affines[1][10] * 0.5  # shrinks, so blurs
    border = cv2.copyMakeBorder(frame, 300, 300, 300, 300, cv2.BORDER_REPLICATE)
    shifted = affine.copy()
    shifted[:, 2] -= affine[:, :2] @ np.array([300, 300], np.float32)
    difference = np.abs(crop_face(frame, affine).astype(int) - crop_face(np.asarray(border), shifted))
    assert difference.max() <= 2


def test_training_crop_equals_serving_crop_byte_for_byte(
    presenter: tuple[list[NDArray[np.uint8]], Tracked],
    affines: tuple[NDArray[np.float32], NDArray[np.float32]],
    tmp_path: Path,
) -> None:
    """Serving decodes packets of the dataset's frames, copied from a key frame on: the crops are the same bytes."""
    with FrameWriter(tmp_path / "frames.mp4", 512, 512) as writer:
        for frame in presenter[0]:
            writer.write(frame)
    trained = [crop_face(f, a) for f, a in zip(iter_rgb(tmp_path / "frames.mp4"), affines[1], strict=True)]
    copied = tmp_path / "avatar.mp4"
    with av.open(str(tmp_path / "frames.mp4")) as source, av.open(str(copied), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and 50 * 512 <= packet.dts < 100 * 512:
                packet.pts, packet.dts, packet.stream = packet.pts - 50 * 512, packet.dts - 50 * 512, stream
                target.mux(packet)
    with av.open(str(copied)) as container:
        served = [crop_face(decode_rgb(f), a) for f, a in zip(container.decode(video=0), affines[1][50:], strict=False)]
    assert len(served) == 50
    for ours, theirs in zip(trained[50:100], served, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_opening_grows_with_the_true_mouth(presenter: tuple[list[NDArray[np.uint8]], Tracked]) -> None:
    with np.load(REPOSITORY / "tests" / "data" / "presenter_ground_truth.npz") as truth:
        true_T = truth["mouth_open_px"][:FRAMES]
    measured_T = mouth_opening(presenter[1].landmarks_TK2)
    assert np.corrcoef(true_T, measured_T)[0, 1] > 0.9
    assert not mouth_opening(np.zeros((2, 478, 2), np.float32)).any()


def test_rigid_points_keep_away_from_mouth_and_jaw() -> None:
    lips_and_jaw = {0, 13, 14, 17, 61, 291, 152, 148, 377, 172, 397, 2, 164}
    assert not lips_and_jaw & set(RIGID_POINTS)
