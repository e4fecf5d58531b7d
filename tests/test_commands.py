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
    "demo_gradio.py": ["--port", "eight"],
    "inference_328.py": ["--name", "demo"],
    "photo_328.py": ["eve", "photo.jpg", "--size", "401"],
    "train_328.py": ["--name", "demo", "--stage", "abacus"],
    "-m data_prep": ["demo", "--audio_features", "abacus"],
    "-m data_prep.background": ["demo", "--out", "blue", "--colour", "blue"],
    "-m evaluation": ["demo", "--device", "abacus"],
    "-m presenter": ["paint"],
    "-m services.avatars": ["paint"],
    "-m services.speech": ["paint"],
    "-m services.live.publish": ["--name", "demo"],
    "-m training.ears": ["--seed", "few"],
    "-m benchmarks.first_frame": ["--name", "demo", "--rounds", "few"],
    "-m benchmarks.growth": ["--name", "demo", "--size", "7x7"],
    "-m benchmarks.machine": ["--rounds", "few"],
    "-m benchmarks.peer": ["--name", "demo", "--malloc", "abacus"],
    "-m benchmarks.per_frame": ["--name", "demo", "--runtimes", "abacus"],
    "-m benchmarks.photo_bars": ["photo.jpg", "--frames", "few"],
    "-m benchmarks.unseen_voices": ["--name", "demo", "--seconds", "few"],
    "-m benchmarks.photo_frame": ["--photo", "photo.jpg", "--frames", "few"],
    "-m benchmarks.photo_restoration": ["photo.jpg", "--size", "few"],
    "-m benchmarks.service": ["--name", "demo", "--device", "abacus"],
    "-m benchmarks.training_step": ["--name", "demo", "--preset", "abacus"],
    "-m training.film": ["demo", "--seconds", "few"],
    "examples/livekit_avatar.py": ["--url", "ws://localhost:7880", "--port", "many"],
    "examples/pipecat_avatar.py": ["--name", "demo"],
}
# A program that is asked for what is not there, from another folder, and where it says that it looked.
NOT_THERE = [
    ("inference_328.py", ["--name", "nobody", "--text", "hello"], REPOSITORY / "avatars"),
    ("inference_328.py", ["--name", "demo", "--audio_path", "missing.wav"], Path("missing.wav")),
    ("train_328.py", ["--name", "nobody", "--stage", "syncnet", "--device", "cpu"], REPOSITORY / "dataset" / "nobody"),
    ("photo_328.py", ["eve", "missing.jpg"], Path("missing.jpg")),
    ("-m data_prep", ["nobody"], REPOSITORY / "dataset" / "nobody"),
    ("-m data_prep", ["missing.mp4"], Path("missing.mp4")),
    ("-m data_prep.background", ["nobody", "--out", "new", "--blur", "12"], REPOSITORY / "avatars"),
    ("-m evaluation", ["nobody"], REPOSITORY / "avatars"),
    ("-m services.avatars", ["show", "nobody"], REPOSITORY / "avatars"),
    ("-m services.live.publish", ["--name", "nobody", "--publish", "talk.ts"], REPOSITORY / "avatars"),
    ("-m services.speech", ["say", "hello", "missing/folder/hello.wav"], Path("missing/folder")),
    ("-m benchmarks.per_frame", ["--name", "nobody", "--frames", "1"], REPOSITORY / "avatars"),
    ("-m benchmarks.photo_frame", ["--photo", "missing.jpg"], Path("missing.jpg")),
    ("-m training.ears", ["--speech", "missing"], Path("missing")),
]
HEAVY = ("torch", "cv2", "av", "onnxruntime", "openvino", "scipy", "mediapipe", "librosa", "fastapi", "moderngl", "PIL")
HELP_CPU_S = 0.5

_WATCHED = """
import runpy, sys
sys.modules.update(dict.fromkeys(MISSING))  # none of these can be imported
name, sys.argv[1:] = sys.argv[1], sys.argv[2:]
sys.argv[0] = name
try:
    runpy.run_module(name.removeprefix("-m "), run_name="__main__", alter_sys=True) if name.startswith("-m ") else \
        runpy.run_path(name, run_name="__main__")
except SystemExit as ending:
    found = sorted(set(sys.modules) & set(HEAVY))
    sys.stdout.write(f"\\nENDED {ending.code} {found}\\n")
"""


# What needs more than speaking does, where `setup.sh --serve` installed what speaking needs.
NEEDS_MORE = [
    ("train_328.py", ["--name", "nobody", "--stage", "film", "--device", "cpu"]),
    ("photo_328.py", ["eve", "missing.jpg"]),
    ("-m data_prep", ["missing.mp4"]),
    ("-m evaluation", ["demo"]),
    ("-m training.ears", ["--speech", "missing"]),
    ("-m training.film", ["nobody"]),
    ("-m benchmarks.first_frame", ["--name", "demo"]),
    ("-m benchmarks.machine", []),
    ("-m benchmarks.peer", ["--name", "demo"]),
    ("-m benchmarks.per_frame", ["--name", "demo"]),
    ("-m benchmarks.photo_bars", ["photo.jpg"]),
    ("-m benchmarks.unseen_voices", ["--name", "demo"]),
    ("-m benchmarks.photo_frame", ["--photo", "photo.jpg"]),
    ("-m benchmarks.training_step", ["--name", "demo"]),
]
_NOT_FOR_SPEAKING = ("torch", "torchvision", "scipy", "PIL", "mediapipe", "onnx", "librosa", "transformers")


def _run(
    program: str, arguments: list[str], folder: Path = REPOSITORY, missing: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    watched = _WATCHED.replace("HEAVY", repr(HEAVY)).replace("MISSING", repr(missing))
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


@pytest.mark.parametrize(("program", "arguments", "looked"), NOT_THERE)
def test_what_is_not_there_is_said_with_where_it_was_looked_for(
    program: str, arguments: list[str], looked: Path, tmp_path: Path
) -> None:
    ran = _run(program, arguments, tmp_path)
    assert str(tmp_path / looked) in ran.stderr, ran.stderr[-500:]
    assert "Traceback" not in ran.stderr and "ENDED 2" in ran.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("program", "arguments"), NEEDS_MORE)
def test_where_only_speaking_is_installed_the_rest_says_what_is_missing(
    program: str, arguments: list[str], tmp_path: Path
) -> None:
    ran = _run(program, arguments, tmp_path, _NOT_FOR_SPEAKING)
    assert "is missing, which speaking alone does not need: run 'bash scripts/setup.sh'" in ran.stderr
    assert "Traceback" not in ran.stderr and "ENDED 2" in ran.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("program", PROGRAMS)
def test_wrong_arguments_are_found_before_anything_heavy_is_imported(program: str) -> None:
    ran = _run(program, PROGRAMS[program])
    assert ran.stdout.rstrip().endswith("ENDED 2 []"), ran.stdout[-500:] + ran.stderr
    assert "error:" in ran.stderr and "Traceback" not in ran.stderr
