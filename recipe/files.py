"""Files that are whole or not there at all, folders that one process writes at a time, and hashes."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recipe.errors import InUseError, OutputError


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Write a file under another name beside it; it gets its own when the block ends well, and goes when it does not.

    What a process that was killed left behind is removed by the next one that writes the same file.

    Args:
        path: the file; its folder is made.
    Yields:
        The other name, with the same suffix; unique to this process and thread.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
        owner = re.fullmatch(rf"\.{re.escape(path.stem)}\.(\d+)-\d+\.part{re.escape(path.suffix)}", left_over.name)
        if owner and not _is_running(int(owner[1])):
            left_over.unlink(missing_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}-{threading.get_ident()}.part{path.suffix}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder that is about to be written; the lock ends with the process.

    Args:
        folder: it is made.
    Raises:
        InUseError: another process writes it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(
                f"{folder} is being written by another process{_holder(handle)}: wait for it, or stop it"
            ) from error
        yield
    finally:
        os.close(handle)


def result_path(asked: Path, overwrite: bool = False) -> Path:
    """Where a result that was asked for goes: never over an earlier one unasked, never into folders out of nowhere.

    Args:
        asked: the file; one missing folder is made for it, two or one in the root folder are a slip of the pen.
        overwrite: an earlier result is replaced; otherwise a number is appended to the name.
    Raises:
        OutputError: there is no such place.
    """
    path = asked.expanduser().absolute()
    folder = path.parent
    if not folder.is_dir():
        if not folder.parent.is_dir() or folder.parent == folder.parent.parent:
            raise OutputError(f"{folder} does not exist: make the folder, or choose another place for {path.name}")
        folder.mkdir(exist_ok=True)
    number = 1
    while path.exists() and not overwrite:
        number += 1
        path = folder / f"{asked.stem}-{number}{asked.suffix}"
    return path


def same_content(a: Path, b: Path) -> bool:
    """Whether two files hold the same bytes."""
    return a.samefile(b) or (a.stat().st_size == b.stat().st_size and sha256(a) == sha256(b))


def sha256(path: Path) -> str:
    """Of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _holder(handle: int) -> str:
    """Number and command of the process that holds the lock, as far as Linux tells it."""
    inode = os.fstat(handle).st_ino
    try:
        locks = Path("/proc/locks").read_text(encoding="ascii")
        found = re.search(rf"FLOCK\s+\S+\s+\S+\s+(\d+)\s+\S+:{inode}\s", locks)
        if found is None:
            return ""
        command = Path(f"/proc/{found[1]}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    except OSError:
        return ""
    return f" ({found[1]}: {command.strip()[:120]})"
