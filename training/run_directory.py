"""What a training run leaves behind: checkpoints, metrics.csv, TensorBoard events, preview grids.

Everything can be cut off at any moment: checkpoints and pictures are renamed into place, and a resumed run drops
the rows of metrics.csv that lie beyond its checkpoint and will be measured again. Whoever writes here holds the folder
with `recipe.locks.only_writer`.
"""

from __future__ import annotations

import csv
import json
import logging
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tensorboardX import SummaryWriter

from models.checkpoint import load_checkpoint, save_checkpoint
from recipe.files import written_aside
from training.identity import differences

log = logging.getLogger(__name__)


class RunDirectory:
    """checkpoint/NAME/STAGE of one run; only the main process of a data-parallel run has one."""

    def __init__(self, folder: Path, columns: list[str]) -> None:
        self.folder = folder
        self.columns = ["step", *columns]
        self._events: SummaryWriter | None = None

    @property
    def last(self) -> Path:
        return self.folder / "last.pt"

    @property
    def best(self) -> Path:
        return self.folder / "best.pt"

    def resume(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Read last.pt if it continues the same run.

        Args:
            identity: what must be equal for a run to be the same one, see training.identity.
        Returns:
            The checkpoint, or None for a new run. Another run's files are moved aside, never overwritten.
        """
        found = load_checkpoint(self.last) if self.last.exists() else None
        if found is not None and found["identity"] != identity:
            aside = self._move_aside()
            log.warning(
                "%s is of another run (%s): moved to %s", self.last, differences(found["identity"], identity), aside
            )
            found = None
        self._trim_metrics(found["step"] if found else -1)
        return found

    def peek(self, identity: dict[str, Any]) -> dict[str, Any] | None:
        """Like `resume`, for the other processes of a data-parallel run: reads, touches nothing."""
        found = load_checkpoint(self.last) if self.last.exists() else None
        return found if found is not None and found["identity"] == identity else None

    def save_last(self, content: dict[str, Any]) -> None:
        save_checkpoint(self.last, content)

    def save_best(self, content: dict[str, Any]) -> None:
        save_checkpoint(self.best, content)

    def add_metrics(self, step: int, values: dict[str, float]) -> None:
        """Append one row to metrics.csv and to the TensorBoard events."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "metrics.csv"
        is_new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            if is_new:
                writer.writeheader()
            writer.writerow({"step": step, **{k: f"{v:.6g}" for k, v in values.items()}})
        if self._events is None:
            self._events = SummaryWriter(str(self.folder / "events"))
        for key, value in values.items():
            self._events.add_scalar(key, value, step)
        self._events.flush()

    def save_picture(self, name: str, picture_rgb_HWC: NDArray[np.uint8]) -> None:
        with written_aside(self.folder / name) as part:
            cv2.imwrite(str(part), cv2.cvtColor(picture_rgb_HWC, cv2.COLOR_RGB2BGR))

    def save_options(self, options: dict[str, Any]) -> None:
        """Write what defines the run beside it, for a person to read."""
        with written_aside(self.folder / "options.json") as part:
            part.write_text(json.dumps(options, indent=2, sort_keys=True) + "\n")

    def close(self) -> None:
        if self._events is not None:
            self._events.close()

    def _move_aside(self) -> Path:
        number = 1
        while (aside := self.folder.with_name(f"{self.folder.name}.old{number}")).exists():
            number += 1
        aside.mkdir()
        for path in sorted(self.folder.iterdir(), key=lambda path: path == self.last):  # last, or a kill would hide it
            path.rename(aside / path.name)
        return aside

    def _trim_metrics(self, last_step: int) -> None:
        path = self.folder / "metrics.csv"
        if not path.exists():
            return
        with path.open(newline="") as file:
            rows = [row for row in csv.DictReader(file) if int(row["step"]) <= last_step]
        with written_aside(path) as part, part.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
