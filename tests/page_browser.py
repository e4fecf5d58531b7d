"""A real browser for tests of the page, and eyes and ears in it that know nothing of the player.

`watch` reads the barcode and the mouth from the canvas at every repaint, together with the time of the audio
context; `listen` notes when the bursts of the stand-in's sound pass. Use: `from tests.page_browser import browser`.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.conftest import REPOSITORY
from tests.page_server import BITS, CELL, MOUTH_XYXY, SIZE

ARTIFACTS = REPOSITORY / "tests" / "artifacts"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--mute-audio"]
MAY_PLAY = "--autoplay-policy=no-user-gesture-required"

WATCH = f"""() => {{
  const canvas = document.getElementById("canvas");
  const context = canvas.getContext("2d");
  const player = window.avatar328.player;
  const seen = (window.seen = []);
  const read = (row) => {{
    const pixels = context.getImageData(0, row * {CELL} + {CELL // 2}, {SIZE}, 1).data;
    let code = 0;
    for (let bit = 0; bit < {SIZE // CELL}; bit += 1) {{
      const level = pixels[4 * (bit * {CELL} + {CELL // 2})];
      if (level > 50 && level < 205) return null; // two pictures are mixed
      if (level > 127) code |= 1 << bit;
    }}
    return code;
  }};
  const look = () => {{
    requestAnimationFrame(look);
    if (canvas.width !== {SIZE}) return;
    const code = read(0);
    if (code === null || read(1) === null) return;
    const [x, y] = [{(MOUTH_XYXY[0] + MOUTH_XYXY[2]) // 2}, {MOUTH_XYXY[1] + 12}];
    const open = context.getImageData(x, y, 1, 1).data[0] < 110;
    const speech = (code >> {BITS} & 1) === 1;
    const sound = player.sound;
    const at = {{ index: speech ? code & {(1 << BITS) - 1} : -1, template: read(1), open, at_ms: performance.now() }};
    if (sound) at.heard_s = sound.context.currentTime - sound.context.outputLatency;
    at.state = player.state;
    const last = seen.at(-1);
    if (!last || last.index !== at.index || last.template !== at.template) seen.push(at);
  }};
  requestAnimationFrame(look);
}}"""

LISTEN = """async () => {
  const { audio } = window.avatar328.player;
  const at = audio.at.bind(audio);
  window.bursts = [];
  audio.at = (rate) => {
    const context = at(rate);
    window.tapped = context.audioWorklet.addModule("/tap.js").then(() => {
      const sound = window.avatar328.player.sound;
      const tap = new AudioWorkletNode(sound.context, "tap");
      tap.port.onmessage = ({ data }) => window.bursts.push(data);
      sound.output.connect(tap).connect(sound.context.destination);
    });
    return context;
  };
}"""


_PLAYER = """(() => {
  const { shown, ...rest } = avatar328.player.stats();
  return { ...rest, notice: document.getElementById("notice")?.innerText };
})()"""


def executable() -> str:
    """Chromium or Chrome of this machine; the test is skipped where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed (Debian: apt install chromium)")
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module: its event loop must not outlive the module's tests."""
    path = executable()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=[*FLAGS, MAY_PLAY])
        yield chromium
        chromium.close()


def until(page: Page, condition: str, timeout_s: float = 20.0, stats: bool = True) -> None:
    """Wait for a JavaScript expression; the page's security policy forbids Playwright's own way."""
    deadline = time.monotonic() + timeout_s
    while not page.evaluate(condition):
        if time.monotonic() > deadline:
            told = page.evaluate(_PLAYER) if stats else "none"
            raise AssertionError(f"not within {timeout_s} s: {condition}; player: {told}")
        page.wait_for_timeout(20)


def open_page(page: Page, url: str) -> Page:
    """Load the page and wait until the avatar moves; errors of the page fail the test."""
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.goto(url)
    until(page, "!document.getElementById('canvas').hidden && !document.getElementById('voice').disabled")
    return page


def choose_voice(page: Page, name: str) -> None:
    page.click("#voice")
    page.check(f'#voice-list input[value="{name}"]')
    page.click("#voices-close")


def say(page: Page, text: str) -> None:
    page.fill("#text", text)
    page.click("#speak")


def said(page: Page, timeout_s: float = 60.0) -> None:
    """Wait until the avatar is silent again."""
    until(page, "!avatar328.player.busy", timeout_s)


def stats(page: Page) -> dict[str, Any]:
    return page.evaluate("avatar328.player.stats()")


def notice(page: Page) -> str:
    return page.evaluate("document.getElementById('notice').hidden ? '' : document.getElementById('notice').innerText")
