"""The player in a real browser: what is on the canvas while which sound is heard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.page_browser import LISTEN, WATCH, browser, notice, open_page, said, say, stats, until
from tests.page_server import FPS, VOICED_FRAMES, Told, create_stand_in, is_voiced, serve

__all__ = ["browser"]
FRAME_S = 1 / FPS
MIXED_FRAMES = 4  # where speech fades into idling, whose barcodes cannot be read


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Told]]:
    app, told = create_stand_in()
    with serve(app) as url:
        yield url, told


@pytest.fixture
def page(browser: Browser, site: tuple[str, Told]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 800})
    yield open_page(context.new_page(), site[0])
    context.close()


def seen(page: Page) -> list[dict[str, Any]]:
    return page.evaluate("window.seen")


def spoken(page: Page) -> list[dict[str, Any]]:
    return [look for look in seen(page) if look["index"] >= 0]


def skew_s(page: Page) -> np.ndarray:
    """For every frame on the canvas: how long after its own sound it appeared."""
    bursts = page.evaluate("window.bursts")
    looks = spoken(page)
    assert len(bursts) == max(look["index"] for look in looks) // FPS + 1
    return np.array([look["heard_s"] - bursts[look["index"] // FPS] - look["index"] % FPS * FRAME_S for look in looks])


def assert_no_jump(page: Page) -> None:
    """Each picture is the template's neighbour of the one before, unless frames of speech were skipped."""
    for before, after in pairwise(seen(page)):
        mixed = MIXED_FRAMES if before["index"] >= 0 and after["index"] < 0 else 0
        skipped = max(0, after["index"] - before["index"] - 1)
        assert abs(after["template"] - before["template"]) <= 1 + skipped + mixed, (before, after)
    for before, after in pairwise(stats(page)["shown"]):
        skipped = max(0, after["index"] - before["index"] - 1)
        assert abs(after["template_index"] - before["template_index"]) <= 1 + skipped, (before, after)


def test_it_idles_with_a_closed_mouth(page: Page) -> None:
    page.evaluate(WATCH)
    page.wait_for_timeout(1500)
    looks = seen(page)
    assert 12 <= len(looks) <= 45  # 25 pictures a second, fewer on a busy machine
    assert_no_jump(page)
    assert {look["index"] for look in looks} == {-1}
    assert not any(look["open"] for look in looks)
    assert len({look["template"] for look in looks}) >= 12


def test_it_says_a_text_and_goes_on_idling(page: Page, site: tuple[str, Told]) -> None:
    page.evaluate(WATCH)
    say(page, "seconds=3")
    until(page, "avatar328.player.stats().played_s > 0.5")
    assert page.inner_text("#caption") == "Sentence 0."
    until(page, "avatar328.player.stats().played_s > 2.3")
    assert page.inner_text("#caption") == "Sentence 1."
    said(page)
    page.wait_for_timeout(400)
    looks = spoken(page)
    indices = [look["index"] for look in looks]
    assert indices == sorted(set(indices))
    assert len(indices) >= 50, "75 frames were sent; a busy machine may skip some"
    assert all(look["open"] == is_voiced(look["index"]) for look in looks)
    assert sum(look["open"] for look in looks) >= VOICED_FRAMES
    assert_no_jump(page)
    tail = seen(page)[-5:]
    assert {look["index"] for look in tail} == {-1}
    assert not any(look["open"] for look in tail[-2:])
    asked = site[1].requests[-1]
    assert abs(looks[0]["template"] - asked["start_frame"]) == looks[0]["index"]
    assert page.inner_text("#caption") == ""


@pytest.mark.slow
def test_lips_stay_with_the_sound_for_thirty_seconds(page: Page) -> None:
    page.evaluate(WATCH)
    page.evaluate(LISTEN)
    say(page, "seconds=30 pace=0")
    most = 0.0
    while page.evaluate("avatar328.player.busy"):
        most = max(most, page.evaluate("avatar328.player.stats().buffer_s"))
        page.wait_for_timeout(200)
    assert 2.0 < most <= 20.5, "all is sent at once; the page must read no more than twenty seconds ahead"
    late_s = np.abs(skew_s(page))
    shown = stats(page)
    p50_ms, p95_ms = 1000 * np.quantile(late_s, [0.5, 0.95])
    print(f"skew over 30 s: p50 {p50_ms:.0f} ms, p95 {p95_ms:.0f} ms, max {1000 * late_s.max():.0f} ms; ", end="")  # noqa: T201
    print({key: value for key, value in shown.items() if key != "shown"}, len(late_s), "frames")  # noqa: T201
    assert np.quantile(late_s, 0.95) <= FRAME_S
    assert len(late_s) >= 0.8 * 30 * FPS
    assert shown["audio_shifts"] == 0


def test_starved_it_stops_sound_and_picture_together(page: Page) -> None:
    page.evaluate(WATCH)
    page.evaluate(LISTEN)
    say(page, "seconds=4 stall=1.5@2.0 pace=0.03")
    until(page, "avatar328.player.state === 'starved'")
    page.wait_for_timeout(150)
    first = page.evaluate("[avatar328.player.sound.context.currentTime, window.seen.at(-1).index]")
    page.wait_for_timeout(300)
    second = page.evaluate("[avatar328.player.sound.context.currentTime, window.seen.at(-1).index]")
    assert second == first
    said(page)
    assert stats(page)["underruns"] == 1
    late_s = np.abs(skew_s(page))
    assert np.median(late_s) <= FRAME_S, "the pause must not move the picture against the sound"
    assert np.quantile(late_s, 0.9) <= 2 * FRAME_S  # a busy machine paints late; the bar is in the test above
    bursts = np.diff(page.evaluate("window.bursts"))
    np.testing.assert_allclose(bursts, 1.0, atol=0.001 if stats(page)["audio_shifts"] == 0 else 0.1)
    assert spoken(page)[-1]["index"] == 4 * FPS - 1


def test_stop_is_immediate_here_and_on_the_server(page: Page, site: tuple[str, Told]) -> None:
    page.evaluate(WATCH)
    say(page, "seconds=30 pace=0.03")
    until(page, "avatar328.player.stats().played_s > 1")
    assert site[1].active == 1
    pressed = time.monotonic()
    page.keyboard.press("Escape")
    state, gain = page.evaluate(
        "async () => { const {state, sound} = avatar328.player; await new Promise(r => setTimeout(r, 60));"
        " return [state, sound.output.gain.value]; }"
    )
    assert (state, gain) == ("idle", 0)
    while site[1].active:
        assert time.monotonic() < pressed + 2, "the server still speaks to nobody"
        time.sleep(0.01)
    assert site[1].freed_at[-1] - pressed < 0.5
    page.wait_for_timeout(500)
    looks = seen(page)
    assert_no_jump(page)
    assert looks[-1]["index"] == -1
    assert not looks[-1]["open"]
    assert page.evaluate("document.getElementById('stop').hidden")


def test_what_was_made_is_said_before_a_failure_is_told(page: Page) -> None:
    page.evaluate(WATCH)
    say(page, "seconds=5 fail@1.0")
    said(page)
    assert spoken(page)[-1]["index"] == FPS - 1
    assert "The voice broke" in notice(page)
    assert page.is_visible("#notice-retry")


def test_a_second_text_replaces_the_first(page: Page, site: tuple[str, Told]) -> None:
    say(page, "seconds=20")
    until(page, "avatar328.player.stats().played_s > 0.5")
    page.fill("#text", "seconds=1 rate=22050")
    page.keyboard.press("Control+Enter")
    said(page)
    assert stats(page)["sample_rate_hz"] == 22050
    ended = f"(last => last.kind === 'idle' || last.index === {FPS - 1})(avatar328.player.stats().shown.at(-1))"
    until(page, ended)  # a busy browser may show the very last picture a little later
    assert site[1].active == 0


def test_a_hidden_page_goes_on_speaking(page: Page) -> None:
    """Browsers draw nothing in a hidden tab; the sound must not run dry because no picture is taken."""
    say(page, "seconds=7 pace=0.01")
    until(page, "avatar328.player.stats().played_s > 0.5")
    page.evaluate("window.requestAnimationFrame = () => 0")
    said(page)
    told = stats(page)
    assert told["underruns"] == 0
    assert told["first_frame_ms"] < 2000
    assert page.evaluate("avatar328.player.stats().shown.at(-1).index") < 3 * FPS
