"""What the warp is made of: its arrays, its basis, its fields and its motion at rest."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from data_prep.still_landmarks import StillLandmarks
from recipe.articulation.mouth_units import GAP_MM_U, MOUTH_UNITS
from recipe.warp.arrays import check_arrays, load_arrays
from recipe.warp.basis import load_basis
from recipe.warp.face import fit_face
from recipe.warp.fields import source_map
from recipe.warp.motion import idle_motion
from recipe.warp.outlines import filled, stroked
from recipe.warp.points import LANDMARKS
from recipe.warp.units import HEAD_LIMITS_5, mouth_units


def test_the_inverse_of_a_field(picture: np.ndarray) -> None:
    rows, columns, cell = 30, 32, 4
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    field = np.stack([3 * np.sin(x / 6) * np.cos(y / 7), 4 * np.cos(x / 8)], axis=-1).astype(np.float32)
    places = source_map(field, np.stack([x, y], axis=-1), cell, np.array([10, 20], np.float32))
    full = cv2.resize(field, (columns * cell, rows * cell), interpolation=cv2.INTER_LINEAR)
    inside = (slice(12, -12), slice(12, -12))
    at_places = cv2.remap(full, places - np.float32([10, 20]), np.empty(0, np.float32), cv2.INTER_LINEAR)
    yy, xx = np.mgrid[: rows * cell, : columns * cell]
    landed = places + at_places - np.stack([xx + 10, yy + 20], axis=-1)
    assert np.abs(landed[inside]).max() < 0.15


def test_units_and_basis_agree() -> None:
    basis = load_basis()
    np.testing.assert_allclose(basis.gap_U * 100, GAP_MM_U, atol=0.06)
    assert basis.rest_K3.shape == (LANDMARKS, 3)
    with pytest.raises(ValueError, match=r"no mouth unit jawClose; there are jawOpen"):
        mouth_units({"jawClose": 1.0})


def test_a_retargeted_jaw_moves_down_in_proportion(picture: np.ndarray, found: StillLandmarks) -> None:
    half = np.ascontiguousarray(cv2.resize(picture, (256, 256), interpolation=cv2.INTER_AREA))
    large, small = fit_face(picture, found.points_K3), fit_face(half, found.points_K3 * 0.5)
    np.testing.assert_allclose(large.units_UK2, 2 * small.units_UK2, atol=0.02)
    jaw = large.units_UK2[MOUTH_UNITS.index("jawOpen")]
    assert jaw[152, 1] > 0.5 * (jaw[14, 1] - jaw[13, 1]) > 10


def test_arrays_that_do_not_fit_are_refused(arrays: dict[str, Any], tmp_path: Path) -> None:
    cases = [
        ({"photo_HWC": arrays["photo_HWC"][:511]}, "even sides"),
        ({"plate_HWC": arrays["plate_HWC"][:-1]}, "plate_HWC covers"),
        ({"points_K3": arrays["points_K3"][:468]}, r"points_K3 is float32 \(468, 3\)"),
        ({"contour_I2": arrays["contour_I2"] * np.float32(np.nan)}, "not finite"),
        ({"boxes_24": arrays["boxes_24"] + np.int32(400)}, "lies outside the photo"),
        ({"moving_CRS2": arrays["moving_CRS2"][:, 1:]}, "moving_CRS2 covers"),
        ({"surplus": np.zeros(1)}, "surplus are missing or unknown"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            check_arrays({**arrays, **change}, "here")
    missing = {name: array for name, array in arrays.items() if name != "person_HW"}
    np.savez_compressed(tmp_path / "less.npz", **missing)
    with pytest.raises(ValueError, match="person_HW"):
        load_arrays(tmp_path / "less.npz")


def test_sizes_are_read_before_memory_is_taken(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez(path, **{**arrays, "photo_HWC": np.zeros((2, 2, 3), np.uint8)})
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (900000, 900000, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members["photo_HWC.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="more than 64 MB"):
        load_arrays(path)
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ValueError, match="is no archive of arrays"):
        load_arrays(tmp_path / "text.npz")


@pytest.mark.parametrize("seed", range(4))
def test_the_loop_rests_at_both_ends(seed: int) -> None:
    motion = idle_motion(seed)
    assert len(motion) == 250
    for values in (motion.head_N5, motion.gaze_N2, motion.blink_N[:, None], motion.brows_N[:, None]):
        assert np.abs(values[[0, -1]]).max() < 0.02
    assert np.abs(np.diff(motion.head_N5, axis=0)).max() < 0.02
    assert (np.abs(motion.head_N5).max(0) < HEAD_LIMITS_5).all()
    assert np.abs(motion.head_N5[:, 3]).max() > 0.01
    walked = np.concatenate([motion.blink_N, motion.blink_N[::-1]])
    starts = np.flatnonzero(np.diff((walked > 0.5).astype(int)) == 1)
    assert len(starts) >= 3
    assert np.diff(starts).min() >= 1.8 * 25
    assert np.diff(starts).max() <= 6.6 * 25
    np.testing.assert_array_equal(idle_motion(seed).head_N5, motion.head_N5)
    assert not np.array_equal(idle_motion(seed + 1).head_N5, motion.head_N5)


def test_outlines_are_soft() -> None:
    """An edge that falls by one row in twenty is no stair: its rows come and go little by little."""
    mask = filled(np.array([[0.0, 4.0], [40.0, 6.0], [40.0, 12.0], [0.0, 12.0]]), (16, 40, 3))
    line = stroked(np.array([[0.0, 4.0], [40.0, 6.0]]), (16, 40), 1)
    for drawn in (mask, line):
        assert drawn.dtype == np.float32 and 0.9 < drawn.max() <= 1.0
        assert np.abs(np.diff(drawn[:, 2:-2], axis=1)).max() < 0.2
    assert mask[10:12, 2:-2].min() == 1.0 and mask[:2].max() == 0.0


def test_units_part_the_lips_as_told() -> None:
    """Also pucker and rolled lips, whose landmarks lie on other folds of the lips than at rest."""
    gap_U = np.subtract(*load_basis().offsets_UK3[:, [13, 14], 1].T)
    np.testing.assert_allclose(100 * gap_U, GAP_MM_U, atol=0.06)
