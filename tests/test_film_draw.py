"""A frame of a film told another mouth: the person's own pixels, where they are wanted and nowhere else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from data_prep.video import iter_rgb
from evaluation.networks import composite
from recipe.crop import INNER
from recipe.film.draw import Canvas, FilmFace
from recipe.film.points import LOWER_GAP, MOVING, UPPER_GAP, places_of
from recipe.mask_328 import alpha_bounds
from recipe.mouth import LIPS, eye_distance
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX
from tests.photo_material import found_in
from training.film.ears import Film

Picture = NDArray[np.uint8]
_LIPS = places_of(MOVING)[: len(LIPS)]


@pytest.fixture(scope="module")
def face(film_arrays: dict[str, Any]) -> FilmFace:
    return FilmFace(film_arrays)


@pytest.fixture(scope="module")
def gap_T(film: Film) -> NDArray[np.float64]:
    """How far the lips of every frame that was learnt from are apart."""
    return film.face.shape.gap_px(film.face.articulation_TP[film.frames])


def inner(film: Film, t: int) -> Picture:
    return np.ascontiguousarray(film.dataset.crops[t][INNER, INNER])


def drawn(film: Film, face: FilmFace, t: int, articulation_P: NDArray[np.floating]) -> NDArray[np.float64]:
    """The lower part of the inner square, put together."""
    filmed = inner(film, t)
    patch = face.patch(filmed, t, articulation_P)
    return composite(patch[None], filmed[None, PATCH_TOP_PX:])[0].astype(float)


def psnr_at_the_mouth(film: Film, t: int, drawn_HWC: NDArray[np.float64]) -> float:
    lips = film.face.points_TK2[t][_LIPS] - [0, PATCH_TOP_PX]
    (x0, y0), (x1, y1) = np.maximum(lips.min(0) - 8, 0).astype(int), (lips.max(0) + 9).astype(int)
    off = (drawn_HWC - inner(film, t)[PATCH_TOP_PX:])[y0:y1, x0:x1]
    return float(10 * np.log10(255**2 / max(np.square(off).mean(), 1e-3)))


def test_told_what_was_filmed_it_draws_what_was_filmed(film: Film, face: FilmFace) -> None:
    told = film.face.articulation_TP
    frames = range(20, 165, 12)
    right = [psnr_at_the_mouth(film, t, drawn(film, face, t, told[t])) for t in frames]
    wrong = [psnr_at_the_mouth(film, t, drawn(film, face, t, told[(t + 90) % 170])) for t in frames]
    assert np.median(right) > 30 and np.min(right) > 20
    assert np.median(right) > np.median(wrong) + 6


def test_lips_that_must_close_do_and_open_ones_open(film: Film, face: FilmFace, gap_T: NDArray[np.float64]) -> None:
    """Found anew by the landmarker, on frames that were filmed otherwise."""
    order = film.frames[np.argsort(gap_T)]
    told = film.face.articulation_TP
    shut_P, wide_P = told[order[:8]].mean(0), told[order[-8:]].mean(0)
    frames = list(islice(iter_rgb(film.dataset.frames_path), 170))

    def opening(t: int, articulation_P: NDArray[np.float64]) -> float:
        affine = film.dataset.affine_T23[t]
        patch = face.patch(inner(film, t), t, articulation_P)
        picture = paste_patch(frames[t], patch, plan_paste(affine, *frames[t].shape[:2]))
        points = found_in(picture).points_K3[:, :2]
        gap = np.linalg.norm(points[list(UPPER_GAP)] - points[list(LOWER_GAP)], axis=1).mean()
        return float(gap / eye_distance(points[None])[0])

    filmed_open, filmed_shut = order[[-12, -30]], order[[12, 30]]
    assert np.mean([film.dataset.opening_T[t] for t in filmed_open]) > 0.1
    assert max(opening(int(t), shut_P) for t in filmed_open) < 0.03
    assert min(opening(int(t), wide_P) for t in filmed_shut) > 0.1


def test_a_patch_depends_on_its_own_row_alone(film: Film, face: FilmFace, film_arrays: dict[str, Any]) -> None:
    told = film.face.articulation_TP
    frames = [30, 90, 31, 160]
    one_by_one = [face.patch(inner(film, t), t, told[t + 5]) for t in frames]
    for t, patch in zip(frames, one_by_one, strict=True):
        alone = FilmFace({**film_arrays, "track_TK2": film_arrays["track_TK2"][[t]]})
        np.testing.assert_array_equal(alone.patch(inner(film, t), 0, told[t + 5]), patch)
    with ThreadPoolExecutor(4) as threads:
        together = threads.map(lambda t: face.patch(inner(film, t), t, told[t + 5]), frames * 3)
        for patch, again in zip(one_by_one * 3, together, strict=True):
            np.testing.assert_array_equal(again, patch)


def test_a_frame_without_a_face_stays_as_it_was_filmed(film: Film, film_arrays: dict[str, Any]) -> None:
    track_TK2 = film_arrays["track_TK2"][[30, 31]].copy()
    track_TK2[1] = 0  # as where nobody was found
    face, told_P = FilmFace({**film_arrays, "track_TK2": track_TK2}), film.face.articulation_TP[90]
    assert face.patch(inner(film, 30), 0, told_P)[..., 3].any()
    assert not face.patch(inner(film, 31), 1, told_P).any()


def test_frames_that_preparation_left_out_are_not_drawn_on(
    film: Film, film_arrays: dict[str, Any], film_dataset: Dataset328
) -> None:
    left_out = np.array([0, 31, 32])
    cut = {name: getattr(film_dataset, name).copy() for name in ("valid_T", "landmarks_TK2", "affine_T23")}
    for values in cut.values():
        values[left_out] = 0
    fitted = Film.of(replace(film_dataset, **cut)).face
    assert not fitted.points_TK2[left_out].any()
    assert np.isfinite(fitted.articulation_TP).all()
    face = FilmFace({**film_arrays, "track_TK2": fitted.points_TK2.astype(np.float32)})
    drawn_on = [face.patch(inner(film, t), t, film.face.articulation_TP[90])[..., 3].any() for t in range(30, 34)]
    assert drawn_on == [True, False, False, True]


def test_what_lies_outside_the_mask_stays_as_it_was_filmed(film: Film, face: FilmFace) -> None:
    outside = alpha_bounds()[1][PATCH_TOP_PX:] == 0
    for t in (10, 77, 150):
        for told_P in film.face.articulation_TP[[0, 40, 111]]:
            filmed = inner(film, t)
            patch = face.patch(filmed, t, told_P)
            assert patch.shape == (PATCH_HEIGHT_PX, INNER_PX, 4) and patch.dtype == np.uint8
            assert not any(edge.any() for edge in (patch[0, :, 3], patch[-1, :, 3], patch[:, 0, 3], patch[:, -1, 3]))
            assert not patch[outside][:, 3].any() and patch[..., 3].max() == 255
            whole = drawn(film, face, t, told_P)
            np.testing.assert_array_equal(whole[outside], filmed[PATCH_TOP_PX:][outside])


def test_at_fewer_pixels_it_is_the_same_picture(film: Film, face: FilmFace) -> None:
    """A canvas of 0.7 pixels for one of the inner square, a little turned, out of a source that is moved likewise."""
    to_inner_23 = np.array([[1.4, -0.1, 14.0], [0.1, 1.4, PATCH_TOP_PX + 6.0]])
    canvas = Canvas(120, 205, to_inner_23)
    for t, told_P in ((40, film.face.articulation_TP[120]), (120, film.face.articulation_TP[40])):
        filmed = inner(film, t)
        size, flags = (canvas.width, canvas.height), cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
        strip_23 = to_inner_23 - [[0, 0, 0], [0, 0, PATCH_TOP_PX]]
        patch = cv2.GaussianBlur(face.patch(filmed, t, told_P), (0, 0), 0.5)
        expected = cv2.warpAffine(patch, strip_23, size, flags=flags).astype(float)
        shifted = np.roll(filmed, 9, axis=1)  # px of the source -> px of the inner square: 9 to the left
        found = face.patch(shifted, t, told_P, np.array([[1.0, 0, -9], [0, 1, 0]]), canvas).astype(float)
        seen = (expected[..., 3:] > 250) & (found[..., 3:] > 250)
        assert found.shape == (120, 205, 4) and seen.mean() > 0.1
        assert np.abs(found[..., 3] - expected[..., 3]).mean() < 2
        assert np.abs((found - expected) * seen)[..., :3].sum() / seen.sum() / 3 < 2
        part = Canvas(150, 240, np.array([[1.0, 0, 40], [0, 1, PATCH_TOP_PX + 10]]))  # here no pixel is between pixels
        off = face.patch(shifted, t, told_P, np.array([[1.0, 0, -9], [0, 1, 0]]), part).astype(float)
        off -= face.patch(filmed, t, told_P)[10:160, 40:280]
        assert np.abs(off).mean() < 0.3, "only the coarse grid lies elsewhere"


def test_small_steps_of_the_articulation_are_small_steps_of_the_picture(
    film: Film, face: FilmFace, gap_T: NDArray[np.float64]
) -> None:
    """Also where another mouth of the bank is nearest: from shut to wide open in sixty steps."""
    order, told = film.frames[np.argsort(gap_T)], film.face.articulation_TP
    shut_P, wide_P = told[order[5]], told[order[-5]]
    pictures = [drawn(film, face, 100, shut_P + (wide_P - shut_P) * k / 60) for k in range(61)]
    steps = np.array([np.abs(b - a).mean() for a, b in pairwise(pictures)])
    assert steps.max() < 6 * steps.mean()
    assert steps.max() < 0.4 * np.abs(pictures[-1] - pictures[0]).mean()


def test_a_mouth_that_was_never_filmed_is_limited(film: Film, face: FilmFace, gap_T: NDArray[np.float64]) -> None:
    wide_P = film.face.articulation_TP[film.frames[np.argmax(gap_T)]]
    wide, far, farther = (drawn(film, face, 100, factor * wide_P) for factor in (1, 8, 20))
    assert np.abs(farther - far).mean() < 0.1 * np.abs(far - wide).mean()
