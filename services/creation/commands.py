"""The programs that do jobs: the same that people start by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from recipe.places import home
from services.creation.jobs import Job, JobStore

_OF_PHOTO: Final = "photo_328.py"
_OF_RECORDING: Final = "training_328.sh"
_OF_COPY: Final = "data_prep/background.py"
_BLUR_PX: Final = 12


class Programs:
    """Command lines for jobs."""

    def __init__(
        self, store: JobStore, avatars_dir: Path, dataset_dir: Path, checkpoint_dir: Path, device: str
    ) -> None:
        """Set the folders, and what trains: "cpu" or the index of a GPU."""
        self._store = store
        self._folders = {
            "AVATAR328_AVATARS_DIR": avatars_dir,
            "AVATAR328_DATASET_DIR": dataset_dir,
            "AVATAR328_CHECKPOINT_DIR": checkpoint_dir,
        }
        self._device = device

    def missing(self) -> str:
        """What is not installed; empty: everything is."""
        absent = [name for name in (_OF_PHOTO, _OF_RECORDING, _OF_COPY) if not (home() / name).is_file()]
        return f"{' and '.join(absent)} of the repository are not installed here" if absent else ""

    def __call__(self, job: Job) -> list[str]:
        """The program and its arguments; none of them goes through a shell."""
        folders = [f"{name}={path.absolute()}" for name, path in self._folders.items()]
        unset = [word for name in ("VIDEO", "CONSENT", "SYNTHETIC") for word in ("-u", name)]
        clean = ["env", *unset, *folders]
        if job.kind == "copy":
            behind = f"--blur={_BLUR_PX}" if job.background == "blur" else f"--colour={job.background}"
            there = ["env", f"--chdir={home()}", sys.executable, "-u"]
            where = f"--avatars_dir={self._folders['AVATAR328_AVATARS_DIR'].absolute()}"
            return [*clean, *there, "-m", "data_prep.background", job.of, f"--out={job.name}", behind, where]
        if job.kind == "photo":
            origin = ["--synthetic"] if job.synthetic else [f"--consent={job.consent}"]
            program = [sys.executable, "-u", str(home() / _OF_PHOTO)]
            return [*clean, *program, job.name, str(self._store.upload(job.name)), *origin]
        origin = ["SYNTHETIC=1"] if job.synthetic else [f"CONSENT={job.consent}"]
        chosen = ["PYTHONUNBUFFERED=1", f"PRESET={job.preset}", *origin]
        return [*clean, *chosen, "bash", str(home() / _OF_RECORDING), job.name, self._device]
