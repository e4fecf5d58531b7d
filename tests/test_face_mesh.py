"""mediapipe's networks without mediapipe: its own results, its own operations, turned heads, no face."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import openvino
import pytest
from numpy.typing import NDArray
from openvino import opset13 as ops

from data_prep import attention_mesh
from data_prep.attention_mesh import LEFT_EYE, LIPS, RIGHT_EYE, read_attention_mesh
from data_prep.face_boxes import FULL_RANGE, SHORT_RANGE, BoxFinder
from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.face_networks import compile_network, network_path
from data_prep.video import iter_rgb
from tests.conftest import REPOSITORY
from tests.mediapipe_landmarks import COUNT, EVERY, GOLDEN, PRESENTER

CENTRE = 255.5  # of a picture of 512 px


@pytest.fixture(scope="module")
def frames() -> list[NDArray[np.uint8]]:
    return [f for f, _ in zip(iter_rgb(PRESENTER), range(EVERY * COUNT), strict=False)][::EVERY]


@pytest.fixture(scope="module")
def golden() -> dict[str, NDArray[np.float32]]:
    with np.load(GOLDEN) as file:
        return dict(file)


@pytest.fixture(scope="module")
def mesh() -> FaceMesh:
    return FaceMesh()


@pytest.fixture(autouse=True)
def restarted(mesh: FaceMesh) -> None:
    mesh.restart()


def test_landmarks_are_those_of_mediapipe(
    mesh: FaceMesh, frames: list[NDArray[np.uint8]], golden: dict[str, NDArray[np.float32]]
) -> None:
    distance_TK = []
    for frame, truth_K2 in zip(frames, golden["landmarks_TK2"], strict=True):
        points = mesh.process(frame)
        assert points is not None
        distance_TK.append(np.linalg.norm(points + 0.5 - truth_K2, axis=-1))
    irises = tuple(range(468, 478))
    parts = {"skin": tuple(range(468)), "lips": LIPS, "left": LEFT_EYE, "right": RIGHT_EYE, "irises": irises}
    far = {name: float(np.stack(distance_TK)[:, list(part)].mean()) for name, part in parts.items()}
    assert max(far.values()) < 0.15, far  # px, of 123 between the outer corners of the eyes
    assert np.max(distance_TK[0]) < 0.05  # before what differs has moved the square for the next picture


def test_boxes_are_those_of_mediapipe(frames: list[NDArray[np.uint8]], golden: dict[str, NDArray[np.float32]]) -> None:
    finder = BoxFinder(FULL_RANGE)
    boxes = [finder.find(frame).boxes_F4 for frame in frames]
    assert [len(found) for found in boxes] == [1] * COUNT
    np.testing.assert_allclose(np.concatenate(boxes), golden["boxes_T4"], atol=0.05)


@pytest.mark.parametrize("degrees", [-40, 25])
def test_a_turned_head_has_turned_landmarks(mesh: FaceMesh, frames: list[NDArray[np.uint8]], degrees: float) -> None:
    turn = cv2.getRotationMatrix2D((CENTRE, CENTRE), degrees, 1)
    turned = cv2.warpAffine(frames[0], turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    upright = [mesh.process(frames[0]) for _ in range(2)][-1]
    mesh.restart()
    found = [mesh.process(np.asarray(turned, np.uint8)) for _ in range(3)][-1]
    assert upright is not None and found is not None
    assert np.linalg.norm(found - (upright @ turn[:, :2].T + turn[:, 2]), axis=-1).mean() < 2


def test_a_lost_face_is_searched_in_the_next_picture(mesh: FaceMesh, frames: list[NDArray[np.uint8]]) -> None:
    first = mesh.process(frames[0])
    moved = np.asarray(np.roll(frames[0], 200, axis=1), np.uint8)
    assert mesh.process(np.zeros_like(moved)) is None
    points = mesh.process(moved)
    assert first is not None and points is not None
    assert np.abs(points - first - [200, 0]).mean() < 2
    with pytest.raises(ValueError, match="square"):
        mesh.process(frames[0][:300])


def test_boxes_keep_their_place_in_frames_of_any_shape(frames: list[NDArray[np.uint8]]) -> None:
    detector = FaceDetector()
    alone = detector.find(frames[0])
    assert detector.find(np.zeros((90, 160, 3), np.uint8)).shape == (0, 4)
    for height, width, x, y in ((1080, 700, 90, 500), (600, 1500, 900, 40)):
        frame = np.full((height, width, 3), 60, np.uint8)
        frame[y : y + 512, x : x + 512] = frames[0]
        np.testing.assert_allclose(detector.find(frame), alone + np.array([x, y, x, y]), atol=12)
    pair = np.full((512, 1024, 3), 60, np.uint8)
    pair[:, 512:] = frames[0]
    pair[100:400, 50:350] = cv2.resize(frames[0], (300, 300), interpolation=cv2.INTER_AREA)
    boxes = detector.find(pair)
    assert len(boxes) == 2 and boxes[0, 0] > 512 > boxes[1, 2]


def test_short_range_finds_the_eyes(frames: list[NDArray[np.uint8]], golden: dict[str, NDArray[np.float32]]) -> None:
    eyes_F22 = BoxFinder(SHORT_RANGE).find(frames[0]).eyes_F22
    np.testing.assert_allclose(eyes_F22[0], golden["landmarks_TK2"][0, [468, 473]], atol=10)


def _run(build: Callable[..., Any], *inputs: NDArray[np.float32]) -> NDArray[np.float32]:
    """The value of a piece of graph."""
    parameters = [ops.parameter(value.shape, np.float32) for value in inputs]
    model = openvino.Model([build(*(parameter.output(0) for parameter in parameters))], parameters)
    return np.asarray(compile_network(model)(list(inputs))[0])


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.2])
def test_a_cut_lies_around_its_points_and_turns_with_them(angle: float) -> None:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # rows: the axes of the mouth
    mouth_K2 = np.random.default_rng(5).uniform(-1, 1, (len(LIPS), 2))
    mouth_K2[[5, 15]] = [[-0.3, -1], [0.2, 1]]  # lowest and highest
    mouth_K2[[LIPS.index(61), LIPS.index(291)]] = [[-1, 0], [1, 0]]
    points_1K3 = np.full((1, 468, 3), 40, np.float32)  # others, far away
    points_1K3[0, list(LIPS), :2] = mouth_K2 * [10, 3] @ turn + [24, 20]
    part = attention_mesh._PARTS["landmarks_to_transform_matrix_v2"]
    placement_144 = _run(lambda points: attention_mesh._placement(points, part), points_1K3)
    in_cut_1K2 = np.array([[[8, 8], [16, 8], [0, 8], [8, 16]]], np.float32)
    placed = _run(attention_mesh._place, in_cut_1K2, placement_144)[0]
    expected = np.array([[0, 0], [15, 0], [-15, 0], [0, 4.5]]) @ turn + [24, 20]
    np.testing.assert_allclose(placed, expected, atol=1e-4)


def test_a_cut_is_bilinear_and_black_beyond_the_map() -> None:
    y, x = np.mgrid[:48, :48].astype(np.float32)
    ramps = np.stack([x + 1, 2 * y + 1], axis=-1)[None]
    placement = np.eye(4, dtype=np.float32)[None]
    placement[0, :2, :2], placement[0, :2, 3] = [[0.9, -0.4], [0.4, 0.9]], [5.2, 33.7]
    cut = _run(attention_mesh._cut, ramps, placement)[0]
    row, column = np.mgrid[:16, :16] + 0.5
    source_x, source_y = 0.9 * column - 0.4 * row + 4.7, 0.4 * column + 0.9 * row + 33.2
    inside = (source_x >= 0) & (source_x <= 47) & (source_y >= 0) & (source_y <= 47)
    assert 20 < inside.sum() < 250
    expected = np.where(inside[..., None], np.stack([source_x + 1, 2 * source_y + 1], axis=-1), 0)
    np.testing.assert_allclose(cut, expected, atol=1e-3)


def test_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"has 0 operations of mediapipe's own.*0\.10\.21"):
        read_attention_mesh(network_path("face_landmark/face_landmark.tflite"))
    with pytest.raises(FileNotFoundError, match="install mediapipe"):
        network_path("face_landmark/none.tflite")


def test_mediapipe_itself_is_never_loaded() -> None:
    program = (
        "import numpy, sys\n"
        "from data_prep.landmarks import follow_face\n"
        "follow_face([numpy.zeros((90, 160, 3), numpy.uint8)])\n"
        "print('mediapipe' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ran.stdout.strip(), ran.stderr) == ("False", "")
