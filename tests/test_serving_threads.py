"""Threads that serve do not spin and do not wait for one another: docs/decisions/0020-serving-threads.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.runtimes.onnx import session_options
from tests.conftest import REPOSITORY

_PROGRAM = """
import sys, cv2, inference_328
from threadpoolctl import threadpool_info
before = cv2.getNumThreads()
code = inference_328.main(["--name", "nobody", "--text", "x", "--avatars_dir", sys.argv[1]])
blas = [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
print(code, before >= cv2.getNumThreads() == 1, len(blas) > 0 and set(blas) == {1})
"""


def test_the_programs_draw_a_frame_on_one_thread(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    ran = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60)
    assert ran.stdout.strip() == "2 True True" and "no avatar 'nobody'" in ran.stderr


def test_onnx_runtimes_threads_sleep_while_they_wait() -> None:
    assert session_options(2).get_session_config_entry("session.intra_op.allow_spinning") == "0"
