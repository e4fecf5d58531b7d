"""The house in numbers, as docs/decisions/0011 tells them: `python scripts/house.py [FOLDER]`.

Pairs of files that import each other across top-level folders, files that import each other in a circle, and lines of
Python by folder. Read from the source by its syntax tree: imports inside functions count, those for types alone too.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent
_PROGRAMS = "programs and scripts"


def sources(home: Path) -> list[Path]:
    """Every Python file of the tree, relative to it; folders that begin with a dot are left out."""
    found = (path.relative_to(home) for path in home.rglob("*.py"))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts))


def room(path: Path) -> str:
    """Where a file counts: its top-level folder, or the programs."""
    return path.parts[0] if len(path.parts) > 1 and path.parts[0] != "scripts" else _PROGRAMS


def imports(home: Path) -> dict[Path, set[Path]]:
    """Which files of the tree each file imports.

    Raises:
        SyntaxError: a file is not Python.
    """
    paths = sources(home)
    modules = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    found = {}
    for path in paths:
        tree = ast.parse((home / path).read_text(encoding="utf-8"), str(path))
        found[path] = {modules[name] for name in _imported(tree) if name in modules} - {path}
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    """Full names, also of what may be a name inside a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def pairs_between(graph: Mapping[Path, set[Path]]) -> Counter[tuple[str, str]]:
    """Pairs of files by (importing folder, imported folder), without tests and without those of one folder."""
    pairs = Counter((room(path), room(other)) for path, others in graph.items() for other in others)
    return Counter({(a, b): count for (a, b), count in pairs.items() if a not in {b, "tests"}})


def circles(graph: Mapping[Path, set[Path]]) -> list[list[Path]]:
    """Files that import each other in a circle, each circle once; breaking one may uncover another."""
    remaining = {path: set(others) for path, others in graph.items()}
    found = []
    while True:
        try:
            TopologicalSorter(remaining).prepare()
        except CycleError as error:
            circle = error.args[1][::-1]
            found.append(circle)
            remaining[circle[0]].discard(circle[1])
            continue
        return found


def lines(home: Path) -> Counter[str]:
    """Lines of Python by folder."""
    found: Counter[str] = Counter()
    for path in sources(home):
        found[room(path)] += len((home / path).read_text(encoding="utf-8").splitlines())
    return found


def report(home: Path) -> str:
    """The three tables as text."""
    graph, counted = imports(home), lines(home)
    tests = counted.pop("tests", 0)
    rows = ["imports between the folders, pairs of files"]
    rows += [f"  {a + ' -> ' + b:<40}{count:>7}" for (a, b), count in sorted(pairs_between(graph).items())]
    found = circles(graph)
    rows += ["", f"circles of files: {len(found)}", *("  " + " -> ".join(map(str, circle)) for circle in found)]
    rows += ["", "lines of Python", *(f"  {name:<40}{count:>7}" for name, count in sorted(counted.items()))]
    rows += [f"  {'without tests':<40}{counted.total():>7}", f"  {'tests':<40}{tests:>7}"]
    return "\n".join(rows) + "\n"


def main() -> int:
    """Exit codes: 0 done, 2 there is no such folder."""
    parser = argparse.ArgumentParser(prog="house.py", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=_HOME, help="a tree; default: the one of this file")
    folder = parser.parse_args().folder
    if not folder.is_dir():
        parser.error(f"{folder} is no folder")
    sys.stdout.write(report(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
