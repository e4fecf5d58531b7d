"""scripts/setup.sh asks uv for the right packages for every use and machine."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY

LOCK: dict[str, Any] = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))


class Setup:
    """scripts/setup.sh in a folder of its own, with a uv that only notes what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "asked"
        (folder / "scripts").mkdir()
        shutil.copy(REPOSITORY / "scripts" / "setup.sh", folder / "scripts")
        shutil.copy(REPOSITORY / "uv.lock", folder)
        programs = folder / "bin"
        programs.mkdir()
        uv = f"""
            [[ $1 == --version ]] && echo "uv 99.0.0" && exit
            echo "$*" >> {self.log}
            [[ "$*" == *--check* ]] && exit 1
            [[ $1 != pip || -n "${{REACHABLE:-}}" ]]"""
        for name, program in {"uv": uv, "flite": "", "python3": f'exec {sys.executable} "$@"'}.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{program}\n")
            (programs / name).chmod(0o755)

    def torch_is_there(self, version: str) -> None:
        for name in ("torch", "torchvision"):
            locked = next(package["version"] for package in LOCK["package"] if package["name"] == name)
            (self.folder / ".venv/lib/python3.11/site-packages" / f"{name}-{locked}{version}.dist-info").mkdir(
                parents=True
            )

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.folder / "scripts" / "setup.sh"), *arguments],
            env={"PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "HOME": str(self.folder), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def asked(self, *arguments: str, **environment: str) -> list[str]:
        """What uv was asked to do, without the looks at what is there."""
        ran = self.run(*arguments, **environment)
        assert ran.returncode == 0, ran.stderr
        return [line for line in self.log.read_text().splitlines() if "--check" not in line]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    if sys.version_info >= (3, 13):
        pytest.skip("the full set-up is for Python 3.11 and 3.12")
    return Setup(tmp_path)


def _extras(asked: str) -> list[str]:
    return re.findall(r"--extra (\S+)", asked)


def _skipped(asked: str) -> set[str]:
    return set(re.findall(r"--no-install-package (\S+)", asked))


def test_setup_for_serving(setup: Setup) -> None:
    (asked,) = setup.asked("--serve", AVATAR328_GPU="0")
    assert asked.startswith("sync --frozen --inexact --no-install-project")
    assert _extras(asked) == ["serve"]
    assert "--no-dev" in asked
    assert _skipped(asked) == set()


def test_setup_for_serving_on_a_gpu(setup: Setup) -> None:
    (asked,) = setup.asked("--serve", AVATAR328_GPU="1")
    assert _extras(asked) == ["serve", "serve-gpu"]


def test_what_is_started_by_its_module_is_found_from_every_folder(setup: Setup, tmp_path: Path) -> None:
    """`python -m evaluation` from elsewhere ended with "No module named evaluation"."""
    (setup.folder / "only_there").mkdir()  # a name that the environment of these tests does not lead to as well
    (setup.folder / "only_there" / "__main__.py").write_text("print('found')")
    packages = setup.folder / ".venv/lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    setup.asked("--serve")
    program = "import runpy, site, sys; site.addsitedir(sys.argv[1]); runpy.run_module('only_there')"
    command = [sys.executable, "-c", program, str(packages)]
    assert subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout == "found\n"


@pytest.mark.parametrize("built_for_cpu", [True, False])
def test_setup_for_serving_keeps_a_full_environment_whole(setup: Setup, built_for_cpu: bool) -> None:
    """Renewing half of it would leave packages that do not fit each other; and its torch stays what it is."""
    setup.torch_is_there("+cpu" if built_for_cpu else "")
    (asked,) = setup.asked("--serve", AVATAR328_GPU="0")
    assert _extras(asked) == ["train"]
    assert "--no-dev" not in asked
    assert ("torch" in _skipped(asked)) is built_for_cpu
    assert "triton" in _skipped(asked)


def test_setup_of_everything_on_a_gpu(setup: Setup) -> None:
    (asked,) = setup.asked(AVATAR328_GPU="1", AVATAR328_EXTRAS="lab")
    assert _extras(asked) == ["train", "serve-gpu", "lab"]
    assert _skipped(asked) == set()


def test_setup_of_everything_without_a_gpu_takes_pytorchs_cpu_builds(setup: Setup) -> None:
    synced, looked, installed = setup.asked(AVATAR328_GPU="0", REACHABLE="1")
    assert _extras(synced) == ["train"]
    assert {"torch", "torchvision", "triton", "nvidia-cudnn-cu13", "cuda-toolkit"} <= _skipped(synced)
    locked = [f"{package['name']}=={package['version']}" for package in LOCK["package"]]
    assert "--torch-backend cpu" in installed
    assert all(pin in locked for pin in installed.split()[-2:])
    assert looked == f"{installed} --quiet --dry-run"


def test_setup_of_everything_without_a_gpu_falls_back_to_the_lock_and_says_so(setup: Setup) -> None:
    ran = setup.run(AVATAR328_GPU="0")
    assert "out of reach: installing the locked torch" in ran.stdout
    _, looked, synced = setup.log.read_text().splitlines()
    assert looked.endswith("--dry-run")
    assert _extras(synced) == ["train"]
    assert _skipped(synced) == {"triton"}


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["--all"], {}, "unknown argument --all"),
        ([], {"AVATAR328_GPU": "yes"}, "AVATAR328_GPU=yes is unknown"),
        ([], {"AVATAR328_PYTHON": "/no/python"}, "AVATAR328_PYTHON=/no/python"),
    ],
)
def test_setup_refuses_what_it_does_not_know(
    setup: Setup, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    ran = setup.run(*arguments, **environment)
    assert ran.returncode == 1
    assert said in ran.stderr
    assert not setup.log.exists()
