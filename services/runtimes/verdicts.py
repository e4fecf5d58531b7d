"""What was found out about a network on a processor, kept on disk, so that the next start need not find it out again.

    cache/runtimes/1f0c...-9a3b....json: {"network": ..., "processor": ..., "versions": ..., "measured_ms": ..., ...}

A verdict holds for one network, by its hash, on one processor with one version of everything that computes. Delete the
file to have it measured again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from recipe.files import sha256, written_aside
from recipe.int8_calibration import calibration_path
from services.runtimes.processor import this_processor

logger = logging.getLogger(__name__)

_KEPT: Final = 256  # files; those written first go first


@dataclass(frozen=True, slots=True)
class Verdict:
    """Which runtime computes a network."""

    runtime: str
    measured_ms: Mapping[str, float]  # processor time of a run, by runtime
    psnr_db: float | None = None  # of int8 against float32 on frames of the avatar; None if it was not compared


class Verdicts:
    """Verdicts of this processor in a folder; without a folder nothing is remembered."""

    def __init__(self, folder: Path | None, computing: Mapping[str, str]) -> None:
        """Remember the place.

        Args:
            folder: made when the first verdict is kept.
            computing: what else the verdicts depend on: versions, threads.
        """
        self._folder = folder
        self._conditions = {"processor": str(this_processor()), **computing}

    def find(self, network: Path, runtimes: Iterable[str]) -> Verdict | None:
        """What is known of a network; None if nothing is, or the file cannot be read.

        Args:
            network: its file.
            runtimes: that would be compared now; a verdict on others is another one.
        """
        if self._folder is None:
            return None
        path = self._path(self._folder, network, runtimes)
        try:
            document = json.loads(path.read_text(encoding="utf-8"))["verdict"]
            measured_ms = {str(name): float(ms) for name, ms in document["measured_ms"].items()}
            psnr_db = None if document["psnr_db"] is None else float(document["psnr_db"])
            verdict = Verdict(str(document["runtime"]), measured_ms, psnr_db)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s cannot be read (%s): it is measured again", path, error)
            return None
        return verdict if verdict.runtime in set(runtimes) == verdict.measured_ms.keys() else None

    def keep(self, network: Path, verdict: Verdict) -> None:
        """Write a verdict; where the folder cannot be written, that is said and the next start measures again."""
        if self._folder is None:
            return
        path = self._path(self._folder, network, verdict.measured_ms)
        document: dict[str, Any] = {"network": str(network), **self._conditions, "verdict": asdict(verdict)}
        try:
            with written_aside(path) as part:
                part.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            for old in sorted(self._folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)[:-_KEPT]:
                old.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("what was measured cannot be kept (%s): the next start measures again", error)

    def _path(self, folder: Path, network: Path, runtimes: Iterable[str]) -> Path:
        conditions = json.dumps([self._conditions, sorted(runtimes)], sort_keys=True)
        bounds = calibration_path(network)
        files = sha256(network) + (sha256(bounds) if bounds.exists() else "")
        return folder / f"{_short(files)}-{_short(conditions)}.json"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
