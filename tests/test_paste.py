"""The patch comes back to where it was cut, to a fraction of a pixel, and nobody sees its edge."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from recipe.colour import decode_rgb
from recipe.crop import crop_face
from recipe.mask_328 import alpha_bounds
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import INNER_OFFSET_PX, INNER_PX, PATCH_HEIGHT_PX, PATCH_TOP_PX

ALPHA = np.round(alpha_bounds()[1][PATCH_TOP_PX:] * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def frame(presenter_video: Path) -> np.ndarray:
    with av.open(str(presenter_video)) as container:
        return decode_rgb(next(islice(container.decode(video=0), 40, None)))


def similarity(scale: float, turn: float, centre_xy: tuple[float, float]) -> np.ndarray:
    """Frame px -> crop px with the given point in the middle of the crop."""
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    linear = np.array([[c, -s], [s, c]])
    return np.column_stack([linear, np.array([164, 164]) - linear @ centre_xy]).astype(np.float32)


def cut_patch(frame: np.ndarray, affine_23: np.ndarray, alpha: np.ndarray = ALPHA) -> np.ndarray:
    top, left = INNER_OFFSET_PX + PATCH_TOP_PX, INNER_OFFSET_PX
    crop = crop_face(frame, affine_23)
    return np.dstack([crop[top : top + PATCH_HEIGHT_PX, left : left + INNER_PX], alpha])


def paste(frame: np.ndarray, patch: np.ndarray, affine_23: np.ndarray) -> np.ndarray:
    return paste_patch(frame.copy(), patch, plan_paste(affine_23, *frame.shape[:2]))


@pytest.mark.parametrize(
    ("resized_to", "scale", "least_psnr_db"),
    [(512, 0.9, 40), (512, 1.0, 41), (512, 1.3, 42), (720, 1.1, 50), (1024, 0.6, 44), (1024, 2.0, 56)],
)
@pytest.mark.parametrize("turn", [-0.1, 0.0, 0.04])
def test_pasting_what_was_cut_changes_nothing_visible(
    frame: np.ndarray, resized_to: int, scale: float, least_psnr_db: float, turn: float
) -> None:
    large = cv2.resize(frame, (resized_to, resized_to), interpolation=cv2.INTER_CUBIC)
    affine_23 = similarity(scale, turn, (resized_to / 2 + 0.3, resized_to * 0.55 + 0.7))
    plan = plan_paste(affine_23, resized_to, resized_to)
    pasted = paste(large, cut_patch(large, affine_23), affine_23)
    change = (pasted.astype(float) - large)[plan.rows, plan.columns]
    assert np.abs(change).mean() < 1.0
    assert abs(change.mean()) < 0.1  # no shift of brightness
    assert 10 * np.log10(255**2 / np.square(change).mean()) > least_psnr_db


def test_a_whole_pixel_paste_is_exact(frame: np.ndarray) -> None:
    affine_23 = np.array([[1, 0, -90], [0, 1, -110]], np.float32)
    np.testing.assert_array_equal(paste(frame, cut_patch(frame, affine_23), affine_23), frame)


@pytest.mark.parametrize("scale", [0.7, 1.0, 1.6])
def test_pixel_centres_are_right(scale: float) -> None:
    """A dot drawn at a known place of the patch must appear at the place that the transform says, to 0.02 px."""
    affine_23 = similarity(scale, 0.2, (200.37, 180.81))
    y, x = np.mgrid[0:PATCH_HEIGHT_PX, 0:INNER_PX]
    dot_xy = np.array([150.25, 90.5])
    dot = 255 * np.exp(-((x - dot_xy[0]) ** 2 + (y - dot_xy[1]) ** 2) / (2 * 6.0**2))
    patch = np.dstack([np.round(dot)] * 3 + [np.full_like(dot, 255)]).astype(np.uint8)
    pasted = paste(np.zeros((400, 420, 3), np.uint8), patch, affine_23)[..., 0].astype(float)
    rows, columns = np.mgrid[0:400, 0:420]
    found_xy = np.array([(pasted * columns).sum(), (pasted * rows).sum()]) / pasted.sum()
    in_crop_xy = dot_xy + np.array([INNER_OFFSET_PX, INNER_OFFSET_PX + PATCH_TOP_PX])
    expected_xy = np.linalg.solve(affine_23[:, :2].astype(float), in_crop_xy - affine_23[:, 2])
    np.testing.assert_allclose(found_xy, expected_xy, atol=0.02)


def test_only_the_region_changes_and_in_place(frame: np.ndarray) -> None:
    affine_23 = similarity(1.1, 0.05, (256, 280))
    plan = plan_paste(affine_23, 512, 512)
    picture = frame.copy()
    red = np.zeros((PATCH_HEIGHT_PX, INNER_PX, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, ALPHA
    assert paste_patch(picture, red, plan) is picture
    outside = np.ones((512, 512), bool)
    outside[plan.rows, plan.columns] = False
    np.testing.assert_array_equal(picture[outside], frame[outside])
    assert (picture[plan.rows, plan.columns] != frame[plan.rows, plan.columns]).mean() > 0.5


def test_the_colour_of_invisible_pixels_never_shows(frame: np.ndarray) -> None:
    affine_23 = similarity(1.3, 0.05, (256, 280))
    patch = cut_patch(frame, affine_23)
    loud = patch.copy()
    loud[loud[..., 3] == 0, :3] = (255, 0, 255)
    np.testing.assert_array_equal(paste(frame, loud, affine_23), paste(frame, patch, affine_23))


def test_no_seam() -> None:
    """A drawn picture that is 20 levels brighter must fade in: nowhere a step that a flat frame would show."""
    flat = np.full((512, 512, 3), 120, np.uint8)
    patch = np.dstack([np.full((PATCH_HEIGHT_PX, INNER_PX, 3), 140, np.uint8), ALPHA])
    for scale in (0.8, 1.0, 1.7):
        pasted = paste(flat, patch, similarity(scale, 0.03, (256.4, 255.7))).astype(int)
        assert pasted.max() == 140
        assert pasted.min() == 120
        limit = 4 * scale + 1  # the ring is at least 10 px wide in the patch
        assert np.abs(np.diff(pasted, axis=0)).max() <= limit
        assert np.abs(np.diff(pasted, axis=1)).max() <= limit


def test_detail_too_fine_for_the_frame_becomes_grey() -> None:
    """A paste that halves the patch must not turn single-pixel stripes into broad ones."""
    stripes = np.zeros((PATCH_HEIGHT_PX, INNER_PX, 4), np.uint8)
    stripes[:, ::2, :3], stripes[..., 3] = 255, 255
    affine_23 = similarity(1.9, 0.0, (150.0, 150.0))
    pasted = paste(np.zeros((300, 300, 3), np.uint8), stripes, affine_23)
    plan = plan_paste(affine_23, 300, 300)
    inner = pasted[plan.rows, plan.columns][8:-8, 8:-8].astype(int)
    assert np.abs(inner - 127).max() < 25


@pytest.mark.parametrize("centre_xy", [(10.0, 20.0), (505.0, 500.0), (250.0, 2.0), (-60.0, 250.0)])
def test_a_face_at_the_edge_is_pasted_as_far_as_it_is_seen(frame: np.ndarray, centre_xy: tuple[float, float]) -> None:
    affine_23 = similarity(1.0, 0.0, centre_xy)
    red = np.zeros((PATCH_HEIGHT_PX, INNER_PX, 4), np.uint8)
    red[..., 0], red[..., 3] = 255, 255
    pasted = paste(frame, red, affine_23)
    # The same on a frame with wide borders, cut back.
    wide = cv2.copyMakeBorder(frame, 400, 400, 400, 400, cv2.BORDER_CONSTANT)
    shifted = affine_23 - np.array([[0, 0, 400], [0, 0, 400]], np.float32)
    np.testing.assert_array_equal(pasted, paste(wide, red, shifted)[400:-400, 400:-400])


def test_a_face_outside_the_frame_changes_nothing(frame: np.ndarray) -> None:
    affine_23 = similarity(1.0, 0.0, (5000.0, -3000.0))
    red = np.full((PATCH_HEIGHT_PX, INNER_PX, 4), 255, np.uint8)
    np.testing.assert_array_equal(paste(frame, red, affine_23), frame)


def test_a_patch_of_another_size_is_refused(frame: np.ndarray) -> None:
    plan = plan_paste(similarity(1.0, 0.0, (256, 256)), 512, 512)
    with pytest.raises(ValueError, match=r"\(320, 320, 4\), expected \(192, 320, 4\)"):
        paste_patch(frame.copy(), np.zeros((320, 320, 4), np.uint8), plan)
