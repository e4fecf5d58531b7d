"""The page against the real server: a toy avatar, a voice that hums, a real browser."""

from __future__ import annotations

import io
import time
import wave
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from recipe.sound import to_pcm16
from services.container import Services
from tests.page_browser import ARTIFACTS, browser, notice, open_page, said, say, stats, until
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for
from tests.toy_avatar import FRAMES, SIZE, toy_avatars, toy_services

__all__ = ["browser", "toy_avatars", "toy_services"]

# Notes for every picture that the player has drawn what the canvas shows around the mouth, as 8 x 8 mean colours.
WATCH_MOUTH = f"""() => {{
  const canvas = document.getElementById("canvas");
  const small = new OffscreenCanvas(8, 8).getContext("2d", {{ willReadFrequently: true }});
  window.mouths = [];
  let last = -1;
  const look = () => {{
    requestAnimationFrame(look);
    const shown = window.avatar328.player.stats().shown.at(-1);
    if (!shown || shown.at_ms === last) return;
    last = shown.at_ms;
    const [x, y, width, height] = [{SIZE * 0.36}, {SIZE * 0.5}, {SIZE * 0.28}, {SIZE * 0.2}];
    small.drawImage(canvas, x, y, width, height, 0, 0, 8, 8);
    window.mouths.push({{ ...shown, pixels: Array.from(small.getImageData(0, 0, 8, 8).data) }});
  }};
  requestAnimationFrame(look);
}}"""


@pytest.fixture(scope="module")
def url(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = settings_for(toy_avatars, tmp_path_factory.mktemp("page"))
    with served(app_for(settings, toy_services)) as address:
        yield address


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield open_page(context.new_page(), url)
    context.close()


def recording(*parts_S: np.ndarray) -> bytes:
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(to_pcm16(np.concatenate(parts_S)).tobytes())
    return memory.getvalue()


def away_from_rest(page: Page) -> list[tuple[float, float]]:
    """For every spoken frame: when it was due, and how far its mouth is from the idle picture of the same place."""
    mouths: list[dict[str, Any]] = page.evaluate("window.mouths")
    idle: dict[int, list[np.ndarray]] = {}
    for before, mouth in pairwise(mouths):
        if mouth["kind"] == before["kind"] == "idle":
            idle.setdefault(mouth["template_index"], []).append(np.array(mouth["pixels"], float))
    spoken = [mouth for mouth in mouths if mouth["kind"] == "speech" and mouth["template_index"] in idle]
    return [
        (mouth["index"] / mouth["fps"], min(np.abs(np.array(mouth["pixels"]) - rest).mean() for rest in rests))
        for mouth in spoken
        for rests in [idle[mouth["template_index"]]]
    ]


def test_the_mouth_moves_with_the_sound_and_rests_in_silence(page: Page) -> None:
    until(page, f"avatar328.player.stats().idle_frames >= {FRAMES - 10}")
    page.evaluate(WATCH_MOUTH)
    page.wait_for_timeout(2600)  # once through the toy's template
    silence_S = np.zeros(RATE_HZ, np.float32)
    sound = recording(silence_S, hum("one two three four five"), silence_S)
    page.set_input_files("#file", {"name": "said.wav", "mimeType": "audio/wav", "buffer": sound})
    until(page, "avatar328.player.stats().played_s > 1.5")
    page.screenshot(path=_artifact("service-speaking.png"))
    said(page)
    page.wait_for_timeout(2600)
    away = away_from_rest(page)
    silent = [distance for at_s, distance in away if at_s < 0.6 or at_s > 2.7]
    voiced = [distance for at_s, distance in away if 1.2 < at_s < 2.1]
    assert len(silent) >= 15
    assert len(voiced) >= 15
    assert np.quantile(silent, 0.9) < 1.0
    assert np.median(voiced) > 4 * np.quantile(silent, 0.9)
    assert np.median(voiced) > 2.0


def test_a_text_is_said_without_a_jump_and_in_time(page: Page) -> None:
    say(page, "Hello there my friend. And now a second one.")
    until(page, "avatar328.player.stats().played_s > 0.3")
    assert page.inner_text("#caption") == "Hello there my friend"
    until(page, "document.getElementById('caption').textContent === 'And now a second one'")
    said(page)
    page.wait_for_timeout(300)
    told = stats(page)
    spoken = [shown for shown in told["shown"] if shown["kind"] == "speech"]
    assert spoken[-1]["index"] == 53
    assert len(spoken) >= 35  # of 54; a busy machine may skip some
    assert told["skew_p95_ms"] <= 40
    for before, after in pairwise(told["shown"]):
        skipped = max(0, after["index"] - before["index"] - 1)
        assert abs(after["template_index"] - before["template_index"]) <= 1 + skipped
    assert told["shown"][-1]["kind"] == "idle"
    with page.expect_download() as download:
        page.click("#download")
    assert Path(download.value.path()).read_bytes()[4:8] == b"ftyp"


def test_stop_frees_the_server(page: Page, url: str) -> None:
    say(page, "word " * 100)
    until(page, "avatar328.player.stats().played_s > 0.5")
    assert httpx.get(f"{url}/health").json()["sessions"]["active"] == 1
    page.click("#stop")
    stopped = time.monotonic()
    assert page.evaluate("avatar328.player.state") == "idle"
    while httpx.get(f"{url}/health").json()["sessions"]["active"]:
        assert time.monotonic() < stopped + 1.0, "the server still speaks to nobody"
    assert page.is_visible("#speak")
    assert page.inner_text("#generated").startswith("Stopped after")


@pytest.mark.parametrize(
    ("name", "content", "word"), [("notes.txt", b"no sound in here", "sound"), ("empty.wav", b"", "empty")]
)
def test_what_is_no_recording_is_refused_in_words(page: Page, name: str, content: bytes, word: str) -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "text/plain", "buffer": content})
    until(page, "!document.getElementById('notice').hidden")
    assert word in notice(page)
    assert not page.is_visible("#notice-retry")
    assert page.evaluate("avatar328.player.state") == "idle"


def test_a_refused_text_is_told(page: Page) -> None:
    say(page, "?!")
    until(page, "!document.getElementById('notice').hidden")
    assert "nothing to say" in notice(page)


def test_debug_mode_is_switched(page: Page, url: str) -> None:
    page.click("summary")
    page.wait_for_timeout(200)
    page.check("#debug-enabled")
    until(page, "document.getElementById('debug-said').textContent.startsWith('Saved')")
    assert httpx.get(f"{url}/debug/status").json()["enabled"] is True
    page.uncheck("#debug-enabled")
    until(page, "document.getElementById('debug-said').textContent.startsWith('Off')")


def _artifact(name: str) -> Path:
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS / name
