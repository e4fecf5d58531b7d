"""What `python -m benchmarks.service` measures; why and how is said there."""

from __future__ import annotations

import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import configargparse

from benchmarks.lateness import Listener, p95
from benchmarks.material import sized_avatars
from benchmarks.table import Cell, Table, report_all
from services.avatars.avatar import open_avatar

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_NINE: Final = ("The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog")
_START_WITHIN_S: Final = 120.0
_LONG_ENOUGH_S: Final = 20.0  # of speech, to say something about steadiness
_NOT_KNOWN: Final = "not known"


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    with served(options) as (server, frames):
        tables = [_alone(server, options.words)]
        if options.streams:
            tables += side_by_side_tables(server, options.streams, options.stream_words, frames)
        size = "" if options.size is None else f" at {options.size[0]}x{options.size[1]} px"
        title = f"{options.name}{size}, {server.speaks}"
    tables[0] = Table(f"{title}: {tables[0].title}", tables[0].columns, tables[0].rows, tables[0].notes)
    report_all(tables, options.json)


@contextmanager
def served(options: configargparse.Namespace) -> Iterator[tuple[Server, int]]:
    """A running server of the avatar at the wanted size, and the number of its template frames."""
    settings = {
        "MODELS__DEVICE": options.device,
        "MODELS__THREADS": str(options.threads),
        "MODELS__RUNTIME": options.runtime,
        "LIMITS__SESSIONS": str(max([1, *options.streams])),
    }
    with sized_avatars(options) as avatars_dir, tempfile.TemporaryDirectory() as folder:
        frames = open_avatar(avatars_dir, options.name).manifest.frames
        with Server(avatars_dir, options.name, Path(folder), settings) as server:
            yield server, frames


def _alone(server: Server, lengths: list[int]) -> Table:
    rows: list[tuple[Cell, ...]] = [
        ("page answers after the start", server.alive_s * 1e3, *[""] * 5),
        ("ready after the start", server.ready_s * 1e3, *[""] * 5),
    ]
    for number, words in enumerate(lengths, start=1):
        text = text_of(words, 100 * number)
        for state in ("cold", "warm"):
            said = server.say(text)
            times_ms = (said.heard_s - said.asked_s) * 1e3, (said.came_s[0] - said.asked_s) * 1e3
            took_s, frames, fps = said.came_s[-1] - said.asked_s, len(said.came_s), said.fps
            rows.append((f"{words} words, {state}", *times_ms, took_s, frames, fps, 25 / fps))
    columns = ["what", "first byte ms", "first frame ms", "last frame s", "frames", "fps", "RTF"]
    return Table("one at a time", columns, rows, ["cold: nothing of this text was said before; warm: all of it"])


def side_by_side_tables(client: Client, counts: list[int], words: int, template_frames: int) -> list[Table]:
    """What every listener got, and what the server needed."""
    heard: list[tuple[Cell, ...]] = []
    needed: list[tuple[Cell, ...]] = []
    shortest_s = float("inf")
    for count in counts:
        before_s, started = client.processor_s(), time.perf_counter()
        listeners, health_ms = client.side_by_side(count, words, template_frames)
        wall_s, after_s = time.perf_counter() - started, client.processor_s()
        for number, listener in enumerate(listeners, start=1):
            late_ms, first_s = listener.late_ms, listener.came_s[0]
            first_ms = ((first_s - listener.asked_s) * 1e3, (first_s - listener.heard_s) * 1e3)
            lateness = (statistics.median(late_ms), p95(late_ms), max(late_ms))
            heard.append((count, number, listener.speech_s, *first_ms, listener.fps, *lateness))
        speech_s = sum(listener.speech_s for listener in listeners)
        shortest_s = min(shortest_s, *(listener.speech_s for listener in listeners))
        per_s: Cell = _NOT_KNOWN if before_s is None or after_s is None else (after_s - before_s) / speech_s
        peak_mb = client.peak_mb()
        memory: Cell = _NOT_KNOWN if peak_mb is None else peak_mb
        slowest_ms = max(health_ms)
        needed.append((count, 25 * speech_s / wall_s, per_s, memory, statistics.median(health_ms), slowest_ms))
    notes = [
        "first frame from the request; after sound: from the first byte, which is sent when there is sound to show",
        "lateness against a player that shows frame k 40 k ms after the first; as fast as they go, to JPEG",
    ]
    if shortest_s < _LONG_ENOUGH_S:
        notes.append(f"only {shortest_s:.1f} s of speech: too short to say something about lateness")
    columns = ["streams", "stream", "speech s", "first frame ms", "after sound ms", "fps"]
    columns += ["late p50 ms", "late p95 ms", "late most ms"]
    costs = ["streams", "all fps", "CPU s per speech s", "peak MB so far", "/health median ms", "/health slowest ms"]
    note = "of the server's process, the voice's programs included; the peak since its start"
    return [Table("side by side", columns, heard, notes), Table("what that takes", costs, needed, [note])]


def text_of(words: int, first_number: int) -> str:
    """So many words, in sentences of ten that end with numbers of their own: the server remembers what it said."""
    sentences = -(-words // (len(_NINE) + 1))
    said = [word for k in range(sentences) for word in (*_NINE, f"{first_number + k}.")]
    return " ".join(said[:words]).rstrip(".") + "."


class Client:
    """Asks a running server, and looks at its process from outside."""

    def __init__(self, address: str, pid: int) -> None:
        self.address = address
        self._pid = pid

    def say(self, text: str, start_frame: int = 0) -> Listener:
        """One utterance as NDJSON."""
        query = urllib.parse.urlencode({"text": text, "start_frame": start_frame})
        listener = Listener(asked_s=time.perf_counter())
        with urllib.request.urlopen(f"{self.address}/generate?{query}") as answer:
            for line in answer:
                now_s = time.perf_counter()
                listener.heard_s = listener.heard_s or now_s
                if line.startswith(b'{"type":"frame"'):
                    listener.came_s.append(now_s)
        if not listener.came_s:
            raise SystemExit(f"no frame came for {text!r}")
        return listener

    def side_by_side(self, count: int, words: int, template_frames: int) -> tuple[list[Listener], list[float]]:
        """Several utterances at a time, spread over the template, and how many ms /health takes meanwhile."""
        health_ms: list[float] = []
        with ThreadPoolExecutor(count) as threads:
            sessions = [
                threads.submit(self.say, text_of(words, 1000 * count + 100 * n), template_frames * n // count)
                for n in range(count)
            ]
            while not health_ms or not all(session.done() for session in sessions):
                started = time.perf_counter()
                urllib.request.urlopen(f"{self.address}/health").read()
                health_ms.append((time.perf_counter() - started) * 1e3)
                time.sleep(0.05)
        return [session.result() for session in sessions], health_ms

    def processor_s(self) -> float | None:
        """Processor time until now, that of programs it started and waited for included; None where nobody says."""
        try:
            status = Path(f"/proc/{self._pid}/stat").read_text(encoding="utf-8")
        except OSError:
            return None
        ticks = status.rpartition(")")[2].split()[11:15]
        return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self) -> float | None:
        """The most memory that the process ever had; None where nobody says."""
        try:
            status = Path(f"/proc/{self._pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
        return None if found is None else int(found[1]) * 1024 / 1e6

    def resident_mb(self) -> float | None:
        """Memory that the process has now; None where nobody says."""
        try:
            pages = int(Path(f"/proc/{self._pid}/statm").read_text(encoding="ascii").split()[1])
        except OSError:
            return None
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def handles(self) -> int | None:
        """Files and sockets that the process holds; None where nobody says."""
        return self._entries("fd")

    def threads(self) -> int | None:
        """Of the process; None where nobody says."""
        return self._entries("task")

    def _entries(self, of: str) -> int | None:
        try:
            return len(list(Path(f"/proc/{self._pid}/{of}").iterdir()))
        except OSError:
            return None


class Server(Client):
    """`api.py` in a process of its own."""

    def __init__(
        self, avatars_dir: Path, name: str, folder: Path, settings: dict[str, str] | None = None, key: str = ""
    ) -> None:
        """Start it.

        Args:
            avatars_dir: folder of the avatars.
            name: the avatar that it gets ready.
            folder: for what it remembers.
            settings: further ones, by name, without the prefix.
            key: for a server that asks for one.
        """
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        chosen = {
            "MODELS__AVATARS_DIR": str(avatars_dir.resolve()),
            "MODELS__DEFAULT_AVATAR": name,
            "TTS__CACHE_DIR": str(folder / "speech"),
            "SERVER__LOG_LEVEL": "warning",
            **(settings or {}),
        }
        environment = {**os.environ, **{f"AVATAR328_{key}": value for key, value in chosen.items()}}
        self._started = time.perf_counter()
        self._process = subprocess.Popen([sys.executable, "api.py", "--port", str(port)], cwd=_ROOT, env=environment)
        super().__init__(f"http://127.0.0.1:{port}", self._process.pid)
        self.alive_s = self.ready_s = 0.0
        self.speaks = ""
        self._key = key

    def __enter__(self) -> Server:
        self.alive_s = self._wait_for("/livez")
        self.ready_s = self._wait_for("/readyz")
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        request = urllib.request.Request(f"{self.address}/health", headers=headers)
        health = json.loads(urllib.request.urlopen(request).read())
        self.speaks = f"{health['models']['provider']}, {health['speech']['default_voice']}"
        return self

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, within_s: float) -> int:
        """Exit code, once it ended."""
        return self._process.wait(within_s)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def _wait_for(self, path: str) -> float:
        answer = "nothing"
        while time.perf_counter() - self._started < _START_WITHIN_S and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.address + path).close()
                return time.perf_counter() - self._started
            except urllib.error.HTTPError as error:
                answer = error.read().decode()
            except OSError:
                pass
            time.sleep(0.01)
        self._process.terminate()
        raise SystemExit(f"the server did not get ready: {answer}")
