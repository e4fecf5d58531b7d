"""Locks on names in a folder that several processes, containers or machines may share.

The lock is the kernel's (`flock`), so it ends with the process that holds it, however that ends, and no process number
is ever taken for a sign of life: the same number means another process in another container. On a file system without
`flock` there is an error instead of a lock by convention.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from recipe.errors import InUseError, OutputError

_COMMAND_CHARACTERS: Final = 120
_NOTE_BYTES: Final = 1024


def hold(path: Path, create: bool = True) -> int | None:
    """Lock a file.

    Args:
        path: the file.
        create: make it where it is absent.
    Returns:
        A descriptor: the lock lasts until it is closed. None if another holds the file, or, without `create`, if there
        is none.
    Raises:
        OSError: it cannot be opened for writing, or the file system has no locks.
    """
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o666)
        except FileNotFoundError:
            if create:
                raise
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(handle, path):
                return handle
        except BlockingIOError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # whoever held it has removed or renamed it since it was opened


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Keep every other writer, thread or process, out of a folder; also while it does not exist or is replaced.

    The lock is the file `.NAME.lock` beside the folder, which says who holds it and goes with the lock.

    Args:
        folder: what is about to be written; the folder around it is made.
    Raises:
        InUseError: another writes it; the message says who.
        OutputError: nothing can be written beside it, or the file system has no locks.
    """
    path = folder.absolute().with_name(f".{folder.absolute().name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = hold(path)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be kept for one writer: the lock {path} fails ({error.strerror}); "
            "choose a folder that may be written, on a file system that has locks"
        ) from error
    if handle is None:
        raise InUseError(f"{folder} is being written by another process{_holder(path)}: wait for it, or stop it")
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, _note().encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)  # still ours: whoever opened it meanwhile sees that it is gone
        os.close(handle)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _note() -> str:
    since = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
    command = " ".join(" ".join(sys.orig_argv).split())[:_COMMAND_CHARACTERS]
    return f"{os.getpid()} on {socket.gethostname()}: {command}, since {since}"


def _holder(path: Path) -> str:
    """What the holder wrote into the lock; nothing if it has gone since, or has not come to it yet."""
    try:
        with path.open("rb") as file:
            note = file.read(_NOTE_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    return f" ({note})" if note else ""
