"""Where avatars, datasets, checkpoints, voices and results lie when a path does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_CODE: Final = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The repository, from whichever folder a program is started; the current folder where it was installed."""
    return _CODE if (_CODE / "pyproject.toml").is_file() else Path.cwd()


def at_home(path: str | Path) -> Path:
    """An absolute path; a relative one starts at `home`."""
    return home() / Path(path).expanduser()
