"""Does jobs: photos one after the other, and beside them, because they take hours, recordings one after the other.

A job is a program in a process group of its own. It is stopped by SIGTERM to that program alone, which hands it on and
ends when its checkpoint is written: a second signal would not wait for that. So the group is not signalled as a whole
before the program had its time.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, get_args

from recipe.locks import hold
from services.creation.jobs import OPEN, Job, JobStore, Kind, State, now
from services.errors import BusyError, CreationOffError, JobStateError

logger = logging.getLogger(__name__)

Command = Callable[[Job], Sequence[str]]
_LOCK: Final = ".lock"
_LOOK_S: Final = 0.2
_GRACE_S: Final = 120.0  # for a checkpoint to be written


class Workshop:
    """Jobs and the threads that do them; safe to use from several threads."""

    def __init__(self, store: JobStore, command: Command, most_waiting: int) -> None:
        """Take over what it works with; nothing runs yet.

        Args:
            store: keeps the jobs.
            command: the program and its arguments for a job.
            most_waiting: jobs of one kind in the queue.
        """
        self.store = store
        self._command, self._most_waiting = command, most_waiting
        self._changed = threading.Condition()
        self._lock: int | None = None
        self._stopping = False
        self._cancelled: set[str] = set()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Go on with what is queued; a job that ran when the last server ended was interrupted.

        Raises:
            CreationOffError: another server works in this folder.
        """
        with self._changed:
            if self._lock is not None or self._stopping:
                return
            self.store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = hold(self.store.folder / _LOCK)
            if self._lock is None:
                raise CreationOffError("another server makes avatars in the same folder of jobs; ask that one")
            for job in self.store.jobs():
                if job.state == "running":
                    self.store.write(job.model_copy(update={"state": "interrupted", "ended_at": now()}))
            for kind in get_args(Kind):
                thread = threading.Thread(target=self._work, args=(kind,), name=f"jobs: {kind}", daemon=True)
                thread.start()
                self._threads.append(thread)

    def check_room(self, kind: Kind) -> None:
        """Look whether one more job can wait.

        Raises:
            BusyError: it cannot.
        """
        if len(self._waiting(kind)) >= self._most_waiting:
            raise BusyError(f"{self._most_waiting} avatars wait to be made already; try again later")

    def submit(self, job: Job) -> Job:
        """Queue a job whose folder is there.

        Raises:
            BusyError: too many wait.
            CreationOffError: see `start`.
        """
        self.start()
        with self._changed:
            self.check_room(job.kind)
            queued = job.model_copy(
                update={"state": "queued", "queued_at": now(), "started_at": None, "ended_at": None, "exit_code": None}
            )
            self.store.log(job.name).unlink(missing_ok=True)
            self.store.write(queued)
            self._changed.notify_all()
        return queued

    def cancel(self, name: str) -> Job:
        """Take a job out of the queue, or ask its program to end; it says "cancelled" when it has.

        Raises:
            JobNotFoundError: there is none.
            JobStateError: it has ended.
        """
        with self._changed:
            job = self.store.find(name)
            if job.state not in OPEN:
                raise JobStateError(f"the job for {name!r} is {job.state}: there is nothing to cancel")
            if job.state == "queued":
                return self.store.write(job.model_copy(update={"state": "cancelled", "ended_at": now()}))
            self._cancelled.add(name)
            return job

    def position(self, job: Job) -> int:
        """How many are before it in its queue."""
        return sum(other.queued_at < job.queued_at for other in self._waiting(job.kind))

    def close(self, within_s: float) -> None:
        """Ask what runs to end, and wait a little; it keeps its checkpoint in any case. Nothing is begun any more."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        deadline = time.monotonic() + within_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    def _waiting(self, kind: Kind) -> list[Job]:
        return [job for job in self.store.jobs() if job.kind == kind and job.state == "queued"]

    def _work(self, kind: Kind) -> None:
        while (job := self._next(kind)) is not None:
            try:
                code = self._run(job)
            except OSError as error:
                logger.error("the job for %s cannot be started: %s", job.name, error)
                code = None
            with self._changed:
                cancelled = job.name in self._cancelled
                self._cancelled.discard(job.name)
                state: State = (
                    "done" if code == 0 else "cancelled" if cancelled else "interrupted" if self._stopping else "failed"
                )
                self.store.write(job.model_copy(update={"state": state, "ended_at": now(), "exit_code": code}))
            logger.info("the job for %s is %s (exit code %s)", job.name, state, code)

    def _next(self, kind: Kind) -> Job | None:
        with self._changed:
            while not self._stopping:
                if waiting := self._waiting(kind):
                    return self.store.write(waiting[0].model_copy(update={"state": "running", "started_at": now()}))
                self._changed.wait()
        return None

    def _run(self, job: Job) -> int:
        with self.store.log(job.name).open("wb") as log:
            process = subprocess.Popen(
                list(self._command(job)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        asked_at: float | None = None
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(_LOOK_S)
            if asked_at is None and (self._stopping or job.name in self._cancelled):
                process.terminate()
                asked_at = time.monotonic()
            elif asked_at is not None and time.monotonic() - asked_at > _GRACE_S:
                logger.error("the job for %s did not end within %.0f s: it is killed", job.name, _GRACE_S)
                os.killpg(process.pid, signal.SIGKILL)
                return process.wait()
