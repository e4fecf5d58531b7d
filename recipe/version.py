"""Which version of the product this is."""

from __future__ import annotations

import contextlib
import importlib.metadata
import tomllib
from pathlib import Path
from typing import Final

PYPROJECT: Final = Path(__file__).resolve().parent.parent / "pyproject.toml"
PACKAGE: Final = "avatar328"


def product_version() -> str:
    """Of the installed package, or of the checkout that runs from its folder."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(PACKAGE)
    return str(tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]["version"])
