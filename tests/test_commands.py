"""Every program answers at once: help and wrong arguments come before anything heavy is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# A program, and arguments that are wrong.
PROGRAMS = {
    "api.py": ["--port", "eight"],
    "inference_328.py": ["--name", "demo"],
    "photo_328.py": ["eve", "photo.jpg", "--size", "401"],
    "train_328.py": ["--name", "demo", "--stage", "abacus"],
    "-m data_prep": ["demo", "--audio_features", "abacus"],
    "-m evaluation": ["demo", "--device", "abacus"],
    "-m presenter": ["paint"],
    "-m services.avatars": ["paint"],
    "-m services.speech": ["paint"],
    "-m benchmarks.first_frame": ["--name", "demo", "--rounds", "few"],
    "-m benchmarks.growth": ["--name", "demo", "--size", "7x7"],
    "-m benchmarks.peer": ["--name", "demo", "--malloc", "abacus"],
    "-m benchmarks.per_frame": ["--name", "demo", "--runtimes", "abacus"],
    "-m benchmarks.photo_frame": ["--photo", "photo.jpg", "--frames", "few"],
    "-m benchmarks.service": ["--name", "demo", "--device", "abacus"],
    "-m benchmarks.training_step": ["--name", "demo", "--preset", "abacus"],
}
HEAVY = ("torch", "cv2", "av", "onnxruntime", "openvino", "scipy", "mediapipe", "librosa", "fastapi", "moderngl", "PIL")
HELP_CPU_S = 0.5

_WATCHED = """
import runpy, sys
name, sys.argv[1:] = sys.argv[1], sys.argv[2:]
sys.argv[0] = name
try:
    runpy.run_module(name.removeprefix("-m "), run_name="__main__", alter_sys=True) if name.startswith("-m ") else \
        runpy.run_path(name, run_name="__main__")
except SystemExit as ending:
    found = sorted(set(sys.modules) & set(HEAVY))
    sys.stdout.write(f"\\nENDED {ending.code} {found}\\n")
"""


def _run(program: str, arguments: list[str], folder: Path = REPOSITORY) -> subprocess.CompletedProcess[str]:
    watched = _WATCHED.replace("HEAVY", repr(HEAVY))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    path = program if program.startswith("-m ") else str(REPOSITORY / program)
    command = [sys.executable, "-c", watched, path, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_comes_at_once_and_from_any_folder(program: str, tmp_path: Path) -> None:
    before = os.times()
    ran = _run(program, ["--help"], tmp_path)
    after = os.times()
    assert ran.stdout.rstrip().endswith("ENDED 0 []"), ran.stdout[-500:] + ran.stderr
    assert "usage:" in ran.stdout and not list(tmp_path.iterdir())
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    assert cpu_s < HELP_CPU_S


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_arguments_are_found_before_anything_heavy_is_imported(program: str) -> None:
    ran = _run(program, PROGRAMS[program])
    assert ran.stdout.rstrip().endswith("ENDED 2 []"), ran.stdout[-500:] + ran.stderr
    assert "error:" in ran.stderr and "Traceback" not in ran.stderr
