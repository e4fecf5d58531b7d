"""How the C library keeps the memory that Python and the runtimes give back.

glibc gives every busy thread an arena of its own, up to eight per core, and an arena keeps what is freed in it. Frames
and template features are megabytes that one thread makes and another one drops: with a server's many threads, holes
of all sizes stay behind in every arena. Measured with four streams at 720x720: 2.1 GB at most with glibc's default,
1.3 to 1.5 GB with two arenas, 1.25 GB with one, at the same speed (`python -m benchmarks.service`).
"""

from __future__ import annotations

import ctypes
import sys
from typing import Final

_M_ARENA_MAX: Final = -8  # malloc.h


def share_one_arena() -> bool:
    """Let all threads of this process allocate from one arena; to be called before threads are started.

    Returns:
        Whether this C library has such a limit; others need none.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    return mallopt is not None and mallopt(_M_ARENA_MAX, 1) == 1
