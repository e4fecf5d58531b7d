"""Jobs that make avatars, each a folder with its state, its log and, of a photo, the photo.

jobs_dir/NAME/job.json    replaced as a whole with every change, so it survives the server
jobs_dir/NAME/log.txt     what the program said in its last run
jobs_dir/NAME/upload      the photo; a recording moves on to its dataset, and a copy of an avatar has none
"""

from __future__ import annotations

import logging
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from recipe.files import written_aside
from recipe.names import check_name
from services.errors import JobNotFoundError, NameTakenError

logger = logging.getLogger(__name__)

Kind = Literal["photo", "video", "copy"]  # a copy of an avatar, before another background
Preset = Literal["film", "quick", "cpu", "full", "tiny"]
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
OPEN: Final = ("queued", "running")
_STATE: Final = "job.json"


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)


class Job(BaseModel):
    """What somebody asked for, and what became of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Kind
    consent: str = ""
    synthetic: bool = False
    preset: Preset = "film"  # of a recording
    of: str = ""  # what is copied
    background: str = ""  # of a copy: "blur" or "#rrggbb"
    state: State = "queued"
    queued_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None


class JobStore:
    """The folder of jobs."""

    def __init__(self, folder: Path) -> None:
        """Choose it; it is made with the first job."""
        self.folder = folder

    def reserve(self, name: str) -> Path:
        """Make the folder of a job that is new.

        Raises:
            BadNameError: it may not be called that.
            NameTakenError: there is a job of that name.
        """
        folder = self.folder / check_name(name)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # photos are nobody else's
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError as error:
            raise NameTakenError(f"there is a job for an avatar {name!r} already; choose another name") from error
        return folder

    def find(self, name: str) -> Job:
        """The job that makes this avatar.

        Raises:
            BadNameError: nothing may be called that.
            JobNotFoundError: there is none.
        """
        try:
            text = (self.folder / check_name(name) / _STATE).read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise JobNotFoundError(f"no job makes an avatar {name!r}; POST /avatars begins one") from error
        return Job.model_validate_json(text)

    def write(self, job: Job) -> Job:
        """Keep a job's state; returns it."""
        with written_aside(self.folder / job.name / _STATE) as part:
            part.write_text(job.model_dump_json(indent=1), encoding="utf-8")
        return job

    def jobs(self) -> list[Job]:
        """All of them, the one that was queued first at the front; a state that cannot be read is logged."""
        found = []
        for path in self.folder.glob(f"*/{_STATE}"):
            try:
                found.append(Job.model_validate_json(path.read_text(encoding="utf-8")))
            except (OSError, ValidationError) as error:
                logger.error("the job %s cannot be read: %s", path, error)
        return sorted(found, key=lambda job: job.queued_at)

    def remove(self, name: str) -> None:
        """Forget a job, if there is one."""
        folder = self.folder / check_name(name)
        if folder.exists():
            shutil.rmtree(folder)

    def upload(self, name: str) -> Path:
        """Where a photo lies."""
        return self.folder / name / "upload"

    def log(self, name: str) -> Path:
        """Where the program's words go."""
        return self.folder / name / "log.txt"
