"""How far long work has come: a bar in a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, TextIO, TypeVar

from tqdm import tqdm

T = TypeVar("T")

_LINE_EVERY_S: Final = 10.0


class _Lines:
    """A log keeps every state of the bar as a line of its own, instead of one line that is drawn over."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        line = text.strip()
        if line:
            self._stream.write(line + "\n")

    def flush(self) -> None:
        self._stream.flush()


def progress(items: Iterable[T] | None = None, **options: Any) -> tqdm[T]:
    """A `tqdm` bar on standard error.

    Args:
        items: what is counted while it is iterated; None where `update` counts.
        options: of `tqdm`; `total` is worth giving, because it brings the time that is left.
    """
    look: dict[str, Any] = {"dynamic_ncols": True, "mininterval": 0.2}
    if not sys.stderr.isatty():
        look = {"file": _Lines(sys.stderr), "mininterval": _LINE_EVERY_S, "maxinterval": _LINE_EVERY_S, "ncols": 100}
    return tqdm(items, **look, **options)  # type: ignore[return-value]  # of nothing, where nothing is given
