"""What must hold for the repository as a whole: installed packages, committed files, documents that do not lie."""

from __future__ import annotations

import ast
import itertools
import re
import shutil
import subprocess
import tomllib
import urllib.parse
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

LARGEST_FILE_BYTES = 25 * 1000 * 1000
DOCUMENTS = sorted([*REPOSITORY.glob("[!.]*.md"), *(REPOSITORY / "docs").rglob("*.md")])
DIAGRAMS = sorted((REPOSITORY / "docs" / "diagrams").glob("*.puml"))
SHELL_SCRIPTS = sorted(
    [*REPOSITORY.glob("*.sh"), *REPOSITORY.glob("scripts/*.sh"), *REPOSITORY.glob("docs/diagrams/*.sh")]
)
# How a document's command names the source file(s) that read its options.
COMMAND_SOURCES = {
    r"inference_328\.py": ["inference_328.py"],
    r"train_328\.py": ["train_328.py"],
    r"-m data_prep(?!\.)": ["data_prep/__main__.py"],
    r"-m data_prep\.background": ["data_prep/background.py"],
    r"-m services\.avatars": ["services/avatars/__main__.py"],
    r"-m services\.speech": ["services/speech/__main__.py"],
    r"-m services\.live\.publish": ["services/live/publish/__main__.py"],
    r"examples/livekit_avatar\.py": ["examples/livekit_avatar.py"],
    r"examples/pipecat_avatar\.py": ["examples/pipecat_avatar.py"],
}
ENVIRONMENT_OF_TRAINING = re.compile(r"\b([A-Z][A-Z_]{2,})=\S+.*\bbash training_328\.sh")


DEMOS = ("avatars/demo/", "avatars/demo-man/", "avatars/demo-unet/")


def _installed(word: str) -> list[str]:
    """Names of the installed distributions that contain the word."""
    names = {str(distribution.metadata["Name"]).lower() for distribution in metadata.distributions()}
    return sorted(name for name in names if word in name)


def _repository_files() -> list[Path]:
    """Everything that is committed or would be by `git add --all`."""
    if shutil.which("git") is None or not (REPOSITORY / ".git").exists():
        pytest.skip("this is not a git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [path for name in listed.split("\0") if name and (path := REPOSITORY / name).is_file()]


def _commands(document: Path) -> list[str]:
    """Lines of the fenced blocks, continued lines joined."""
    text = document.read_text(encoding="utf-8")
    blocks = re.findall(r"```(?:bash|sh|console)?\n(.*?)```", text, flags=re.DOTALL)
    inline = re.findall(r"`([^`\n]*(?:\.py|-m \w+|\.sh)[^`\n]*)`", text)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines()] + inline


def _constants(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


# --- packages -------------------------------------------------------------------------------------
def test_exactly_one_onnxruntime_is_installed() -> None:
    """Two of them share one folder, and the CPU build wins silently."""
    assert _installed("onnxruntime") == ["onnxruntime-gpu"]
    import onnxruntime

    assert onnxruntime.__version__ == metadata.version("onnxruntime-gpu")


def test_exactly_one_opencv_is_installed() -> None:
    assert _installed("opencv") == ["opencv-python"]
    assert metadata.version("opencv-python").startswith("4.")


def test_the_overridden_packages_stayed_away() -> None:
    assert [name for word in ("jax", "sentencepiece", "sounddevice") for name in _installed(word)] == []


def test_every_dependency_is_pinned_in_the_lock() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    lock = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]
    listed = [*itertools.chain(*extras.values(), *groups.values())]
    wanted = {re.split(r"[\[<>=; ]", entry)[0].lower() for entry in listed}
    assert wanted - {package["name"] for package in lock["package"]} == set()


# --- files ----------------------------------------------------------------------------------------
def test_no_large_file_is_in_the_repository() -> None:
    large = [path for path in _repository_files() if path.stat().st_size > LARGEST_FILE_BYTES]
    assert large == [], "larger than 25 MB: such a file belongs into a release, not into the history"


def test_no_person_is_in_the_repository() -> None:
    """Recordings, data sets and trained avatars of people stay out; the synthetic presenter may be in."""
    allowed = {"tests/data/presenter.mp4", "models/ears.onnx"}  # the ears heard people: NOTICE says whom
    pictures = {".mp4", ".mov", ".mkv", ".webm", ".avi", ".npy", ".pt", ".jpg", ".jpeg", ".png", ".onnx"}
    names = {str(path.relative_to(REPOSITORY)) for path in _repository_files() if path.suffix.lower() in pictures}
    outside = {
        name
        for name in names - allowed
        if not name.startswith(
            ("avatars/demo/", "avatars/demo-man/", "avatars/demo-unet/", "docs/", "static/", "tests/data/")
        )
    }
    assert outside == set()


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shell_scripts_parse_and_stop_at_errors(script: Path) -> None:
    parsed = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert parsed.stderr == ""
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")


def test_licence_texts() -> None:
    licence = (REPOSITORY / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    for name in ("NOTICE", "README.md", "LICENSE"):
        text = (REPOSITORY / name).read_text(encoding="utf-8")
        assert "piper-tts" in text, name
        assert "GPL-3.0-or-later" in text, name


# --- training_328.sh ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {}, "usage:"),
        (["somebody"], {}, "usage:"),
        (["somebody", "gpu0"], {}, "usage:"),
        (["--help", "0"], {}, "usage:"),
        (["", "cpu"], {}, "usage:"),
        (["somebody", "cpu"], {"PRESET": "best"}, "PRESET=best"),
        (["somebody", "cpu"], {"VIDEO": "/no/such.mp4"}, "/no/such.mp4"),
        (["somebody", "cpu"], {"SYNTHETIC": "yes"}, "SYNTHETIC=yes"),
        (["somebody", "cpu"], {"SYNTHETIC": "1", "CONSENT": "Ada, 2026-11-20, all"}, "exclude each other"),
    ],
)
def test_training_script_refuses_wrong_calls(arguments: list[str], environment: dict[str, str], said: str) -> None:
    ran = subprocess.run(
        ["bash", "training_328.sh", *arguments],
        cwd=REPOSITORY,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 2
    assert said in ran.stderr
    assert ran.stdout == ""


# --- documents ------------------------------------------------------------------------------------
@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda path: path.stem)
def test_diagram_is_rendered_from_its_source(diagram: Path) -> None:
    """PlantUML keeps the source inside the SVG: it must be the source beside it."""
    rendered = diagram.with_suffix(".svg")
    assert rendered.is_file(), f"run docs/diagrams/render.sh: {rendered.name} is missing"
    picture = rendered.read_text(encoding="utf-8")
    found = re.search(r"@startuml.*@enduml", picture, flags=re.DOTALL)
    assert found, f"{rendered.name} does not carry its source"
    embedded = found.group().replace("- -", "--")  # XML comments may not hold two dashes in a row
    assert embedded.split() == diagram.read_text(encoding="utf-8").split(), "run docs/diagrams/render.sh"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", text)
    local = [urllib.parse.unquote(target) for target in targets if "://" not in target and "mailto:" not in target]
    assert [target for target in local if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_options_in_documents_exist(document: Path) -> None:
    missing = []
    for command in _commands(document):
        for pattern, sources in COMMAND_SOURCES.items():
            after = re.split(pattern, command, maxsplit=1)
            if len(after) == 2:
                known = set().union(*(_constants(REPOSITORY / source) for source in sources))
                options = re.findall(r"(?<!\S)--[a-z][\w-]*", after[1])
                missing += [f"{option} in: {command}" for option in options if option not in known]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_of_the_training_script_exist(document: Path) -> None:
    script = (REPOSITORY / "training_328.sh").read_text(encoding="utf-8")
    used = {
        name
        for command in _commands(document)
        if (found := ENVIRONMENT_OF_TRAINING.search(command))
        for name in re.findall(r"\b([A-Z][A-Z_]{2,})=", found.group())
    }
    assert [name for name in sorted(used) if f"${{{name}:-" not in script] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_in_documents_exist(document: Path) -> None:
    """A path in backticks that begins with one of the repository's folders names something that is there."""
    folders = "recipe|data_prep|models|training|services|evaluation|presenter|scripts|docs|tests|benchmarks|static"
    named = re.findall(rf"`((?:{folders})/[\w./-]+\.\w+)`", document.read_text(encoding="utf-8"))
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
