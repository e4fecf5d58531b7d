"""The parts of the page that compute, each alone, in the browser they run in."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from services.avatars.template import TemplateWalk
from tests.page_browser import browser, open_page
from tests.page_server import create_stand_in, serve

__all__ = ["browser"]


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with serve(create_stand_in()[0]) as url:
        context = browser.new_context()
        yield open_page(context.new_page(), url)
        context.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_whole_for_any_pieces(page: Page, size: int) -> None:
    text = '{"a":"ä€🙂"}\n\n{"b":2}\r\n{"c":3}'
    got = page.evaluate(
        """async ([text, size]) => {
          const { records } = await import("/static/ndjson.js");
          const bytes = new TextEncoder().encode(text);
          let at = 0;
          const body = new ReadableStream({ pull(out) {
            if (at >= bytes.length) return out.close();
            out.enqueue(bytes.slice(at, (at += size)));
          }});
          const found = [];
          for await (const record of records(body)) found.push(record);
          return found;
        }""",
        [text, size],
    )
    assert got == [{"a": "ä€🙂"}, {"b": 2}, {"c": 3}]


def test_splitting_a_long_line_is_linear(page: Page) -> None:
    """Ten times the data in one line takes about ten times the time, not a hundred times."""
    fast_ms, slow_ms = page.evaluate(
        """async () => {
          const { LineSplitter } = await import("/static/ndjson.js");
          const piece = "x".repeat(64);
          const take = (count) => {
            const splitter = new LineSplitter();
            const began = performance.now();
            for (let i = 0; i < count; i += 1) splitter.push(piece);
            if (splitter.push("\\n")[0].length !== 64 * count) throw new Error("lost");
            return performance.now() - began;
          };
          take(20000);
          return [take(40000), take(400000)];
        }"""
    )
    assert slow_ms < 40 * max(fast_ms, 2)


@pytest.mark.parametrize(("start", "direction"), [(0, 1), (7, -1), (40, 1), (59, 1), (25, -1)])
def test_the_walk_is_the_servers(page: Page, start: int, direction: int) -> None:
    low, high = 5, 50
    got = page.evaluate(
        """async ([index, direction, low, high]) => {
          const { step } = await import("/static/walk.js");
          let at = { index, direction };
          return Array.from({ length: 150 }, () => { const shown = at.index; at = step(at, low, high); return shown; });
        }""",
        [start, direction, low, high],
    )
    assert got == TemplateWalk(low, high, start, direction).take(150)


def test_the_idle_walk_stays_where_frames_are(page: Page) -> None:
    got = page.evaluate(
        """async () => {
          const { idleStep } = await import("/static/walk.js");
          let at = { index: 3, direction: 1 };
          return Array.from({ length: 8 }, () => (at = idleStep(at, 0, 100, (i) => i >= 2 && i <= 6)).index);
        }"""
    )
    assert got == [4, 5, 6, 5, 4, 3, 2, 3]


PLAY = """async ([base64, rate, contextRate, group]) => {
  const { SpeechSound } = await import("/static/sound.js");
  const { bytes } = await import("/static/ndjson.js");
  const pcm = bytes(base64);
  const context = new OfflineAudioContext(1, contextRate, contextRate);
  const sound = new SpeechSound(context, rate);
  for (let at = 0; at < pcm.length; at += 2 * group) sound.push(pcm.subarray(at, at + 2 * group));
  const half = sound._waiting.splice(Math.floor(sound._waiting.length / 2));
  const halfSamples = half.reduce((sum, chunk) => sum + chunk.length, 0);
  sound._waitingSamples -= halfSamples;
  sound.start();
  for (const chunk of half) {  // the rest one by one: as many buffers as chunks
    sound._waiting.push(chunk);
    sound._waitingSamples += chunk.length;
    sound.pump(true);
  }
  const heard = (await context.startRendering()).getChannelData(0);
  return Array.from(heard.subarray(Math.round(sound._t0 * contextRate)));
}"""


def _tone(rate_hz: int) -> np.ndarray:
    t_S = np.arange(rate_hz // 2) / rate_hz
    return np.round(12000 * np.sin(2 * np.pi * 440 * t_S)).astype("<i2")


@pytest.mark.parametrize("rate_hz", [16000, 22050, 24000])
def test_sound_in_pieces_is_the_whole_sound(page: Page, rate_hz: int) -> None:
    """Not a sample is lost, doubled or changed where one buffer ends and the next begins."""
    pcm_S = _tone(rate_hz)
    heard = page.evaluate(PLAY, [base64.b64encode(pcm_S.tobytes()).decode(), rate_hz, rate_hz, rate_hz // 25])
    np.testing.assert_allclose(heard[: len(pcm_S)], pcm_S / 32768, atol=1e-6)
    assert np.abs(heard[len(pcm_S) :]).max() == 0


def test_resampled_sound_has_no_clicks(page: Page) -> None:
    """Where the device has one rate only: the tone stays smooth over all seams, and keeps its length."""
    pcm_S = _tone(16000)
    heard = np.array(page.evaluate(PLAY, [base64.b64encode(pcm_S.tobytes()).decode(), 16000, 48000, 640]))
    expected = 12000 / 32768 * np.sin(2 * np.pi * 440 * np.arange(24000 - 6) / 48000)
    np.testing.assert_allclose(heard[: len(expected)], expected, atol=0.005)


@pytest.mark.parametrize(
    ("metrics", "label", "text"),
    [
        ({}, "Unmeasured", "Its quality has not been measured."),
        ({"generated.opening_r": None}, "Unmeasured", "Its quality has not been measured."),
        (
            {"generated.opening_r": 0.93, "generated.sharpness_ratio": 0.6},
            "Good",
            "Lip sync 0.93, sharpness 0.60: follows closely, crisp",
        ),
        (
            {"generated.opening_r": 0.9, "generated.sharpness_ratio": 0.25},
            "Draft",
            "Lip sync 0.90, sharpness 0.25: follows closely, soft",
        ),
        ({"generated.digital_silence_move_percent": 60.0}, "Draft", "Moves in silence"),
    ],
)
def test_quality_in_words(page: Page, metrics: dict[str, float | None], label: str, text: str) -> None:
    got = page.evaluate("async (metrics) => (await import('/static/quality.js')).quality(metrics)", metrics)
    assert (got["label"], got["text"]) == (label, text)
