"""What `python -m benchmarks.live` measures; why and how is said there."""

from __future__ import annotations

import asyncio
import io
import statistics
import time
import urllib.parse
import urllib.request
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import configargparse

from benchmarks.lateness import Listener, p95
from benchmarks.measures.live_browser import in_a_browser
from benchmarks.measures.service import Client, served, text_of
from benchmarks.table import Cell, Table, report_all
from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from recipe.recipe_328 import FPS

_FRAME_S: Final = 1 / FPS
_TIER_ROUNDS: Final = 3
_BEFORE_CANCEL: Final = 15  # frames that are shown
_SOAK_WARM: Final = 10  # utterances before the first look
_PLACE_S: Final = 30  # in which a place becomes free


class Sound(NamedTuple):
    """What a voice said."""

    rate_hz: int
    pcm: bytes  # s16le mono


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    with served(options) as (server, _):
        sound = _spoken(server, text_of(options.words, 1))
        for tier in options.tiers:
            asyncio.run(_say(server.address, tier, sound))  # warms up: every template frame that will be needed
        tables = [asyncio.run(_answers(server, options, sound)), asyncio.run(_tiers(server, options.tiers, sound))]
        if options.streams:
            tables += [asyncio.run(_side_by_side(server, tier, options.streams, sound)) for tier in options.tiers]
        if options.soak:
            tables.append(asyncio.run(_soak(server, options.tiers[0], options.soak)))
        if options.browser_s:
            tables.append(in_a_browser(server.address, options.tiers, options.browser_s))
        title = f"{options.name}, {server.speaks}"
    first = tables[0]
    tables[0] = Table(f"{title}: {first.title}", first.columns, first.rows, first.notes)
    report_all(tables, options.json)


def _spoken(server: Client, text: str) -> Sound:
    query = urllib.parse.urlencode({"text": text})
    with (
        urllib.request.urlopen(f"{server.address}/get-tts-audio?{query}") as answer,
        wave.open(io.BytesIO(answer.read())) as file,
    ):
        return Sound(file.getframerate(), file.readframes(file.getnframes()))


@asynccontextmanager
async def _session(address: str, tier: str) -> AsyncIterator[LiveClient]:
    async with await _connected(address, tier) as avatar:
        yield avatar


async def _connected(address: str, tier: str) -> LiveClient:
    """A session; the places of those before it are free when the server has put them away, on a busy machine later."""
    until_s = time.perf_counter() + _PLACE_S
    while True:
        try:
            return await LiveClient.connect(address, tiers=[tier])
        except ProblemError as busy:
            if busy.retry_after_s is None or time.perf_counter() > until_s:
                raise
            await asyncio.sleep(busy.retry_after_s)


async def _give(avatar: LiveClient, sound: Sound) -> None:
    await avatar.begin_audio(sound.rate_hz)
    for start in range(0, len(sound.pcm), 1 << 16):
        await avatar.append_audio(sound.pcm[start : start + (1 << 16)])
    await avatar.end()


async def _first_frame(avatar: LiveClient) -> None:
    async for event in avatar:
        if isinstance(event, Frame) and not event.idle:
            await avatar.shown(event)
            return


async def _watch(avatar: LiveClient, listener: Listener, paced: bool) -> None:
    """Take an utterance; paced: show its frames in real time, as a player does that began with the first."""
    async for event in avatar:
        if isinstance(event, Frame):
            now_s = time.perf_counter()
            if event.idle:
                continue
            listener.came_s.append(now_s)
            due_s = listener.came_s[0] + (len(listener.came_s) - 1) * _FRAME_S
            if paced and due_s > now_s:
                asyncio.get_running_loop().call_later(due_s - now_s, _show_soon, avatar, event)
            else:
                await avatar.shown(event)
        elif event["type"] == "finished":
            return
        elif event["type"] == "error":
            raise SystemExit(f"the session failed: {event['problem']}")


_showing: set[asyncio.Task[None]] = set()


def _show_soon(avatar: LiveClient, frame: Frame) -> None:
    task = asyncio.ensure_future(avatar.shown(frame))
    _showing.add(task)
    task.add_done_callback(_showing.discard)


async def _say(address: str, tier: str, sound: Sound, paced: bool = False) -> tuple[Listener, int]:
    """A session of one utterance; when its frames came, and how many bytes."""
    async with _session(address, tier) as avatar:
        listener = Listener(asked_s=time.perf_counter())
        before = avatar.received_bytes
        await _give(avatar, sound)
        await _watch(avatar, listener, paced)
        return listener, avatar.received_bytes - before


async def _answers(server: Client, options: configargparse.Namespace, sound: Sound) -> Table:
    """Delays of the first frame and of the answer to a cancel."""
    rows: list[tuple[Cell, ...]] = []
    for turn, tier in enumerate(options.tiers):
        first_text = 50_000 + turn * options.rounds  # what one tier said is remembered
        heard_ms, said_ms, cancel_ms = [], [], []
        async with _session(server.address, tier) as avatar:
            for number in range(options.rounds):
                started = time.perf_counter()
                await _give(avatar, sound)
                await _first_frame(avatar)
                heard_ms.append((time.perf_counter() - started) * 1e3)
                for _ in range(_BEFORE_CANCEL):
                    await _first_frame(avatar)
                started = time.perf_counter()
                await avatar.cancel()
                cancel_ms.append((time.perf_counter() - started) * 1e3)
                started = time.perf_counter()
                await avatar.speak(text_of(10, first_text + number))
                await _first_frame(avatar)
                said_ms.append((time.perf_counter() - started) * 1e3)
                await avatar.cancel()
        for what, values in (
            ("first frame after sound", heard_ms), ("first frame after a new text, right after a cancel", said_ms),
            ("answer to a cancel", cancel_ms),
        ):  # fmt: skip
            rows.append((tier, what, statistics.median(values), p95(values), max(values)))
    note = "sound: sent at once, so its lookahead waits for nothing; text: not said before, so the voice is part of it"
    return Table(f"answers, {options.rounds} each", ["tier", "what", "p50 ms", "p95 ms", "most ms"], rows, [note])


async def _tiers(server: Client, tiers: list[str], sound: Sound) -> Table:
    """What a frame costs, as fast as frames come; tiers take turns, so that a busy neighbour disturbs all alike."""
    rounds: dict[str, list[tuple[float | None, float]]] = {tier: [] for tier in tiers}
    sizes: dict[str, tuple[int, int]] = {}
    for _ in range(_TIER_ROUNDS):
        for tier in tiers:
            before_s = server.processor_s()
            listener, received = await _say(server.address, tier, sound)
            after_s, frames = server.processor_s(), len(listener.came_s)
            sizes[tier] = frames, received
            cpu_ms = None if before_s is None or after_s is None else (after_s - before_s) * 1e3 / frames
            rounds[tier].append((cpu_ms, listener.fps))
    rows: list[tuple[Cell, ...]] = []
    for tier, (frames, received) in sizes.items():
        known_ms = [cpu_ms for cpu_ms, _ in rounds[tier] if cpu_ms is not None]
        fps = max(fps for _, fps in rounds[tier])
        pictures = received - 2 * sound.rate_hz // FPS * frames
        cost: Cell = min(known_ms) if known_ms else "not known"
        rows.append((tier, frames, fps, cost, received / frames * FPS / 1e3, pictures / frames / 1e3))
    columns = ["tier", "frames", "fps", "CPU ms/frame", "kB/s of speech", "kB/picture"]
    note = f"frames are acknowledged as they come; CPU of the server's process; best of {_TIER_ROUNDS} rounds"
    return Table("picture tiers", columns, rows, [note])


async def _side_by_side(server: Client, tier: str, counts: list[int], sound: Sound) -> Table:
    """Sessions that show their frames in real time."""
    rows: list[tuple[Cell, ...]] = []
    for count in counts:
        before_s = server.processor_s()
        said = await asyncio.gather(*(_say(server.address, tier, sound, paced=True) for _ in range(count)))
        after_s = server.processor_s()
        speech_s = sum(listener.speech_s for listener, _ in said)
        per_s: Cell = "not known" if before_s is None or after_s is None else (after_s - before_s) / speech_s
        looked = _look(server)
        for number, (listener, _) in enumerate(said, start=1):
            fps = (len(listener.came_s) - 1) / (listener.came_s[-1] - listener.came_s[0])
            late = (p95(listener.late_ms), max(listener.late_ms))
            first_ms = (listener.came_s[0] - listener.asked_s) * 1e3
            rows.append((count, number, listener.speech_s, first_ms, fps, *late, per_s, looked["memory MB"]))
    columns = ["sessions", "session", "speech s", "first frame ms", "fps", "late p95 ms", "late most ms"]
    notes = [
        "lateness against a player that shows frame k 40 k ms after the first; acknowledged when they are shown",
        "fps up to two seconds ahead of real time, so above 25 where the machine keeps up",
    ]
    return Table(f"side by side, {tier}", [*columns, "CPU s per speech s", "memory MB"], rows, notes)


async def _soak(server: Client, tier: str, utterances: int) -> Table:
    """Many utterances in one session, every third cancelled."""
    rows: list[tuple[Cell, ...]] = []
    async with _session(server.address, tier) as avatar:
        for number in range(utterances):
            await avatar.speak(text_of(5, 90_000 + number))
            if number % 3 == 2:
                await _first_frame(avatar)
                await avatar.cancel()
            else:
                await _watch_to_the_end(avatar)
            if number + 1 in {min(_SOAK_WARM, utterances), utterances // 2, utterances}:
                rows.append((number + 1, *_look(server).values()))
    rows.append(("after it", *_look(server).values()))
    return Table(f"one session, {tier}", ["utterances", *_look(server)], rows, ["every third is cancelled"])


async def _watch_to_the_end(avatar: LiveClient) -> None:
    async for event in avatar:
        if isinstance(event, Frame):
            await avatar.shown(event)
        elif event["type"] == "finished" and not event["interrupted"]:
            return


def _look(server: Client) -> dict[str, Cell]:
    """At the server's process, from outside."""
    memory_mb, handles, threads = server.resident_mb(), server.handles(), server.threads()
    values = {"memory MB": memory_mb, "handles": handles, "threads": threads}
    return {name: "not known" if value is None else value for name, value in values.items()}
