"""The live session in a real browser: what somebody who watches and listens gets. See `benchmarks.live`."""

from __future__ import annotations

import multiprocessing
import shutil
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from benchmarks.lateness import p95
from benchmarks.measures.service import text_of
from benchmarks.table import Cell, Table
from recipe.recipe_328 import FPS

if TYPE_CHECKING:
    from playwright.sync_api import Page

NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--mute-audio",
    "--autoplay-policy=no-user-gesture-required",
)
_LIMIT_S: Final = 60.0  # for anything to happen, on top of how long is spoken
_CANCELS: Final = 5
_COLUMNS: Final = (
    "tier", "what else runs", "speech s", "frames shown", "first shown ms", "skew p50 ms", "skew p95 ms",
    "skew most ms", "underruns", "silent after a cancel p95 ms",
)  # fmt: skip

_OPEN: Final = """async (tier) => {
  const { LiveSession } = await import("/static/session.js");
  const { LivePlayer } = await import("/static/session_player.js");
  const canvas = document.createElement("canvas");
  document.body.replaceChildren(canvas);
  const player = (window.player = new LivePlayer(canvas, new LiveSession({ tiers: [tier] })));
  window.shown = [];
  window.finished = 0;
  player.addEventListener("shown", ({ detail: { index, heard_s } }) => {
    window.shown.push([index, heard_s, performance.now()]);
  });
  player.addEventListener("finished", ({ detail }) => (window.finished += detail.interrupted ? 0 : 1));
  player.addEventListener("problem", ({ detail }) => (window.problem = String(detail.problem)));
  player.unlock();
  await player.open();
}"""
_SAY: Final = """(text) => {
  window.shown = [];
  window.finished = 0;
  window.asked_ms = performance.now();
  window.player.speak(text);
}"""
_STATE: Final = "`${player.state}, ${window.shown.length} pictures shown`"
_CANCEL: Final = """async () => {
  const began_ms = performance.now();
  const told = window.player.cancel();
  const silent_ms = window.player.state === "idle" ? performance.now() - began_ms : Infinity;
  await told;
  return Math.max(silent_ms, performance.now() - began_ms);
}"""


def in_a_browser(address: str, tiers: list[str], seconds: float) -> Table:
    """Lips against sound, delays and stops of a player, the machine otherwise idle and with one core busy.

    Args:
        address: of the server.
        tiers: of the picture.
        seconds: of speech in each row, roughly.
    """
    note = (
        "skew: how long after its sound a picture is painted, by the audio clock; a cancel ends when the server agrees"
    )
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        return Table("in a browser", _COLUMNS, [], [f"left out: none of {', '.join(NAMES)} is installed"])
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return Table("in a browser", _COLUMNS, [], ["left out: playwright, of the group dev, is not installed"])
    rows: list[tuple[Cell, ...]] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=list(_FLAGS))
        for tier in tiers:
            page = chromium.new_page()
            page.goto(f"{address}/livez")
            page.evaluate(_OPEN, tier)
            _say(page, text_of(5, 70_000), _LIMIT_S)  # warms up
            for number, busy in enumerate((False, True)):
                with _one_core_busy() if busy else _nothing():
                    row = _watched(page, text_of(round(seconds * 2.2), 71_000 + 100 * number), seconds)
                rows.append((tier, "one core busy" if busy else "nothing", *row))
            page.evaluate("window.player.close()")
            page.close()
        chromium.close()
    return Table("in a browser", _COLUMNS, rows, [note])


def _watched(page: Page, text: str, seconds: float) -> tuple[Cell, ...]:
    underruns = page.evaluate("window.player.underruns")
    _say(page, text, seconds + _LIMIT_S)
    shown: list[tuple[int, float, float]] = page.evaluate("window.shown")
    first_ms = shown[0][2] - page.evaluate("window.asked_ms")
    skews_ms = [1e3 * (heard_s - index / FPS) for index, heard_s, _ in shown]
    underruns = page.evaluate("window.player.underruns") - underruns
    spread = (statistics.median(skews_ms), p95(skews_ms), max(skews_ms))
    cancels_ms = [_cancelled_ms(page, text) for _ in range(_CANCELS)]
    length_s = (shown[-1][0] + 1) / FPS
    return (length_s, f"{100 * len(shown) / (shown[-1][0] + 1):.0f} %", first_ms, *spread, underruns, p95(cancels_ms))


def _say(page: Page, text: str, within_s: float) -> None:
    page.evaluate(_SAY, text)
    _until(page, "window.finished > 0 && window.player.state === 'idle'", within_s)


def _cancelled_ms(page: Page, text: str) -> float:
    page.evaluate(_SAY, text)
    _until(page, "window.shown.length > 10", _LIMIT_S)
    took_ms: float = page.evaluate(_CANCEL)
    return took_ms


def _until(page: Page, condition: str, within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not page.evaluate(condition):
        problem: Any = page.evaluate("window.problem ?? null")
        if problem is not None or time.monotonic() > deadline:
            why = problem or f"not within {within_s:.0f} s; {page.evaluate(_STATE)}"
            raise SystemExit(f"the page did not get so far: {condition}; {why}")
        page.wait_for_timeout(50)


@contextmanager
def _one_core_busy() -> Iterator[None]:
    busy = multiprocessing.get_context("spawn").Process(target=_spin, daemon=True)
    busy.start()
    try:
        yield
    finally:
        busy.kill()
        busy.join()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


def _spin() -> None:
    while True:
        pass
