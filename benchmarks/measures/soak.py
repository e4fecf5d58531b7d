"""What `python -m benchmarks.soak` does; why and how is said there."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

import httpx2 as httpx

from benchmarks.measures.attack_media import wav_bytes
from benchmarks.measures.service import Client, served, text_of
from benchmarks.table import Cell, report
from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from recipe.errors import UserError

_PATIENCE_S: Final = 120.0
_WARM_SHARE: Final = 0.25  # of the looks: caches fill up to their budgets
_GROWN: Final = {"MB": 1.10, "handles": 1.2, "threads": 1.2}  # the last look over the first one that counts
_COLUMNS: Final = ("after, min", "requests", "MB", "handles", "threads", "/health, ms", "answers")


class GrowthError(UserError):
    """Something grew."""


def run(options: argparse.Namespace) -> None:
    """Keep clients busy, and look.

    Raises:
        GrowthError: memory, handles or threads grew; the table was printed.
    """
    answers: Counter[str] = Counter()
    stop = threading.Event()
    with served(options) as (server, _):
        threads = [
            threading.Thread(target=_keep_on, args=(client, server.address, answers, stop, seed))
            for seed, client in enumerate(_CLIENTS)
        ]
        for thread in threads:
            thread.start()
        try:
            rows = [_look(server, answers, options.minutes, k + 1, options.looks) for k in range(options.looks)]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        time.sleep(3)  # what was still being made ends
        rows.append(["idle", sum(answers.values()), *_sizes(server), _health_ms(server), ""])
    title = f"{options.name}, {len(_CLIENTS)} kinds of clients at a time for {options.minutes:g} minutes"
    report(title, _COLUMNS, rows, options.json)
    first, last = rows[min(int(_WARM_SHARE * options.looks), options.looks - 1)], rows[-2]
    for name, most in _GROWN.items():
        at = _COLUMNS.index(name)
        before, after = float(first[at] or 0), float(last[at] or 0)
        if after > most * before:
            raise GrowthError(f"{name} grew from {before:g} to {after:g}")
    if broken := {kind: number for kind, number in answers.items() if kind.startswith("5") and kind != "503"}:
        raise GrowthError(f"the server failed: {broken}")


def _look(server: Client, answers: Counter[str], minutes: float, number: int, looks: int) -> list[Cell]:
    time.sleep(60 * minutes / looks)
    told = ", ".join(f"{kind} {count}" for kind, count in sorted(answers.items()))
    return [round(minutes * number / looks, 1), sum(answers.values()), *_sizes(server), _health_ms(server), told]


def _sizes(server: Client) -> list[Cell]:
    memory_mb = server.resident_mb()
    return [
        "–" if memory_mb is None else round(memory_mb),
        "–" if (handles := server.handles()) is None else handles,
        "–" if (threads := server.threads()) is None else threads,
    ]


def _health_ms(server: Client) -> float:
    began = time.perf_counter()
    httpx.get(f"{server.address}/health", timeout=_PATIENCE_S)
    return 1e3 * (time.perf_counter() - began)


Kind = Callable[[str, random.Random], str]  # does one thing and says how it ended


def _keep_on(client: Kind, address: str, answers: Counter[str], stop: threading.Event, seed: int) -> None:
    dice = random.Random(seed)
    while not stop.is_set():
        try:
            answers[client(address, dice)] += 1
        except (httpx.TransportError, OSError) as error:
            answers[type(error).__name__] += 1
        stop.wait(dice.uniform(0.2, 1.5))


def _listener(address: str, dice: random.Random) -> str:
    """Takes a whole stream."""
    wish = {"text": text_of(dice.randrange(5, 40), dice.randrange(1000)), "in_time": "true"}
    return str(httpx.get(f"{address}/generate", params=wish, timeout=_PATIENCE_S).status_code)


def _leaver(address: str, dice: random.Random) -> str:
    """Takes a few pieces and goes."""
    wish = {"text": text_of(60, dice.randrange(1000))}
    with httpx.stream("GET", f"{address}/generate", params=wish, timeout=_PATIENCE_S) as answer:
        for _, _ in zip(range(dice.randrange(1, 30)), answer.iter_raw(), strict=False):
            pass
        return "left" if answer.status_code == 200 else str(answer.status_code)


def _saver(address: str, dice: random.Random) -> str:
    """Wants a file, sometimes one that is kept."""
    wish = {"text": text_of(12, dice.randrange(20)), "format": "mp4", "download": "true"}
    wish["cache"] = dice.choice(["true", "false"])
    return str(httpx.get(f"{address}/generate", params=wish, timeout=_PATIENCE_S).status_code)


def _uploader(address: str, dice: random.Random) -> str:
    """Sends a recording, sometimes a damaged one."""
    data = bytearray(wav_bytes(16_000, 1, dice.uniform(0.5, 3)))
    if dice.random() < 0.3:
        data[dice.randrange(44)] ^= 0xFF
    files = {"file": ("a.wav", bytes(data))}
    return str(httpx.post(f"{address}/generate-from-audio", files=files, timeout=_PATIENCE_S).status_code)


def _stranger(address: str, dice: random.Random) -> str:
    """Asks for what is not there, or not allowed."""
    path = dice.choice(["/nothing", "/avatar?avatar=nobody", "/generate?text=", "/generate?text=a&voice=none"])
    return str(httpx.get(address + path, timeout=_PATIENCE_S).status_code)


def _talker(address: str, dice: random.Random) -> str:
    """A live session: says something, and is interrupted half of the time."""
    return asyncio.run(_talk(address, dice))


async def _talk(address: str, dice: random.Random) -> str:
    try:
        avatar = await LiveClient.connect(address, tiers=[dice.choice(["patch", "jpeg", "h264"])])
    except ProblemError as problem:
        return "live: busy" if problem.retry_after_s is not None else "live: refused"
    async with avatar:
        await avatar.speak(text_of(20, dice.randrange(1000)))
        until = dice.randrange(5, 60) if dice.random() < 0.5 else None
        frames = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                async for event in avatar:
                    if isinstance(event, Frame):
                        frames += not event.idle
                        await avatar.shown(event)
                    elif event["type"] == "finished":
                        break
                    if until is not None and frames >= until:
                        await avatar.cancel()
                        break
        return "live"


_CLIENTS: Final[tuple[Kind, ...]] = (_listener, _leaver, _saver, _uploader, _stranger, _talker)
