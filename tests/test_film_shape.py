"""The lower face of a film: what the mouth does is found whatever the head does, and a turning head opens no mouth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from recipe.film.points import LOWER_GAP, MOVING, POSED, UPPER_GAP, places_of
from recipe.film.shape import ARTICULATION, inverse, moved, similarity
from tests.film_material import MadeUp, made_up_face
from training.film import fit
from training.film.fit import FilmedFace, fit_face

FRAMES = 1200
LEARNT = np.arange(1000)
HELD_OUT = np.arange(1000, FRAMES)
_MOVING = places_of(MOVING)


def fitted(face: MadeUp, learnt: NDArray[np.int64] = LEARNT) -> FilmedFace:
    return fit_face(face.points_TK2, learnt, [(0, len(face.points_TK2))])


def opening(lower_TM2: NDArray[np.float64]) -> NDArray[np.float64]:
    above, below = places_of(UPPER_GAP, MOVING), places_of(LOWER_GAP, MOVING)
    return np.asarray((lower_TM2[:, below, 1] - lower_TM2[:, above, 1]).mean(1))


def resting(face: FilmedFace, frames: NDArray[np.int64] = HELD_OUT) -> NDArray[np.float64]:
    """How far a mouth at rest is open in these frames, canonical px."""
    points, rest_P = face.points_TK2[frames], np.zeros(ARTICULATION)
    return opening(np.stack([moved(face.shape.lower_face(p, rest_P), face.shape.to_canonical(p)) for p in points]))


@pytest.fixture(scope="module")
def plain() -> tuple[MadeUp, FilmedFace]:
    made_up = made_up_face(FRAMES, noise_px=0.1)
    return made_up, fitted(made_up)


@pytest.fixture(scope="module")
def echoing() -> tuple[MadeUp, FilmedFace]:
    """The eyes, brows and nose go along with the mouth by two pixels."""
    made_up = made_up_face(FRAMES, echo_px=2.0, noise_px=0.1)
    return made_up, fitted(made_up)


def test_the_articulation_is_what_the_mouth_did(plain: tuple[MadeUp, FilmedFace]) -> None:
    made_up, face = plain
    known = np.column_stack([np.ones(FRAMES), face.articulation_TP])
    for lips_T in made_up.lips_TZ.T:  # up to sign and rotation
        way = np.linalg.lstsq(known[LEARNT], lips_T[LEARNT], rcond=None)[0]
        assert np.corrcoef(known[HELD_OUT] @ way, lips_T[HELD_OUT])[0, 1] > 0.99
    spread_P = face.articulation_TP[LEARNT].std(0)
    assert spread_P[0] == pytest.approx(1)
    assert spread_P[3:].max() < 0.05 < spread_P[2]  # it can do three things


def test_the_lower_face_lies_where_it_was_found(plain: tuple[MadeUp, FilmedFace]) -> None:
    made_up, face = plain
    for t in HELD_OUT[::10]:
        found = face.shape.lower_face(face.points_TK2[t], face.articulation_TP[t])
        assert np.linalg.norm(found - made_up.points_TK2[t][_MOVING], axis=1).max() < 1
    own = opening(made_up.canonical_TK2[:, _MOVING])[HELD_OUT]
    told = face.shape.gap_px(face.articulation_TP)[HELD_OUT]
    assert np.corrcoef(own, told)[0, 1] > 0.99 and np.abs(own - told).mean() < 1


def test_nothing_of_the_filmed_mouth_goes_in(plain: tuple[MadeUp, FilmedFace]) -> None:
    """Whatever the lips and the jaw do, the told mouth lies where it lay."""
    _, face = plain
    only_lower = [place for place in _MOVING if place not in places_of(POSED)]
    points, told_P = face.points_TK2[700].copy(), face.articulation_TP[60]
    before = face.shape.lower_face(points, told_P)
    points[only_lower] += np.random.default_rng(1).normal(0, 20, (len(only_lower), 2))
    np.testing.assert_array_equal(face.shape.lower_face(points, told_P), before)


def test_a_resting_mouth_rests_though_the_upper_face_goes_along_with_the_filmed_one(
    echoing: tuple[MadeUp, FilmedFace], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up, face = echoing
    told_T = made_up.lips_TZ[HELD_OUT, 0]  # px of opening
    assert abs(np.polyfit(told_T, resting(face), 1)[0]) < 0.1
    assert resting(face).std() < 0.1
    monkeypatch.setattr(fit, "_without_opening", lambda coefficients, *given: coefficients)
    untreated = fitted(made_up)
    assert abs(np.polyfit(told_T, resting(untreated), 1)[0]) > 0.5  # the pose would tell the mouth


def test_a_head_held_as_never_before_throws_no_lips_about() -> None:
    """Of a short film only a part of the poses is known; further out they count as the furthest known ones."""
    made_up = made_up_face(FRAMES, noise_px=0.1)
    face = fitted(made_up, np.arange(170))
    poses = np.stack([face.shape.pose(points) for points in face.points_TK2])
    assert 2.5 < np.abs(poses).max() <= 4
    assert resting(face, np.arange(170, FRAMES)).std() < 0.5


def test_jump_cuts_and_lost_faces_poison_nothing(echoing: tuple[MadeUp, FilmedFace]) -> None:
    """Frames without a face are zeros; across a cut nothing is quick."""
    made_up, whole = echoing
    points = made_up.points_TK2.copy()
    lost = np.r_[40:52, 300, 777:780, 1150]
    points[650:] += [17, -9]  # another framing after the cut
    points[lost] = 0
    learnt = np.setdiff1d(LEARNT, lost)
    face = fit_face(points, learnt, [(0, 650), (650, FRAMES)])
    assert np.isfinite(face.articulation_TP).all() and np.isfinite(face.shape.regression_FM2).all()
    assert not face.points_TK2[lost].any()
    good = np.setdiff1d(HELD_OUT, lost)
    np.testing.assert_allclose(np.abs(face.articulation_TP[good, 0]), np.abs(whole.articulation_TP[good, 0]), atol=0.1)
    assert abs(np.polyfit(made_up.lips_TZ[good, 0], resting(face, good), 1)[0]) < 0.1


def test_a_film_of_a_second_is_fitted_too() -> None:
    """Too few frames follow one another to tell quick movements from slow ones: all of them count."""
    face = fit_face(made_up_face(40, echo_px=2.0).points_TK2, np.arange(40), [(0, 40)])
    assert np.isfinite(face.shape.regression_FM2).all()
    assert resting(face, np.arange(40)).std() < 1


def test_similarities_are_found_and_undone() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(0, 50, (20, 2))
    affine = np.array([[0.8, -0.3, 7], [0.3, 0.8, -5]])
    np.testing.assert_allclose(similarity(points, moved(points, affine)), affine)
    np.testing.assert_allclose(moved(moved(points, affine), inverse(affine)), points)
