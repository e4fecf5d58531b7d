"""The program that counts the house, on a small one, and what must hold of this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.house import circles, imports, report
from tests.conftest import REPOSITORY


@pytest.fixture
def small_house(tmp_path: Path) -> Path:
    files = {
        "recipe/crop.py": "SIDE = 328\n",
        "services/__init__.py": "",
        "services/draw.py": "from recipe.crop import SIDE\nimport numpy\n",
        "services/speak.py": "from recipe import crop\ndef f():\n    from services import hear\n",
        "services/hear.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from services.speak import f\n",
        "scripts/tool.py": "import services.draw\n",
        "tests/test_draw.py": "from services.draw import SIDE\n",
        ".venv/other.py": "import recipe.crop\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_pairs_circles_and_lines_of_a_small_house(small_house: Path) -> None:
    words = [line.split() for line in report(small_house).splitlines()]
    assert ["services", "->", "recipe", "2"] in words
    assert ["programs", "and", "scripts", "->", "services", "1"] in words
    assert not any(line[:2] == ["tests", "->"] for line in words)
    assert "circles of files: 1" in report(small_house)
    ((first, *_, last),) = circles(imports(small_house))
    assert first == last and first.name in {"speak.py", "hear.py"}
    assert ["services", "8"] in words and ["without", "tests", "10"] in words and ["tests", "1"] in words


def test_no_file_of_this_house_imports_itself_by_way_of_others() -> None:
    assert circles(imports(REPOSITORY)) == []
