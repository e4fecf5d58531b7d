"""Tables on the terminal and the same numbers as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.runtimes.processor import this_processor

Cell = str | float


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the notes stand below and say what the numbers mean."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """What is written as JSON."""
        values = [dict(zip(self.columns, row, strict=True)) for row in self.rows]
        return {"title": self.title, "rows": values, "notes": list(self.notes)}

    def text(self) -> str:
        """The rows aligned."""
        cells = [list(self.columns)] + [
            [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in self.rows
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(self.columns))]
        left = [all(isinstance(row[i], str) for row in self.rows) for i in range(len(self.columns))]
        lines = [
            "  ".join(c.ljust(w) if at_left else c.rjust(w) for at_left, c, w in zip(left, row, widths, strict=True))
            for row in cells
        ]
        lines.insert(1, "  ".join("-" * w for w in widths))
        return "\n".join([*(line.rstrip() for line in lines), *self.notes]) + "\n"

    def markdown(self) -> str:
        """The rows as Markdown."""
        cells = [list(self.columns), ["---"] * len(self.columns)]
        cells += [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in self.rows]
        lines = [f"| {' | '.join(row)} |" for row in cells]
        return "\n".join([*lines, *(f"\n{note}" for note in self.notes)]) + "\n"


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[Cell]], out: Path | None) -> None:
    """Print one table; write it as JSON if a path is given."""
    machine = _machine()
    table = Table(title, columns, rows)
    sys.stdout.write(f"{title} ({machine})\n{table.text()}")
    document = table.document()
    _write({"title": title, "machine": machine, "rows": document["rows"]}, out)


def report_all(tables: Sequence[Table], out: Path | None) -> None:
    """Print several tables; write them into one JSON file if a path is given."""
    machine = _machine()
    for number, table in enumerate(tables):
        heading = f"{table.title} ({machine})" if number == 0 else f"\n{table.title}"
        sys.stdout.write(f"{heading}\n{table.text()}")
    _write({"machine": machine, "tables": [table.document() for table in tables]}, out)


def _machine() -> str:
    return f"{this_processor()}, load {os.getloadavg()[0]:.1f}"


def _write(document: dict[str, Any], out: Path | None) -> None:
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
