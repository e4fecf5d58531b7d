"""Names of datasets, and the folders and recordings they stand for. No name leads out of the dataset folder."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from recipe.errors import BadNameError
from recipe.files import same_content, written_aside
from recipe.names import check_name, safe_name

log = logging.getLogger(__name__)

VIDEO_SUFFIXES: Final = frozenset(
    f".{kind}"
    for kind in (
        *("mp4", "m4v", "mov", "qt", "3gp", "3g2", "mkv", "webm", "ogv", "avi", "wmv", "asf", "flv", "f4v"),
        *("mpg", "mpeg", "m2v", "vob", "ts", "mts", "m2ts", "mxf", "video"),
    )
)
_UNKNOWN_SUFFIX: Final = ".video"  # for a recording whose own is none of these


@dataclass(frozen=True)
class Request:
    """What is to be prepared."""

    name: str
    folder: Path  # dataset/NAME
    recording: Path  # the file to read
    outside: bool  # the recording lies elsewhere and has to be brought into the folder

    def inside_path(self) -> Path:
        """Where in the folder the recording lies, or shall lie."""
        if not self.outside:
            return self.recording
        suffix = self.recording.suffix.lower()
        return self.folder / f"{self.name}{suffix if suffix in VIDEO_SUFFIXES else _UNKNOWN_SUFFIX}"


def resolve(name_or_video: str, name: str | None, dataset_dir: Path) -> Request:
    """Find out what is to be prepared.

    Args:
        name_or_video: a dataset's name (its recording lies at dataset_dir/NAME/NAME.*), or a recording's path.
        name: the name asked for, or None to take it from the recording's.
        dataset_dir: where datasets lie.
    Raises:
        BadNameError: neither a name nor a file, or a name that is not allowed.
    """
    path = Path(name_or_video).expanduser()
    if path.is_file():
        return _of_file(path, name, dataset_dir)
    looks_like_path = path.suffix.lower() in VIDEO_SUFFIXES or os.sep in name_or_video
    if looks_like_path and path.suffix:
        raise BadNameError(f"there is no file '{path.absolute()}': give the path of a recording, or a dataset's name")
    check_name(name_or_video)
    if name is not None and name != name_or_video:
        raise BadNameError(f"--name {name!r} renames a recording given by its path; {name_or_video!r} is a name itself")
    folder = dataset_dir / name_or_video
    found = recordings(folder, name_or_video)
    if len(found) != 1:
        listing = ", ".join(file.name for file in found) or "none"
        raise BadNameError(
            f"expected one recording {folder / name_or_video}.mp4 (or .mov, .mkv, ..), found {listing}: put the "
            "recording there, or give its path"
        )
    return Request(name_or_video, folder, found[0], outside=False)


def recordings(folder: Path, name: str) -> list[Path]:
    """The video files in a dataset's folder that bear its name."""
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.stem == name and f.suffix.lower() in VIDEO_SUFFIXES and f.is_file())


def bring_in(request: Request) -> list[Path]:
    """Put a recording from elsewhere into its dataset's folder: as a hard link, or a copy on another file system.

    Another recording of that name is kept beside it under a name that says so.

    Returns:
        What was created, to be removed again should the recording turn out to be no good.
    """
    if not request.outside:
        return []
    created = [] if request.folder.exists() else [request.folder]
    request.folder.mkdir(parents=True, exist_ok=True)
    target = request.inside_path()
    for old in recordings(request.folder, request.name):
        if old == target and same_content(old, request.recording):
            return created
        kept = old.with_name(f"{request.name}.replaced-{old.stat().st_mtime_ns}{old.suffix}")
        log.warning("%s held another recording: it is kept as %s", request.folder.name, kept.name)
        old.replace(kept)
    with written_aside(target) as part:
        part.unlink()
        try:
            os.link(request.recording.resolve(), part)
        except OSError:
            shutil.copyfile(request.recording, part)
    return [target, *created]


def _of_file(path: Path, name: str | None, dataset_dir: Path) -> Request:
    chosen = check_name(name) if name is not None else safe_name(path.stem)
    if name is None and chosen != path.stem:
        log.info("the dataset of %r is called %s; --name NAME gives it another name", path.name, chosen)
    folder = dataset_dir / chosen
    inside = path.resolve().parent == folder.resolve() and path.stem == chosen
    return Request(chosen, folder, path, outside=not inside)
