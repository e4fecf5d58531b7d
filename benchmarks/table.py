"""A table on the terminal and the same numbers as JSON."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path


def report(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | float]], out: Path | None) -> None:
    """Print the rows aligned; write them as JSON if a path is given."""
    cells = [list(columns)] + [[f"{c:.2f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    lines = [
        "  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in cells
    ]
    lines.insert(1, "  ".join("-" * w for w in widths))
    machine = f"{os.cpu_count()} cores, {platform.machine()}, load {os.getloadavg()[0]:.1f}"
    sys.stdout.write(f"{title} ({machine})\n" + "\n".join(lines) + "\n")
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        values = [dict(zip(columns, row, strict=True)) for row in rows]
        out.write_text(json.dumps({"title": title, "machine": machine, "rows": values}, indent=2) + "\n")
