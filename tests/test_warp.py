"""A picture of a face is moved as it is told: lips open and close by as much, the rest stays where it was."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_prep.face_mesh import FaceDetector, FaceMesh
from data_prep.person import face_in_person, find_person
from data_prep.still_landmarks import StillLandmarks, one_look
from data_prep.video import iter_rgb
from recipe.articulation.mouth_units import MOUTH_UNITS, opening_mm
from recipe.mouth import eye_distance
from recipe.warp.arrays import load_arrays, save_arrays
from recipe.warp.draw import WarpedFace
from recipe.warp.face import smile_of
from recipe.warp.motion import idle_motion
from recipe.warp.points import LOWER_INNER, UPPER_INNER
from recipe.warp.source import prepare_source
from recipe.warp.units import HEAD_LIMITS_5, mouth_units
from tests.photo_material import found_in

STILL = np.zeros(5)
CLOSED = {
    "rest": {},
    "p b m": {"mouthPress": 0.30, "mouthRollLower": 0.14, "mouthRollUpper": 0.10},
    "m, smiling": {"mouthPress": 0.30, "mouthRollLower": 0.14, "mouthRollUpper": 0.10, "mouthSmile": 0.25},
    "b, rounded": {"mouthPress": 0.30, "mouthPucker": 0.40},
}
AA = {"jawOpen": 0.46, "mouthLowerDown": 0.30, "mouthUpperUp": 0.14, "tongueLow": 0.3}
SWEEP = [
    *({"jawOpen": jaw, "mouthLowerDown": 0.2 * jaw} for jaw in (0.0, 0.06, 0.12, 0.18, 0.25, 0.32, 0.40, 0.48)),
    {"jawOpen": 0.025, "mouthLowerDown": 0.46, "mouthUpperUp": 0.32, "mouthStretch": 0.22},
    {"jawOpen": 0.25, "mouthLowerDown": 0.30, "mouthUpperUp": 0.20, "mouthStretch": 0.18, "mouthSmile": 0.16},
    {"jawOpen": 0.31, "mouthFunnel": 0.42, "mouthPucker": 0.20, "mouthLowerDown": 0.10},
    {"jawOpen": 0.09, "mouthFunnel": 0.22, "mouthPucker": 0.66},
    AA,
]


@pytest.fixture(scope="module")
def face(arrays: dict[str, Any]) -> WarpedFace:
    return WarpedFace(arrays)


@pytest.fixture(scope="module")
def open_face(presenter_video: Path) -> WarpedFace:
    """The same person, filmed in the middle of a vowel."""
    picture = next(islice(iter_rgb(presenter_video), 400, None))
    points = found_in(picture).points_K3
    return WarpedFace(prepare_source(picture, points, face_in_person(find_person(picture), points)))


def opening(picture: np.ndarray) -> float:
    """Tracked anew: the mean of the inner lips' three middle pairs, in eye distances."""
    points = found_in(picture).points_K3[:, :2]
    gap = np.linalg.norm(points[list(UPPER_INNER[4:7])] - points[list(LOWER_INNER[4:7])], axis=1).mean()
    return float(gap / eye_distance(points[None])[0])


def test_drawn_mouths_open_as_told(face: WarpedFace) -> None:
    units = np.stack([mouth_units(weights) for weights in SWEEP])
    drawn = np.array([opening(face.draw(told, STILL)) for told in units])
    told = opening_mm(units)
    assert np.corrcoef(told, drawn)[0, 1] > 0.98
    # In size, too: the outer corners of the eyes are about 93 mm apart in the basis' face.
    slope = np.polyfit(told, drawn, 1)[0] * 93
    assert 0.75 < slope < 1.25


def test_a_smile_of_the_photo_relaxes_while_it_speaks(face: WarpedFace) -> None:
    """And p, b and m close nevertheless; a serious photo is drawn as it is told."""
    smiling = face.draw(mouth_units({"mouthSmile": 0.8}), STILL)
    points = found_in(smiling).points_K3
    smiler = WarpedFace(prepare_source(smiling, points))
    silent = smiler.draw(mouth_units({}), STILL).astype(int)
    assert np.abs(silent - smiling).mean() < 0.05  # it smiles on

    def corners_up(picture: np.ndarray) -> float:
        found = found_in(picture).points_K3[:, :2]
        return float((found[13, 1] - found[[61, 291], 1].mean()) / eye_distance(found[None])[0])

    for sound in ("p b m", "b, rounded"):
        drawn = smiler.draw(mouth_units(CLOSED[sound]), STILL)
        serious = corners_up(face.draw(mouth_units(CLOSED[sound]), STILL))
        assert opening(drawn) < 0.012
        assert corners_up(drawn) - serious < 0.75 * (corners_up(smiling) - serious)
    assert smile_of(points) > 0.3 and smile_of(found_in(face.draw(mouth_units({}), STILL)).points_K3) == 0


def test_an_open_photo_opens_and_closes_as_told(open_face: WarpedFace) -> None:
    units = np.stack([mouth_units(weights) for weights in SWEEP])
    drawn = np.array([opening(open_face.draw(told, STILL)) for told in units])
    assert np.corrcoef(opening_mm(units), drawn)[0, 1] > 0.97


@pytest.mark.parametrize("sound", CLOSED)
def test_lips_that_must_close_do(face: WarpedFace, open_face: WarpedFace, sound: str) -> None:
    for source in (face, open_face):
        assert opening(source.draw(mouth_units(CLOSED[sound]), STILL)) < 0.012


def test_the_background_is_not_touched(face: WarpedFace, picture: np.ndarray, arrays: dict[str, Any]) -> None:
    person = arrays["person_HW"] > 0
    reach = cv2.dilate(person.astype(np.uint8), np.ones((91, 91), np.uint8)) > 0
    assert (~reach).mean() > 0.25
    rng = np.random.default_rng(0)
    for _ in range(5):
        head = rng.uniform(-1, 1, 5) * HEAD_LIMITS_5
        drawn = face.draw(mouth_units(AA), head, 0.7, 0.5, rng.uniform(-1, 1, 2))
        np.testing.assert_array_equal(drawn[~reach], picture[~reach])
        assert np.abs(drawn[person].astype(int) - picture[person]).mean() > 1


def test_a_straight_line_behind_the_head_stays_straight(picture: np.ndarray, found: StillLandmarks) -> None:
    lined = picture.copy()
    person = face_in_person(find_person(picture), found.points_K3)
    assert person is not None
    behind = cv2.dilate((person > 0.5).astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    rows = slice(150, 156)
    lined[rows][behind[rows]] = (220, 40, 40)
    face = WarpedFace(prepare_source(lined, found.points_K3, person))
    drawn = face.draw(mouth_units({}), 0.5 * np.array(HEAD_LIMITS_5))
    reach = cv2.dilate((person > 0.5).astype(np.uint8), np.ones((61, 61), np.uint8)) == 0
    np.testing.assert_array_equal(drawn[140:166][reach[140:166]], lined[140:166][reach[140:166]])


def test_the_same_bytes_again_and_from_two_threads(face: WarpedFace) -> None:
    motion = idle_motion(5)
    frames = [(mouth_units({"jawOpen": 0.02 * i}), *at(motion, 9 * i)) for i in range(12)]
    expected = [face.draw(*frame) for frame in frames]
    made: dict[int, list[np.ndarray]] = {}

    def draw(thread: int) -> None:
        made[thread] = [face.draw(*frame) for frame in frames]

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for thread in range(2):
        for drawn, frame in zip(made[thread], expected, strict=True):
            np.testing.assert_array_equal(drawn, frame)
    assert not np.array_equal(expected[0], expected[1])


def at(motion: Any, i: int) -> tuple[Any, ...]:
    return motion.head_N5[i], float(motion.blink_N[i]), float(motion.brows_N[i]), motion.gaze_N2[i]


def test_kept_arrays_draw_the_same_bytes(arrays: dict[str, Any], face: WarpedFace, tmp_path: Path) -> None:
    save_arrays(tmp_path / "photo.npz", arrays)
    again = WarpedFace(load_arrays(tmp_path / "photo.npz"))
    told = (mouth_units(AA), 0.6 * np.array(HEAD_LIMITS_5), 0.5, 0.3, np.array([0.5, -0.2]))
    np.testing.assert_array_equal(again.draw(*told), face.draw(*told))
    assert (tmp_path / "photo.npz").stat().st_size < 5 << 20


def test_nothing_told_is_nearly_the_photo(face: WarpedFace, picture: np.ndarray) -> None:
    drawn = face.draw(mouth_units({}), STILL)
    assert np.abs(drawn.astype(int) - picture).mean() < 0.4


def test_lids_close_and_open(face: WarpedFace, picture: np.ndarray, found: StillLandmarks) -> None:
    def eye_height(drawn: np.ndarray) -> float:
        points = one_look(drawn, FaceDetector().find(drawn)[0], FaceMesh())
        assert points is not None
        return float(np.linalg.norm(points[[159, 386], :2] - points[[145, 374], :2], axis=1).mean())

    heights = [eye_height(face.draw(mouth_units({}), STILL, blink)) for blink in (0.0, 0.5, 1.0)]
    assert heights[0] == pytest.approx(eye_height(picture), abs=0.5)
    assert heights[0] > heights[1] > heights[2]
    assert heights[2] < 0.45 * heights[0]


@pytest.mark.parametrize(("move", "axis", "way"), [(0, 0, 1), (1, 1, 1), (3, 0, 1), (4, 1, 1)])
def test_the_head_goes_where_it_is_told(
    face: WarpedFace, found: StillLandmarks, move: int, axis: int, way: int
) -> None:
    head = np.zeros(5)
    head[move] = HEAD_LIMITS_5[move]
    moved = found_in(face.draw(mouth_units({}), head)).points_K3
    step = way * (moved - found.points_K3)[:468, :2]
    assert step[1, axis] > 3  # the tip of the nose
    assert abs(step[1, 1 - axis]) < 2
    if move >= 3:  # a turn moves the nose more than the cheeks' outer edge
        assert step[1, axis] > 1.5 * np.abs(step[[234, 454], axis]).mean()


def test_gaze_moves_the_irises_only(face: WarpedFace, picture: np.ndarray) -> None:
    drawn = face.draw(mouth_units({}), STILL, gaze_2=np.array([1.0, 0.0]))
    still = face.draw(mouth_units({}), STILL)
    changed = np.argwhere((drawn != still).any(-1))
    assert len(changed) > 40
    before, after = found_in(still).points_K3, found_in(drawn).points_K3
    assert (after - before)[[468, 473], 0].min() > 1.0
    assert np.abs((after - before)[[33, 133, 263, 362], 0]).max() < 1.5


def test_beyond_the_limits_is_the_limit(face: WarpedFace) -> None:
    wild = face.draw(np.full(len(MOUTH_UNITS), 9.0), np.full(5, 9.0), 7.0, 7.0, np.array([9.0, 9.0]))
    most = face.draw(np.ones(len(MOUTH_UNITS)), np.array(HEAD_LIMITS_5), 1.0, 1.0, np.ones(2))
    np.testing.assert_array_equal(wild, most)


def test_without_a_person_the_fields_fade(picture: np.ndarray, found: StillLandmarks) -> None:
    arrays = prepare_source(picture, found.points_K3)
    drawn = WarpedFace(arrays).draw(mouth_units(AA), np.array(HEAD_LIMITS_5))
    edge = np.ones(picture.shape[:2], bool)
    edge[4:-4, 4:-4] = False
    np.testing.assert_allclose(drawn[edge].astype(int), picture[edge], atol=4)
    x0, y0, x1, _ = arrays["boxes_24"][0]
    border = np.abs(drawn.astype(int) - picture)[y0 : y0 + 2, x0:x1].max() if y0 else 0
    assert border < 12  # no seam where the moving box ends


def test_the_landmarks_of_a_frame_lie_where_its_face_shows_them(face: WarpedFace) -> None:
    """Found anew in a frame whose head is moved, they are where `landmarks` says."""
    aa, head = mouth_units(AA), np.array([0.08, -0.06, 0.05, 0.0, 0.0])
    still, moved = (face.landmarks(aa, way) for way in (np.zeros(5), head))
    seen_still, seen_moved = (found_in(face.draw(aa, way)).points_K3[:, :2] for way in (np.zeros(5), head))
    places = [468, 473, 4, 61, 291]
    way_seen, way_told = (seen_moved - seen_still)[places], (moved - still)[places]
    assert np.linalg.norm(way_told, axis=1).min() > 3
    assert np.linalg.norm(way_seen - way_told, axis=1).mean() < 1.0
