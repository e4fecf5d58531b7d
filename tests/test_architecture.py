"""The import directions of the house, read from the source, so that a wrong import fails before it is ever run.

entry points -> services | training | evaluation | presenter -> models, data_prep -> recipe

Training and serving never import each other: what they must agree on lies on the ground floor, `recipe`. Preparation is
offline: serving imports nothing of it. Only training (and the entry points that train) may import models: serving runs
without torch.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# What each package may import besides itself. evaluation judges what services draw, as users get to see it.
ALLOWED = {
    "recipe": set(),
    "models": {"recipe"},
    "data_prep": {"recipe"},
    "services": {"recipe"},
    "training": {"recipe", "models", "data_prep"},
    # the laboratory: measures and makes, not needed to use the product
    "evaluation": {"recipe", "data_prep", "services"},
    "presenter": {"recipe", "data_prep"},
    # thin adapters of the live session for other systems, each with an extra of its own
    "integrations": {"recipe", "services"},
}
ENTRY_POINTS = {"api", "config", "train_328", "inference_328", "photo_328", "demo_gradio"}
TRAINS = {"train_328"}
TORCH_FREE = ("recipe", "services", "data_prep", "evaluation")
# A call of one of these names at the top level of a module would read, load or start something on import.
LOADING_CALLS = {
    "CDLL", "InferenceSession", "Popen", "connect", "download", "from_pretrained", "getenv", "imread", "load",
    "load_library", "memmap", "open", "read_bytes", "read_text", "run", "urlopen",
}  # fmt: skip


def _sources(package: str) -> list[Path]:
    return sorted((REPOSITORY / package).rglob("*.py"))


def _entry_points() -> list[Path]:
    return sorted(REPOSITORY.glob("*.py"))


def _everything() -> list[Path]:
    return [path for package in ALLOWED for path in _sources(package)] + _entry_points()


def _name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def _imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full name of every module that is imported anywhere in the tree, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import; say the whole name"
            yield node.lineno, node.module or ""


def _forbidden(path: Path, forbidden: set[str]) -> list[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [f"{_name(path)}:{line} imports {name}" for line, name in _imports(tree) if name.split(".")[0] in forbidden]


def _top_level_calls(tree: ast.Module) -> Iterator[tuple[ast.stmt, ast.Call]]:
    """Calls that run when the module is imported: not those in functions, lambdas or under the main guard."""

    def running(node: ast.AST) -> Iterator[ast.Call]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        if isinstance(node, ast.Call):
            yield node
        for child in ast.iter_child_nodes(node):
            yield from running(child)

    for statement in tree.body:
        is_main_guard = isinstance(statement, ast.If) and "__main__" in ast.dump(statement.test)
        if not is_main_guard:
            for call in running(statement):
                yield statement, call


def _called_name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def test_the_sources_are_found() -> None:
    assert [package for package in ALLOWED if len(_sources(package)) < 2] == []
    assert {path.stem for path in _entry_points()} <= ENTRY_POINTS


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_packages_import_downwards_only(package: str) -> None:
    forbidden = (set(ALLOWED) | ENTRY_POINTS) - ALLOWED[package] - {package, "config"}
    found = [line for path in _sources(package) for line in _forbidden(path, forbidden)]
    assert found == []


def test_no_cycle_between_packages() -> None:
    order: list[str] = []
    remaining = {name: set(below) for name, below in ALLOWED.items()}
    while remaining:
        free = sorted(name for name, below in remaining.items() if below <= set(order))
        assert free, f"the allowed imports of {sorted(remaining)} go round in a circle"
        order += free
        remaining = {name: below for name, below in remaining.items() if name not in free}
    assert order[0] == "recipe"


def _read_settings(path: Path) -> list[str]:
    """Imports of `config` that would read the environment: everything but its classes, which only say what there is."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import) and any(alias.name == "config" for alias in node.names):
            found.append(f"{_name(path)}:{node.lineno} imports config")
        elif isinstance(node, ast.ImportFrom) and node.module == "config":
            found += [f"{_name(path)}:{node.lineno} imports {a.name}" for a in node.names if not a.name[0].isupper()]
    return found


def test_only_entry_points_read_the_configuration() -> None:
    """Everything else is handed sections or values. What serves and prepares does not look at the environment either.

    The classes of the sections are known where services are put together and where routes tell of them, nowhere else.
    """
    inner = [path for package in ALLOWED for path in _sources(package)]
    found = [line for path in inner for line in _read_settings(path)]
    know = {
        "services/container.py",
        "services/http/app.py",
        "services/http/dependencies.py",
        "services/speech/engines.py",
        *(_name(p) for p in inner if p.stem in {"__main__", "commands", "run"}),
    }
    found += [line for path in inner if _name(path) not in know for line in _forbidden(path, {"config"})]
    for path in (path for package in ("recipe", "models", "data_prep", "services") for path in _sources(package)):
        found += [
            f"{_name(path)}:{node.lineno} reads the environment"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        ]
    assert found == []


def test_entry_points_do_not_import_each_other() -> None:
    found = [line for path in _entry_points() for line in _forbidden(path, ENTRY_POINTS - {"config", path.stem})]
    assert found == []


def test_serving_source_is_free_of_torch() -> None:
    paths = [path for package in TORCH_FREE for path in _sources(package)]
    paths += [path for path in _entry_points() if path.stem not in TRAINS]
    found = [line for path in paths for line in _forbidden(path, {"torch", "torchvision", "transformers", "models"})]
    assert found == []


@pytest.mark.slow
def test_serving_process_never_loads_torch() -> None:
    """Whatever is imported on the way, too: import all that serving needs in a new process and look."""
    modules = [_name(path)[:-3].replace("/", ".") for path in _sources("services") if not path.name.startswith("__")]
    program = f"""
import importlib, sys
for module in {["inference_328", "api", *modules]!r}:
    importlib.import_module(module)
heavy = ("torch", "torchvision", "transformers", "mediapipe", "librosa", "scipy")
print(sorted(name for name in heavy if name in sys.modules))
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"


def test_nothing_is_loaded_at_import() -> None:
    found = []
    for path in _everything():
        for statement, call in _top_level_calls(ast.parse(path.read_text(encoding="utf-8"))):
            bare = isinstance(statement, ast.Expr)
            if bare or _called_name(call) in LOADING_CALLS:
                found.append(f"{_name(path)}:{call.lineno} calls {ast.unparse(call.func)}()")
    assert found == []


def test_no_pickle() -> None:
    """Artefacts must be safe to open: an avatar may come from somebody else."""
    found = [line for path in _everything() for line in _forbidden(path, {"pickle", "dill", "joblib", "shelve"})]
    for path in _everything():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and isinstance(node.value, ast.Constant):
                unsafe = (node.arg, node.value.value) in {("allow_pickle", True), ("weights_only", False)}
                if unsafe:
                    found.append(f"{_name(path)}:{node.value.lineno} {node.arg}={node.value.value}")
    assert found == []


@pytest.mark.parametrize(
    ("source", "calls"),
    [
        ("import numpy as np\nx = np.load('a')", ["load"]),
        ("def f():\n    return open('a')\nx = lambda: open('a')", []),
        ("class A:\n    x = open('a')", ["open"]),
        ("if __name__ == '__main__':\n    main()", []),
        ("if True:\n    main()", ["main"]),
    ],
)
def test_the_reader_of_top_level_calls(source: str, calls: list[str]) -> None:
    assert [_called_name(call) for _, call in _top_level_calls(ast.parse(source))] == calls
