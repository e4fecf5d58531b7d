"""What speaking needs is always installed; what else there is may be missing, and then that is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from recipe.errors import UserError


class NotInstalledError(UserError):
    """A package is missing that only some programs need."""


@contextmanager
def missing_packages_are_said(install: str = "bash scripts/setup.sh") -> Iterator[None]:
    """Around imports of packages that may not be installed.

    Args:
        install: the command that installs them.
    Raises:
        NotInstalledError: one is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise NotInstalledError(
            f"the package {error.name} is missing, which speaking alone does not need: run '{install}'"
        ) from error
