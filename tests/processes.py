"""A Python program in a process of its own, for tests of what processes do to each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.conftest import REPOSITORY


@dataclass
class Running:
    """It has written its first line, and waits for the end of its input."""

    process: subprocess.Popen[str]
    first_line: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """Without a chance to tidy up (SIGKILL)."""
        self.process.kill()

    def wait(self) -> None:
        self.process.wait()

    def finish(self) -> None:
        """Let it come to its end."""
        self.process.communicate()


@contextmanager
def running(program: str, *arguments: object) -> Iterator[Running]:
    """Start a program; whatever is left of it ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield Running(process, process.stdout.readline().rstrip("\n"))
        finally:
            process.kill()
