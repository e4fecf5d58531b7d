"""How fast the server answers: `python -m benchmarks.service --avatar NAME`.

Starts `api.py` on a free port in a process of its own and measures as a client does: cold start, first byte, first
and last frame of a short and a long text, `/health` while frames are made, and streams side by side.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import configargparse

from benchmarks.table import report

_ROOT: Final = Path(__file__).resolve().parent.parent
_SENTENCE: Final = "The quick brown fox jumps over the lazy dog today."
_STREAMS: Final = (1, 2, 4)
_START_WITHIN_S: Final = 120.0


@dataclass(frozen=True, slots=True)
class Reply:
    """When what came, in seconds from the request."""

    first_byte_s: float
    first_frame_s: float
    last_frame_s: float
    frames: int


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgParser(description=__doc__.split("\n")[0])
    parser.add("--avatar", default="demo", help="the avatar")
    parser.add("--avatars_dir", type=Path, default=Path("avatars"))
    parser.add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add("--words", type=int, nargs=2, default=[10, 100], help="lengths of the two texts that are said alone")
    parser.add("--side_by_side_words", type=int, default=40, help="length of those that are said side by side")
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    columns = ["what", "first byte ms", "first frame ms", "last frame s", "frames", "fps", "RTF"]
    rows: list[tuple[str | float, ...]] = []
    with tempfile.TemporaryDirectory() as folder, Server(options, Path(folder)) as server:
        rows.append(("page answers after the start", server.alive_s * 1e3, "", "", "", "", ""))
        rows.append(("ready after the start", server.ready_s * 1e3, "", "", "", "", ""))
        for words in options.words:
            text = _text(words)
            for state in ("cold", "warm"):  # cold: this sentence was not said before; its template frames neither
                reply = server.say(f"{text} {state}.")
                rows.append((f"{words} words, {state}", *_numbers(reply)))
        for count in _STREAMS:
            replies, health_s = server.side_by_side(count, options.side_by_side_words)
            for number, reply in enumerate(replies, start=1):
                rows.append((f"{count} at a time, stream {number}", *_numbers(reply)))
            rows.append((f"{count} at a time, /health median", statistics.median(health_s) * 1e3, "", "", "", "", ""))
            rows.append((f"{count} at a time, /health slowest", max(health_s) * 1e3, "", "", "", "", ""))
    report(f"{options.avatar}, {server.speaks}", columns, rows, options.json)
    return 0


def _text(words: int) -> str:
    ten = _SENTENCE.split()
    return " ".join((ten * -(-words // len(ten)))[:words])


def _numbers(reply: Reply) -> tuple[str | float, ...]:
    fps = reply.frames / reply.last_frame_s
    return (
        reply.first_byte_s * 1e3, reply.first_frame_s * 1e3, reply.last_frame_s, reply.frames, fps, 25 / fps,
    )  # fmt: skip


class Server:
    """`api.py` in a process of its own."""

    def __init__(self, options: configargparse.Namespace, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        settings = {
            "MODELS__AVATARS_DIR": str(options.avatars_dir.resolve()),
            "MODELS__DEFAULT_AVATAR": options.avatar,
            "MODELS__DEVICE": options.device,
            "LIMITS__SESSIONS": str(max(_STREAMS)),
            "TTS__CACHE_DIR": str(folder / "speech"),
            "SERVER__LOG_LEVEL": "warning",
        }
        environment = {**os.environ, **{f"AVATAR328_{name}": value for name, value in settings.items()}}
        self._started = time.perf_counter()
        self._process = subprocess.Popen([sys.executable, "api.py", "--port", str(port)], cwd=_ROOT, env=environment)
        self.alive_s = self.ready_s = 0.0
        self.speaks = ""

    def __enter__(self) -> Server:
        self.alive_s = self._wait_for("/livez")
        self.ready_s = self._wait_for("/readyz")
        health = json.loads(urllib.request.urlopen(f"{self.address}/health").read())
        self.speaks = f"{health['models']['provider']}, {health['speech']['default_voice']}"
        return self

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

    def say(self, text: str, start_frame: int = 0) -> Reply:
        """One utterance as NDJSON."""
        query = urllib.parse.urlencode({"text": text, "start_frame": start_frame})
        started = time.perf_counter()
        first_byte_s = first_frame_s = 0.0
        frames = 0
        with urllib.request.urlopen(f"{self.address}/generate?{query}") as answer:
            for line in answer:
                now_s = time.perf_counter() - started
                first_byte_s = first_byte_s or now_s
                if line.startswith(b'{"type":"frame"'):
                    first_frame_s = first_frame_s or now_s
                    last_frame_s = now_s
                    frames += 1
        return Reply(first_byte_s, first_frame_s, last_frame_s, frames)

    def side_by_side(self, count: int, words: int) -> tuple[list[Reply], list[float]]:
        """Several utterances at a time, and how long /health takes meanwhile."""
        replies: list[Reply] = []
        threads = [
            threading.Thread(target=lambda number=number: replies.append(self.say(f"{_text(words)} {count} {number}.")))
            for number in range(count)
        ]
        for thread in threads:
            thread.start()
        health_s = []
        while any(thread.is_alive() for thread in threads):
            started = time.perf_counter()
            urllib.request.urlopen(f"{self.address}/health").read()
            health_s.append(time.perf_counter() - started)
            time.sleep(0.05)
        return replies, health_s


if __name__ == "__main__":
    raise SystemExit(main())
