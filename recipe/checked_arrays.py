"""Arrays in a file: a schema of names, types and sizes, compared with the file's headers before memory is taken."""

from __future__ import annotations

import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from recipe.files import written_aside

# A damaged stream, an encrypted one, one packed in a way that is not known, an array that is not there.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, NotImplementedError, RuntimeError)
# Name -> type and sizes; None where any size will do.
Schema = Mapping[str, tuple[str, tuple[int | None, ...]]]


def write_checked(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays compressed, in one step."""
    with written_aside(path) as part:
        plain: dict[str, Any] = dict(arrays)
        np.savez_compressed(part, **plain)


def read_checked(path: Path, schema: Schema, largest_bytes: int) -> dict[str, NDArray[Any]]:
    """Read the arrays of a schema, and no pickle.

    Nobody's file can cost more memory than `largest_bytes`, whatever its compression promises.

    Raises:
        ValueError: the file is no such file; the message says what is wrong with it.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            for name, (dtype, shape) in _headers(archive, schema, largest_bytes).items():
                _check_form(name, dtype, shape, schema, str(path))
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in schema}
    except _DAMAGED as error:
        raise ValueError(f"{path} is no archive of arrays ({error})") from error


def check_forms(arrays: Mapping[str, NDArray[Any]], schema: Schema, where: str) -> None:
    """Compare arrays with a schema.

    Raises:
        ValueError: names the array, its form and the expected one.
    """
    if set(arrays) != set(schema):
        wrong = sorted(set(arrays) ^ set(schema))
        raise ValueError(f"{where}: {', '.join(wrong)} are missing or unknown")
    for name, array in arrays.items():
        _check_form(name, array.dtype, array.shape, schema, where)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{where}: {name} holds numbers that are not finite")


def _headers(
    archive: zipfile.ZipFile, schema: Schema, largest_bytes: int
) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    """Type and shape of every array, read without the arrays."""
    headers, total = {}, 0
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        if name not in schema:
            raise ValueError(f"{archive.filename} holds {info.filename!r}, which does not belong there")
        with archive.open(info) as file:
            major = npy.read_magic(file)[0]
            read = npy.read_array_header_1_0 if major == 1 else npy.read_array_header_2_0
            shape, _, dtype = read(file)
        total += math.prod(shape) * dtype.itemsize
        if total > largest_bytes or info.file_size > largest_bytes:
            raise ValueError(f"{archive.filename} says it holds more than {largest_bytes >> 20} MB")
        headers[name] = (dtype, shape)
    return headers


def _check_form(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], schema: Schema, where: str) -> None:
    kind, expected = schema[name]
    fits = len(shape) == len(expected) and all(e is None or e == s for s, e in zip(shape, expected, strict=True))
    if dtype != np.dtype(kind) or not fits:
        wanted = tuple("any" if size is None else size for size in expected)
        raise ValueError(f"{where}: {name} is {dtype} {shape}, expected {np.dtype(kind)} {wanted}")
