"""services.runtimes.memory: threads share one arena, seen in what glibc says of itself."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from services.runtimes.memory import share_one_arena

# Eight threads that each hold memory of their own at the same time; then glibc lists its arenas as XML.
_PROGRAM = """
import ctypes, sys, threading
from services.runtimes.memory import share_one_arena
if sys.argv[1] == "one":
    assert share_one_arena()
library = ctypes.CDLL(None)  # ctypes lets other threads run during a call
library.malloc.restype = ctypes.c_void_p
together = threading.Barrier(8)
def hold():
    together.wait()
    held = [library.malloc(5000) for _ in range(100)]
    together.wait()
threads = [threading.Thread(target=hold) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
library.fdopen.restype = ctypes.c_void_p
sys.stdout.flush()
file = ctypes.c_void_p(library.fdopen(1, b"w"))
library.malloc_info(0, file)
library.fflush(file)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library here is not glibc")
def test_threads_share_one_arena() -> None:
    arenas = {}
    for how in ("default", "one"):
        command = [sys.executable, "-c", _PROGRAM, how]
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout
        arenas[how] = said.count("<heap nr=")
    assert arenas["one"] == 1
    assert arenas["default"] > 1  # else this test would say nothing


def test_elsewhere_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not share_one_arena()
