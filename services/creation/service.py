"""Who may begin, resume and remove an avatar, and with what; the work is the workshop's."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from recipe.avatar_format import MANIFEST_FILE, read_manifest
from recipe.consent import parse_consent
from recipe.errors import ConsentFormatError
from recipe.locks import only_writer
from recipe.media import open_media, picture_stream, sound_stream
from recipe.names import check_name
from services.creation.jobs import OPEN, Job, JobStore, Kind, Preset, now
from services.creation.workshop import Workshop
from services.errors import AvatarNotFoundError, CreationOffError, JobNotFoundError, JobStateError, NameTakenError

logger = logging.getLogger(__name__)

REPORT: Final = "report.html"
_PREVIEWS: Final = "unet/preview_*.jpg"  # with their step, in digits of one length


@dataclass(frozen=True, slots=True)
class Wish:
    """What comes with a photo or a recording."""

    name: str
    consent: str = ""  # "who, YYYY-MM-DD, scope"
    synthetic: bool = False
    preset: Preset = "film"


@dataclass(frozen=True, slots=True)
class Folders:
    """Where what makes up an avatar lies."""

    avatars: Path
    datasets: Path
    checkpoints: Path


class Creation:
    """Makes and removes avatars; safe to use from several threads."""

    def __init__(
        self, workshop: Workshop, folders: Folders, off: str, default_avatar: str, forget: Callable[[], None]
    ) -> None:
        """Take over what it works with.

        Args:
            workshop: does the jobs.
            folders: of avatars, datasets and checkpoints.
            off: why this server makes no avatars; empty: it does.
            default_avatar: is not removed, because the server speaks with it.
            forget: drops kept answers.
        """
        self.workshop, self.off = workshop, off
        self._folders, self._default, self._forget = folders, default_avatar, forget

    @property
    def _store(self) -> JobStore:
        return self.workshop.store

    def start(self) -> None:
        """With the server: go on with what is queued, if there ever was a job."""
        if self.off or not self._store.folder.is_dir():
            return
        try:
            self.workshop.start()
        except CreationOffError as error:
            logger.warning("no avatars are made: %s", error)

    def check_on(self) -> None:
        """Look whether avatars are made here.

        Raises:
            CreationOffError: they are not.
        """
        if self.off:
            raise CreationOffError(self.off)

    def begin(self, wish: Wish, kind: Kind, file: BinaryIO) -> Job:
        """Queue a new avatar.

        Args:
            wish: its name and who agreed.
            kind: of the file.
            file: the photo or recording, read at once.
        Raises:
            BadNameError, NameTakenError: it cannot be called that.
            ConsentFormatError: it is not said who agreed, when, and to what.
            NotAVideoError, NoAudioError: the recording is none.
            BusyError, CreationOffError: see `Workshop.submit`.
        """
        self.check_on()
        check_name(wish.name)
        _check_origin(wish)
        self.workshop.start()
        self.workshop.check_room(kind)
        self._make_way(wish.name)
        self._store.reserve(wish.name)
        try:
            upload = self._store.upload(wish.name)
            with upload.open("xb") as copy:
                shutil.copyfileobj(file, copy)
            if kind == "video":
                self._to_dataset(wish.name, upload)
            job = Job(
                name=wish.name,
                kind=kind,
                consent="" if wish.synthetic else wish.consent.strip(),
                synthetic=wish.synthetic,
                preset=wish.preset,
                queued_at=now(),
            )
            return self.workshop.submit(job)
        except BaseException:
            self._store.remove(wish.name)
            raise

    def copy(self, name: str, of: str, background: str) -> Job:
        """Queue a copy of an avatar before another background.

        Args:
            name: of the copy.
            of: the avatar; consent and licence are copied with it.
            background: "blur" or a colour as "#rrggbb".
        Raises:
            BadNameError, NameTakenError: it cannot be called that.
            AvatarNotFoundError: there is no such avatar.
            JobStateError: its picture is drawn by a network that knows its own background only.
            BusyError, CreationOffError: see `Workshop.submit`.
        """
        self.check_on()
        check_name(name)
        if not self.speaks(of):
            raise AvatarNotFoundError(f"there is no avatar {of!r}")
        if read_manifest(self._folders.avatars / of).kind == "video":
            raise JobStateError(f"a network draws {of!r} with its own background; only films and photos take another")
        self.workshop.start()
        self.workshop.check_room("copy")
        self._make_way(name)
        self._store.reserve(name)
        try:
            return self.workshop.submit(Job(name=name, kind="copy", of=of, background=background, queued_at=now()))
        except BaseException:
            self._store.remove(name)
            raise

    def resume(self, name: str) -> Job:
        """Queue a job again that did not come to its end, as it was asked for at first.

        Raises:
            JobNotFoundError: there is none.
            JobStateError: it is queued, running or done.
            BusyError, CreationOffError: see `Workshop.submit`.
        """
        self.check_on()
        job = self._store.find(name)
        if job.state in (*OPEN, "done"):
            raise JobStateError(f"the job for {name!r} is {job.state}: there is nothing to resume")
        return self.workshop.submit(job)

    def report(self, name: str) -> Path | None:
        """What preparation found out about a recording, as a page, once it is there."""
        path = self._folders.datasets / check_name(name) / REPORT
        return path if path.is_file() else None

    def preview(self, name: str) -> Path | None:
        """The newest picture of what the face network draws of frames that it never learnt from, once there is one."""
        return max((self._folders.checkpoints / check_name(name)).glob(_PREVIEWS), default=None)

    def speaks(self, name: str) -> bool:
        """Whether its avatar can be used: it can while its face network is still trained."""
        return (self._folders.avatars / check_name(name) / MANIFEST_FILE).is_file()

    def remove(self, name: str) -> None:
        """Remove an avatar, its dataset, checkpoint, job, and all kept answers.

        Raises:
            AvatarNotFoundError: there is nothing of that name.
            JobStateError: it is being made, or it is the default avatar.
            InUseError: a program writes it; the message says which.
        """
        self.check_on()
        job = self._job(check_name(name))
        if job is not None and job.state in OPEN:
            raise JobStateError(f"{name!r} is being made: cancel its job first")
        if name == self._default:
            raise JobStateError(f"{name!r} is what this server speaks with when nobody is named: it stays")
        folders = [
            folder / name for folder in (self._folders.avatars, self._folders.datasets, self._folders.checkpoints)
        ]
        there = [folder for folder in folders if folder.is_dir() or folder.is_symlink()]
        if job is None and not there:
            raise AvatarNotFoundError(f"there is no avatar {name!r}, and nothing else of that name")
        for folder in there:
            with only_writer(folder):
                _remove(folder)
        self._store.remove(name)
        self._forget()

    def _job(self, name: str) -> Job | None:
        try:
            return self._store.find(name)
        except JobNotFoundError:
            return None

    def _make_way(self, name: str) -> None:
        """For a new avatar: a photo or copy of which nothing came may be replaced, nothing else."""
        job = self._job(name)
        if any((folder / name).exists() for folder in (self._folders.avatars, self._folders.datasets)):
            raise NameTakenError(f"there is an avatar or a recording {name!r} already; choose another name")
        if job is not None and job.kind != "video" and job.state not in OPEN:
            self._store.remove(name)

    def _to_dataset(self, name: str, upload: Path) -> None:
        with open_media(upload) as container:
            picture_stream(container, upload)
            sound_stream(container, upload)
        folder = self._folders.datasets / name
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            raise NameTakenError(f"there is a recording {name!r} already; choose another name") from error
        shutil.move(upload, folder / f"{name}.video")  # a suffix would be believed


def _check_origin(wish: Wish) -> None:
    if wish.synthetic == bool(wish.consent.strip()):
        raise ConsentFormatError(
            'say who agreed, when, and to what, as consent "who, YYYY-MM-DD, scope"; or send synthetic=true if nobody '
            "real is shown; not both"
        )
    if not wish.synthetic:
        parse_consent(wish.consent.strip(), "")


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
        return
    gone = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)  # at once, whatever happens meanwhile
    shutil.rmtree(gone)
