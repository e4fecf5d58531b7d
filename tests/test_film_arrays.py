"""film.npz comes back as it was written, and what is damaged is refused in words."""

from __future__ import annotations

import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recipe.film.arrays import MOUTH_WIDTH_PX, check_film, lip_shape, load_film, save_film
from recipe.film.draw import FilmFace
from recipe.film.shape import LipShape
from recipe.recipe_328 import INNER_PX

Arrays = dict[str, Any]


def test_they_come_back_as_they_were_written(film_arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "film.npz"
    save_film(path, film_arrays)
    found = load_film(path)
    assert set(found) == set(film_arrays)
    for name, array in film_arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    shape = lip_shape(found)
    for field in fields(LipShape):
        np.testing.assert_array_equal(getattr(shape, field.name), film_arrays[field.name])
    assert [file.name for file in tmp_path.iterdir()] == ["film.npz"]


def test_arrays_that_do_not_fit_are_refused(film_arrays: Arrays, tmp_path: Path) -> None:
    a = film_arrays
    outside = a["corner_N2"].copy()
    outside[0, 0] = INNER_PX - MOUTH_WIDTH_PX + 1
    cases: list[tuple[Arrays, str]] = [
        ({"track_TK2": a["track_TK2"][:, :-1]}, r"track_TK2 is float32 .*, expected float32 \('any', "),
        ({"track_TK2": a["track_TK2"].astype(np.float64)}, "track_TK2 is float64"),
        ({"track_TK2": a["track_TK2"][:0]}, "0 template frames; expected at least one"),
        (
            {"articulation_NP": a["articulation_NP"] * np.float32(np.nan)},
            "articulation_NP holds numbers that are not finite",
        ),
        ({"regression_FM2": a["regression_FM2"] * np.inf}, "regression_FM2 holds numbers that are not finite"),
        ({"regression_FM2": a["regression_FM2"][1:]}, "regression_FM2 is float64"),
        ({"mouths_NHWC": a["mouths_NHWC"][:, :, :-2]}, "mouths_NHWC is uint8"),
        ({"mouths_NHWC": a["mouths_NHWC"][1:]}, r"corner_N2 tells of \d+ mouths, there are \d+"),
        ({"articulation_NP": a["articulation_NP"][1:]}, r"articulation_NP tells of \d+ mouths"),
        ({"corner_N2": outside}, f"a mouth lies outside the inner square of {INNER_PX} px"),
        ({"corner_N2": a["corner_N2"] - np.int32(INNER_PX)}, "a mouth lies outside"),
        ({"surplus": np.zeros(1)}, "surplus are missing or unknown"),
    ]
    for change, message in cases:
        with pytest.raises(ValueError, match=message):
            check_film({**a, **change}, "here")
        with pytest.raises(ValueError, match=message):
            save_film(tmp_path / "film.npz", {**a, **change})
        with pytest.raises(ValueError, match=message):
            FilmFace({**a, **change})
    none = {name: a[name][:0] for name in ("mouths_NHWC", "corner_N2", "mouth_points_NK2", "articulation_NP")}
    with pytest.raises(ValueError, match="0 mouths"):
        check_film({**a, **none}, "here")
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_refused(film_arrays: Arrays, tmp_path: Path) -> None:
    def written(name: str, arrays: Arrays) -> Path:
        np.savez(tmp_path / name, **arrays)
        return tmp_path / name

    few = {**film_arrays, **{k: film_arrays[k][:2] for k in ("mouths_NHWC", "corner_N2", "mouth_points_NK2")}}
    less = {name: array for name, array in few.items() if name != "steady_S2"}
    with pytest.raises(ValueError, match=r"is no archive of arrays .*steady_S2"):
        load_film(written("less.npz", less))
    with pytest.raises(ValueError, match=r"'surplus\.npy', which does not belong there"):
        load_film(written("more.npz", {**few, "surplus": np.zeros(3)}))
    with pytest.raises(ValueError, match="pose_px_C is object"):
        load_film(written("pickle.npz", {**few, "pose_px_C": np.array([print], object)}))
    whole = written("half.npz", few).read_bytes()
    (tmp_path / "half.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("half.npz", "text.npz"):
        with pytest.raises(ValueError, match="is no archive of arrays"):
            load_film(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        load_film(tmp_path / "nothing.npz")


def test_sizes_are_read_before_memory_is_taken(film_arrays: Arrays, tmp_path: Path) -> None:
    path = tmp_path / "bomb.npz"
    np.savez(path, **{**film_arrays, "mouths_NHWC": np.zeros((1, 2, 2, 3), np.uint8)})
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (9000000, 136, 200, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members["mouths_NHWC.npy"] = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="more than 96 MB"):
        load_film(path)
