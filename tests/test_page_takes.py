"""Takes in a real browser: an honest wait, the player under the stage, the strip, captions, and what is remembered."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.page_browser import WATCH, browser, choose_voice, notice, open_page, said, say, stats, until
from tests.page_server import FPS, PORTRAIT, SIZE, Told, create_stand_in, serve

__all__ = ["browser"]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Told]]:
    app, told = create_stand_in()
    with serve(app) as url:
        yield url, told


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext, site: tuple[str, Told]) -> Page:
    return open_page(context.new_page(), site[0])


VOICE = "avatar328.page.voice"


# --- the wait ----------------------------------------------------------------------------------------


def test_slower_than_real_time_it_says_when_and_plays_once_without_a_stop(page: Page) -> None:
    """A machine at half of real time: an honest wait instead of stalls."""
    page.evaluate("""() => {
      window.told = [];
      const look = () => {
        requestAnimationFrame(look);
        const text = document.getElementById("state-text").textContent;
        if (window.told.at(-1)?.text !== text) window.told.push({ text, at_ms: performance.now() });
      };
      look();
    }""")
    say(page, "seconds=5 pace=0.08 own words " + "x" * 40)  # as many letters as 5 s have
    said(page)
    told = page.evaluate("window.told")
    waits = [look for look in told if look["text"].startswith("Ready in ")]
    assert waits, told
    begun_ms = next(look["at_ms"] for look in told if look["text"] == "Speaking")
    off_s = [abs((begun_ms - look["at_ms"]) / 1000 - int(look["text"].split()[2])) for look in waits]
    assert off_s[0] < 3, "the first promise is about kept"
    assert np.median(off_s) < 3, "and those after it"
    promised_s = [int(look["text"].split()[2]) for look in waits]
    assert all(after < before or after > before + 1 for before, after in pairwise(promised_s)), "it counts down"
    assert stats(page)["underruns"] == 0
    assert begun_ms - waits[0]["at_ms"] < 10_000, "it does not wait until everything is here"


def test_faster_than_real_time_it_begins_at_once(page: Page) -> None:
    say(page, "seconds=10 pace=0.005")
    until(page, "avatar328.player.stats().played_s > 0.1")
    assert stats(page)["ready_ms"] < 900
    page.keyboard.press("Escape")


# --- the player --------------------------------------------------------------------------------------


def test_a_take_is_played_again_paused_sought_and_slowed(page: Page, site: tuple[str, Told]) -> None:
    page.evaluate(WATCH)
    say(page, "seconds=4")
    said(page)
    asked = len(site[1].requests)
    page.click("#play")
    until(page, "avatar328.player.state === 'replaying' && avatar328.player.stats().played_s > 0.3")
    page.click("#play")
    assert page.evaluate("avatar328.player.state") == "paused"
    page.wait_for_timeout(100)
    still = page.evaluate("[avatar328.player.stats().played_s, window.seen.at(-1).index]")
    page.wait_for_timeout(300)
    assert page.evaluate("[avatar328.player.stats().played_s, window.seen.at(-1).index]") == still
    page.fill("#seek", "3")
    until(page, f"window.seen.at(-1).index === {3 * FPS}")
    assert page.inner_text("#played") == "0:03"
    page.select_option("#rate", "0.5")
    page.click("#play")
    began = page.evaluate("[performance.now(), avatar328.player.stats().played_s]")
    page.wait_for_timeout(600)
    ended = page.evaluate("[performance.now(), avatar328.player.stats().played_s]")
    speed = 1000 * (ended[1] - began[1]) / (ended[0] - began[0])
    assert 0.3 < speed < 0.65
    until(page, "avatar328.player.state === 'idle'", 10)
    page.wait_for_timeout(600)
    assert page.evaluate("window.seen.at(-1).open") is False
    assert len(site[1].requests) == asked, "nothing is generated again"


def test_speech_can_be_paused_while_it_is_made(page: Page) -> None:
    say(page, "seconds=4 pace=0.02")
    until(page, "avatar328.player.stats().played_s > 0.5")
    page.click("#play")
    assert page.inner_text("#state-text") == "Paused"
    at_s = page.evaluate("avatar328.player.stats().played_s")
    page.wait_for_timeout(300)
    assert page.evaluate("avatar328.player.stats().played_s") == pytest.approx(at_s, abs=0.06)
    page.click("#play")
    said(page)
    assert stats(page)["underruns"] == 0


# --- the strip ---------------------------------------------------------------------------------------


def test_takes_are_kept_over_a_reload(page: Page, site: tuple[str, Told]) -> None:
    for text in ("seconds=1 first", "seconds=2 second"):
        say(page, text)
        said(page)
    page.wait_for_timeout(300)  # stored
    page.reload()
    until(page, "document.querySelectorAll('.take').length === 2 && !document.getElementById('canvas').hidden")
    assert page.locator(".take-words").all_inner_texts() == ["seconds=2 second", "seconds=1 first"]
    assert page.locator(".take-length").all_inner_texts() == ["0:02", "0:01"]
    until(page, "[...document.querySelectorAll('.take img')].every((image) => image.naturalWidth > 0)")
    asked = len(site[1].requests)
    page.evaluate(WATCH)
    page.locator(".take-play").last.click()
    until(page, "avatar328.player.state === 'replaying'")
    until(page, "avatar328.player.state === 'idle'")
    assert max(look["index"] for look in page.evaluate("window.seen")) == FPS - 1
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "drawn-seconds-1-first.mp4"
    with page.expect_download():
        page.click("#download-captioned")
    assert [list(request) for request in site[1].requests[asked:]] == [["mp4"]] * 2, "nothing is generated again"
    told = [request["mp4"]["captions"] for request in site[1].requests[asked:]]
    assert told == [[], [{"at": 0, "text": "Sentence 0."}]]
    page.locator(".take-away").first.click()
    assert page.locator(".take-words").all_inner_texts() == ["seconds=1 first"]
    page.wait_for_timeout(200)
    page.reload()
    until(page, "avatar328.page.takesLoaded")
    assert page.locator(".take-words").all_inner_texts() == ["seconds=1 first"]


def test_what_was_stopped_is_a_take_too(page: Page) -> None:
    say(page, "seconds=20 pace=0.02")
    until(page, "avatar328.player.stats().played_s > 1")
    page.keyboard.press("Escape")
    until(page, "document.querySelectorAll('.take').length === 1")
    assert page.is_enabled("#download")


def test_without_storage_takes_last_as_long_as_the_page(context: BrowserContext, site: tuple[str, Told]) -> None:
    page = context.new_page()
    page.add_init_script("indexedDB.open = () => { throw new DOMException('no', 'InvalidStateError'); }")
    open_page(page, site[0])
    say(page, "seconds=1")
    said(page)
    assert "Takes last as long as this page" in notice(page)
    assert page.locator(".take").count() == 1


# --- one tap -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("button", ["#meet", "#examples button"])
def test_one_tap_speaks(page: Page, site: tuple[str, Told], button: str) -> None:
    page.locator(button).first.click()
    until(page, "avatar328.player.stats().played_s > 0.1")
    words = "Hello, I am Drawn." if button == "#meet" else "Good morning!"
    assert site[1].requests[-1]["text"].startswith(words)
    assert page.input_value("#text").startswith(words)
    assert not page.is_visible("#meet")


# --- captions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1280, 390])
def test_captions_have_two_lines_below_the_face(browser: Browser, site: tuple[str, Told], width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    page = open_page(context.new_page(), site[0])
    say(page, "seconds=2 long words")
    until(page, "document.getElementById('caption').textContent !== ''")
    box = page.evaluate(
        """() => {
          const caption = document.getElementById("caption");
          const { top, height } = caption.getBoundingClientRect();
          const { bottom } = document.getElementById("picture").getBoundingClientRect();
          return [caption.scrollHeight, height, parseFloat(getComputedStyle(caption).lineHeight), top - bottom];
        }"""
    )
    text_px, height_px, line_px, below_px = box
    assert text_px <= height_px + 1, "nothing is cut off"
    assert height_px <= 2 * line_px + 1
    assert below_px >= 0
    context.close()


def test_captions_can_be_switched_off_and_stay_off(page: Page) -> None:
    page.click("#captions")
    assert page.get_attribute("#captions", "aria-pressed") == "false"
    say(page, "seconds=1")
    until(page, "avatar328.player.stats().played_s > 0.3")
    assert not page.is_visible("#caption")
    page.reload()
    until(page, "!document.getElementById('canvas').hidden")
    assert page.get_attribute("#captions", "aria-pressed") == "false"


def test_captions_are_saved_as_subtitles(page: Page) -> None:
    say(page, "seconds=4 Good morning")
    said(page)
    for kind, expected in {
        "srt": "1\n00:00:00,000 --> 00:00:02,000\nSentence 0.\n\n2\n00:00:02,000 --> 00:00:04,000\nSentence 1.\n",
        "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:02.000\nSentence 0.\n\n00:00:02.000 --> 00:00:04.000\nSentence 1.\n",
    }.items():
        with page.expect_download() as download:
            page.click(f"#{kind}")
        assert download.value.suggested_filename == f"drawn-seconds-4-good-morning.{kind}"
        assert Path(download.value.path()).read_text("utf-8") == expected


# --- what is remembered ------------------------------------------------------------------------------


def test_the_choice_is_in_the_address_and_kept(page: Page, context: BrowserContext, site: tuple[str, Told]) -> None:
    choose_voice(page, "espeak:en-gb")
    say(page, "seconds=1 kept")
    said(page)
    assert "voice=espeak%3Aen-gb" in page.url
    assert "text=seconds%3D1+kept" in page.url
    again = open_page(context.new_page(), site[0])
    assert (again.input_value("#text"), again.evaluate(VOICE)) == ("seconds=1 kept", "espeak:en-gb")
    linked = open_page(context.new_page(), f"{site[0]}/?avatar=drawn&voice=flite:slt&text=From+a+link")
    assert (linked.input_value("#text"), linked.evaluate(VOICE)) == ("From a link", "flite:slt")


SHAPE = """(() => {
  const [stage, whole] = ["picture", "canvas"].map((id) => document.getElementById(id).getBoundingClientRect());
  return [stage.left - whole.left, stage.top - whole.top, stage.width, stage.height].map((px) => px / whole.width);
})()"""


def test_the_picture_has_the_shape_that_was_chosen(page: Page, context: BrowserContext, site: tuple[str, Told]) -> None:
    """In the page a part of the whole pictures, in the take's MP4 the same part; in the address, and kept."""
    whole = page.evaluate(SHAPE)
    page.select_option("#aspect", "portrait")
    assert "aspect=portrait" in page.url
    part = [px / SIZE for px in PORTRAIT]
    assert page.evaluate(SHAPE) == pytest.approx(part, abs=0.01)
    say(page, "seconds=1 tall")
    said(page)
    with page.expect_download():
        page.click("#download")
    assert site[1].requests[-1]["mp4"]["crop"] == PORTRAIT
    again = open_page(context.new_page(), site[0])
    assert again.input_value("#aspect") == "portrait"
    assert again.evaluate(SHAPE) == pytest.approx(part, abs=0.01)
    again.select_option("#aspect", "original")
    assert again.evaluate(SHAPE) == pytest.approx(whole, abs=0.01)
    assert "aspect" not in again.url
    linked = open_page(context.new_page(), f"{site[0]}/?aspect=round")
    assert linked.input_value("#aspect") == "original"


def test_the_limit_of_uploads_is_said_before_anything_is_sent(page: Page, site: tuple[str, Told]) -> None:
    assert page.inner_text("#limits") == "WAV, MP3, M4A or a video, up to 8 MB and 10 min"
    asked = len(site[1].requests)
    page.set_input_files("#file", {"name": "long.wav", "mimeType": "audio/wav", "buffer": bytes(9 << 20)})
    assert "long.wav has 9 MB; this server takes 8 MB." in notice(page)
    assert len(site[1].requests) == asked


# --- the connection ----------------------------------------------------------------------------------


def test_when_the_server_dies_the_mouth_closes(browser: Browser) -> None:
    """A server that goes while it speaks: what was made is heard, then the mouth is shut, and one state says why."""
    app, _ = create_stand_in()
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    with serve(app) as url:
        page = open_page(context.new_page(), url)
        page.evaluate(WATCH)
        say(page, "seconds=60 pace=0.03")
        until(page, "avatar328.player.stats().played_s > 0.8")
    until(page, "avatar328.player.state === 'idle'", 15)
    until(page, "document.getElementById('server').textContent === 'Offline'")
    page.wait_for_timeout(1500)
    last = page.evaluate("window.seen.at(-1)")
    assert (last["index"], last["open"]) == (-1, False)
    assert page.inner_text("#state-text") == "Offline"
    assert "Not connected" in notice(page)
    context.close()


def test_the_poster_is_on_stage_in_the_first_paint(context: BrowserContext, site: tuple[str, Told]) -> None:
    page = context.new_page()
    page.route("**/app.js", lambda route: None)  # never answered: nothing but the document and the poster
    page.goto(site[0], wait_until="commit")
    until_poster = "() => document.getElementById('poster')?.naturalWidth > 0"
    for _ in range(100):
        if page.evaluate(until_poster):
            break
        page.wait_for_timeout(20)
    assert page.is_visible("#poster")
    assert page.evaluate("document.getElementById('poster').getBoundingClientRect().width") > 300
