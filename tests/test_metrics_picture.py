"""Each picture metric scores perfect input perfect and catches the fault it is meant to catch."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from evaluation import picture
from tests.metrics_material import Material, material, strip_mask


@pytest.fixture(scope="module")
def real() -> Material:
    return material()


@pytest.fixture(scope="module")
def regions(real: Material) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(masked region of every frame, each frame's mouth box)."""
    return strip_mask()[0][None], picture.box_regions(real.boxes_T4, 192, 320)


def _follows(count: int) -> NDArray[np.bool_]:
    return np.arange(count) > 0


def test_identical_pictures_score_perfect(real: Material, regions: tuple[NDArray[np.bool_], ...]) -> None:
    strips, (mask, core) = real.strips_THWC, strip_mask()
    for region in regions:
        assert (picture.psnr_T(strips, strips, region) == picture.PSNR_CAP_DB).all()
    for score in picture.ssim_T(strips, strips, regions):
        np.testing.assert_allclose(score, 1.0, atol=1e-9)
    still = picture.quiet_skin(strips, core, real.boxes_T4, _follows(len(strips)))
    assert picture.sharpness_ratio(strips, strips, real.boxes_T4).number == 1.0
    assert picture.seam_ratio(strips, strips, mask).number == pytest.approx(1.0)
    assert picture.flicker_ratio(strips, strips, still, _follows(len(strips))).number == pytest.approx(1.0)


def test_psnr_is_the_textbook_formula_inside_the_region_only() -> None:
    filmed = np.full((1, 20, 30, 3), 100, np.uint8)
    drawn = filmed.copy()
    drawn[0, :10] += 5  # error 5 on the upper half, checked against 20 log10(255 / 5)
    region = np.zeros((1, 20, 30), bool)
    region[:, :10] = True
    assert picture.psnr_T(drawn, filmed, region)[0] == pytest.approx(20 * np.log10(255 / 5))
    assert picture.psnr_T(drawn, filmed, ~region)[0] == picture.PSNR_CAP_DB
    whole = picture.psnr_T(drawn, filmed, np.ones((1, 20, 30), bool))[0]
    assert whole == pytest.approx(20 * np.log10(255 / 5) + 10 * np.log10(2))


def test_ssim_equals_its_definition_computed_window_by_window() -> None:
    rng = np.random.default_rng(3)
    a = rng.integers(0, 256, (24, 26, 3)).astype(np.uint8)
    b = np.clip(a.astype(np.int64) + rng.integers(-60, 60, a.shape), 0, 255).astype(np.uint8)
    similarity = picture.ssim_map(a, b)
    tap = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    weight = np.outer(tap, tap) / np.outer(tap, tap).sum()
    for y, x in ((5, 5), (12, 9), (18, 20)):
        expected = []
        for channel in range(3):
            wa, wb = (image[y - 5 : y + 6, x - 5 : x + 6, channel].astype(float) for image in (a, b))
            ma, mb = (weight * wa).sum(), (weight * wb).sum()
            va, vb = (weight * (wa - ma) ** 2).sum(), (weight * (wb - mb) ** 2).sum()
            cov = (weight * (wa - ma) * (wb - mb)).sum()
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            expected.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
        assert similarity[y, x] == pytest.approx(np.mean(expected), abs=1e-9)


def test_a_blurred_mouth_is_caught_by_sharpness(real: Material) -> None:
    strips = real.strips_THWC[:20]
    slightly, strongly = (np.stack([cv2.GaussianBlur(f, (0, 0), sigma) for f in strips]) for sigma in (0.8, 2.0))
    slight = picture.sharpness_ratio(slightly, strips, real.boxes_T4[:20]).number
    strong = picture.sharpness_ratio(strongly, strips, real.boxes_T4[:20]).number
    assert slight is not None and strong is not None
    assert strong < 0.2 < slight < 0.9


def test_noise_is_caught_as_too_sharp_and_as_flicker(real: Material) -> None:
    strips, core = real.strips_THWC[:30], strip_mask()[1]
    noisy = np.clip(strips + np.random.default_rng(1).normal(0, 3, strips.shape), 0, 255).astype(np.uint8)
    still = picture.quiet_skin(strips, core, real.boxes_T4[:30], _follows(30))
    sharpness = picture.sharpness_ratio(noisy, strips, real.boxes_T4[:30]).number
    flicker = picture.flicker_ratio(noisy, strips, still, _follows(30)).number
    assert sharpness is not None and sharpness > 1.5
    assert flicker is not None and flicker > 2


def test_brightness_that_pumps_is_caught_by_flicker_and_not_by_sharpness(real: Material) -> None:
    strips, (mask, core) = real.strips_THWC[:30], strip_mask()
    pump = np.where(np.arange(30) % 2, 3, 0)[:, None, None, None]
    pumping = np.where(mask[None, ..., None], np.clip(strips.astype(np.int64) + pump, 0, 255), strips).astype(np.uint8)
    still = picture.quiet_skin(strips, core, real.boxes_T4[:30], _follows(30))
    flicker = picture.flicker_ratio(pumping, strips, still, _follows(30)).number
    assert flicker is not None and flicker > 2
    assert picture.sharpness_ratio(pumping, strips, real.boxes_T4[:30]).number == pytest.approx(1, abs=0.02)


def test_a_frozen_patch_is_caught_by_flicker_below_one(real: Material) -> None:
    strips, (mask, core) = real.strips_THWC[:30], strip_mask()
    frozen = np.where(mask[None, ..., None], strips[:1], strips)
    still = picture.quiet_skin(strips, core, real.boxes_T4[:30], _follows(30))
    assert picture.flicker_ratio(frozen, strips, still, _follows(30)).number == 0


@pytest.mark.parametrize("where", ["mask", "core"])
def test_a_hard_seam_is_caught_wherever_it_lies(real: Material, where: str) -> None:
    strips, (mask, core) = real.strips_THWC[:20], strip_mask()
    inside = mask if where == "mask" else core
    seamed = strips.copy()
    seamed[:, inside] = np.clip(seamed[:, inside].astype(np.int64) + 12, 0, 255)
    blended = picture.seam_ratio(strips, strips, mask).number
    hard = picture.seam_ratio(seamed, strips, mask).number
    assert blended is not None and hard is not None and hard > 2 * blended


def test_a_one_frame_shift_costs_more_in_the_mouth_than_on_the_skin(
    real: Material, regions: tuple[NDArray[np.bool_], ...]
) -> None:
    strips = real.strips_THWC
    late = strips[np.maximum(np.arange(len(strips)) - 1, 0)]
    masked, mouth = (picture.psnr_T(late, strips, region).mean() for region in regions)
    assert mouth < masked < 40


def test_a_flat_or_still_filmed_picture_gives_a_reason_instead_of_a_number() -> None:
    flat = np.full((3, 192, 320, 3), 90, np.uint8)
    boxes = np.tile([100, 50, 200, 100], (3, 1))
    answers = (
        picture.sharpness_ratio(flat, flat, boxes),
        picture.seam_ratio(flat, flat, strip_mask()[0]),
        picture.flicker_ratio(flat, flat, strip_mask()[1], _follows(3)),
        picture.flicker_ratio(flat, flat, strip_mask()[1], np.zeros(3, bool)),
    )
    assert all(answer.number is None and answer.why for answer in answers)


def test_quiet_skin_leaves_the_mouth_and_the_restless_half_out() -> None:
    rng = np.random.default_rng(0)
    strips = np.full((6, 192, 320, 3), 90, np.uint8)
    strips[:, :, 160:] += rng.integers(0, 20, (6, 192, 160, 1)).astype(np.uint8)
    boxes = np.tile([40, 40, 100, 100], (6, 1))
    core = strip_mask()[1]
    still = picture.quiet_skin(strips, core, boxes, _follows(6))
    assert still[:, :160].sum() == core[:, :160].sum() - core[40:100, 40:100].sum()
    assert not still[40:100, 40:100].any()
    assert still[:, 160:].mean() < 0.1
