"""The page as a visitor uses it, in a real browser: controls, messages, keyboard, looks."""

from __future__ import annotations

import io
import wave
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.page_browser import ARTIFACTS, browser, choose_voice, notice, open_page, said, say, stats, until
from tests.page_server import Told, create_stand_in, serve

__all__ = ["browser"]


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Told]]:
    app, told = create_stand_in()
    with serve(app) as url:
        yield url, told


@pytest.fixture
def page(browser: Browser, site: tuple[str, Told]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield open_page(context.new_page(), site[0])
    context.close()


def wav_bytes(seconds: float) -> bytes:
    memory = io.BytesIO()
    with wave.open(memory, "wb") as recording:
        recording.setparams((1, 2, 16000, 0, "NONE", ""))
        recording.writeframes(bytes(int(seconds * 32000)))
    return memory.getvalue()


DROP = """([name, text]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(text, (c) => c.charCodeAt(0))], name));
  const send = (kind) =>
    document.body.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  send("dragenter");
  send("dragover");
  const hinted = !document.getElementById("drop").hidden;
  send("drop");
  return [hinted, !document.getElementById("drop").hidden];
}"""


def test_an_uploaded_recording_is_said_and_can_be_saved(page: Page, site: tuple[str, Told]) -> None:
    page.set_input_files("#file", {"name": "words.wav", "mimeType": "audio/wav", "buffer": wav_bytes(1.2)})
    until(page, "avatar328.player.stats().played_s > 0.3")
    said(page)
    assert site[1].requests[-1]["file"] == "words.wav"
    assert page.inner_text("#generated") == "0:01"
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "drawn-words.mp4"


def test_a_recording_can_be_dropped_anywhere(page: Page, site: tuple[str, Told]) -> None:
    assert page.evaluate(DROP, ["dropped.wav", wav_bytes(0.6).decode("latin-1")]) == [True, False]
    until(page, "avatar328.player.stats().played_s > 0.2")
    assert site[1].requests[-1]["file"] == "dropped.wav"


def test_a_text_file_is_refused_in_words(page: Page) -> None:
    page.set_input_files("#file", {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no sound at all"})
    until(page, "!document.getElementById('notice').hidden")
    assert "notes.txt cannot be decoded as sound; send a WAV or MP3." in notice(page)
    assert not page.is_visible("#notice-retry"), "asking again for the same file cannot help"
    said(page)
    page.click("#notice-close")
    assert notice(page) == ""


def test_a_busy_server_is_asked_again_when_it_said(page: Page, site: tuple[str, Told]) -> None:
    say(page, "busy")
    until(page, "!document.getElementById('notice').hidden")
    assert "All 4 places are taken." in notice(page)
    assert page.is_disabled("#notice-retry")
    assert "Try again in" in page.inner_text("#notice-retry")
    asked = len(site[1].requests)
    until(page, "!document.getElementById('notice-retry').disabled", 5)
    page.fill("#text", "seconds=1")
    page.click("#notice-retry")
    said(page)
    assert len(site[1].requests) == asked + 1


def test_a_server_that_is_gone_is_told(page: Page) -> None:
    """One state in header, pill and toast; the page finds the server again by itself, and offers to say it again."""
    page.route("**/generate?*", lambda route: route.abort())
    page.route("**/health", lambda route: route.abort())
    say(page, "Is anybody there?")
    until(page, "!document.getElementById('notice').hidden")
    assert "Not connected" in notice(page)
    assert page.inner_text("#server") == page.inner_text("#state-text") == "Offline"
    box = page.locator("#notice").bounding_box()
    assert box is not None
    assert box["y"] > 0, "the toast is in view"
    assert box["y"] + box["height"] <= 900, "the toast is in view"
    page.unroute("**/health")
    page.unroute("**/generate?*")
    until(page, "document.getElementById('notice').innerText.includes('Connected again')", 15)
    assert page.inner_text("#server") == page.inner_text("#state-text") == "Ready"
    page.click("#notice-action")
    until(page, "avatar328.player.stats().played_s > 0.2")


def test_the_page_starts_by_itself_when_the_server_comes_back(browser: Browser, site: tuple[str, Told]) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route("**/avatars", lambda route: route.abort())
    page.goto(site[0])
    until(page, "!document.getElementById('notice').hidden")
    assert page.inner_text("#server") == "Offline"
    assert page.inner_text("#empty") == "The avatar appears here as soon as the server answers."
    page.unroute("**/avatars")
    until(page, "!document.getElementById('canvas').hidden")
    assert page.inner_text("#server") == "Ready"
    assert not page.is_visible("#empty")
    context.close()


@pytest.mark.parametrize(
    ("rate", "limit", "says"), [(156.0, 4, "4 at a time"), (13.4, 1, "slower than real time: 13 of 25 frames/s")]
)
def test_what_the_machine_was_measured_to_do_is_told(
    browser: Browser, site: tuple[str, Told], rate: float, limit: int, says: str
) -> None:
    url, told = site
    before = told.sessions
    told.sessions = {"limit": 2, "source": "provisional", "measured": None}
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    until(page, "document.getElementById('server').textContent === 'Ready'")
    assert "Flite" not in page.inner_text("body"), "the first screen is plain"
    page.click("summary")
    told.sessions = {"limit": limit, "source": "measured", "measured": {"frames_per_s": rate}}
    until(page, f"document.getElementById('server-facts').innerText.includes('{says}')")
    assert "Flite" in page.inner_text("#server-facts")
    told.sessions = before
    context.close()


def test_the_theme_can_be_chosen_and_is_remembered(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    page.click("#theme")
    assert page.evaluate(background) != light
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.get_attribute("#theme", "aria-label") == "Colours: dark. Change"


def test_text_that_cannot_be_said_never_leaves_the_page(page: Page, site: tuple[str, Told]) -> None:
    asked = len(site[1].requests)
    page.click("#speak")
    assert "There is nothing to say yet" in notice(page)
    page.fill("#text", "a" * 301)
    assert page.inner_text("#count") == "301 / 300"
    page.keyboard.press("Control+Enter")
    assert "It has 301 characters; this server takes 300." in notice(page)
    assert len(site[1].requests) == asked


def test_what_was_said_can_be_downloaded(page: Page, site: tuple[str, Told]) -> None:
    """The MP4 is made of what is here, nothing is generated again; the button says that it is at work."""
    assert page.is_disabled("#download")
    say(page, "seconds=0.6 & more")
    said(page)
    asked = len(site[1].requests)
    page.evaluate(
        """() => {
          window.told = [];
          const button = document.getElementById("download");
          const note = () => window.told.push([button.getAttribute("aria-busy"), button.innerText]);
          new MutationObserver(note).observe(button, { attributes: true });
        }"""
    )
    with page.expect_download() as download:
        page.click("#download")
    assert page.evaluate("told[0]") == ["true", "Making MP4…"]
    assert download.value.suggested_filename == "drawn-seconds-0-6-more.mp4"
    (request,) = site[1].requests[asked:]
    sent = request["mp4"]
    assert (len(sent["sizes"]), sum(sent["sizes"]), sent["sound"]) == (15, sent["pictures"], 15 * 1280)
    until(page, "document.getElementById('download').innerText === 'MP4'")


def test_choices_are_sent(page: Page, site: tuple[str, Told]) -> None:
    choose_voice(page, "espeak:en-gb")
    page.evaluate("document.getElementById('speed').value = 1.5")
    page.evaluate("document.getElementById('speed').dispatchEvent(new Event('input'))")
    assert page.inner_text("#speed-value") == "1.5×"
    say(page, "seconds=0.4")
    said(page)
    asked = site[1].requests[-2 if "format" in site[1].requests[-1] else -1]
    assert (asked["voice"], asked["speed"], asked["avatar"]) == ("espeak:en-gb", 1.5, "drawn")


def test_avatars_are_listed_plainly_and_their_quality_is_behind_details(page: Page) -> None:
    listed = page.inner_text("#avatars")
    assert "Lip sync" not in page.inner_text("body")
    page.click("summary")
    assert "Lip sync 0.93, sharpness 0.60: follows closely, crisp" in page.inner_text("#qualities")
    assert "its hash differs; copy the avatar again" in listed
    assert page.is_disabled("input[value=damaged]")
    assert page.is_checked("input[value=drawn]")
    assert page.inner_text("h1") == "What should Drawn say?"


def test_without_idle_frames_the_poster_stays_and_it_is_said(browser: Browser, site: tuple[str, Told]) -> None:
    context = browser.new_context()
    page = context.new_page()
    site[1].idle_broken = True
    try:
        page.goto(site[0])
        until(page, "!document.getElementById('notice').hidden")
        assert "The avatar stands still for now" in notice(page)
        assert "Its frames cannot be read." in notice(page)
        until(page, "document.getElementById('poster').naturalWidth > 0")
        assert page.is_visible("#poster")
        assert not page.is_visible("#canvas")
        say(page, "seconds=0.6")
        until(page, "!document.getElementById('canvas').hidden")
        said(page)
    finally:
        site[1].idle_broken = False
    until(page, "avatar328.player.stats().idle_frames > 50")  # it keeps trying
    context.close()


def test_everything_has_a_name_and_a_place_in_the_tab_order(page: Page) -> None:
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, a, [role]")]
          .filter((e) => e.checkVisibility() && e.getAttribute("aria-hidden") !== "true")
          .filter((e) => !(e.getAttribute("aria-label") || e.innerText?.trim() || e.labels?.length || e.title))
          .map((e) => e.outerHTML)"""
    )
    assert nameless == []
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    for control in ("text", "upload", "speak", "voice", "speed", "theme"):
        assert control in reached
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_the_label_is_always_on_the_picture(page: Page) -> None:
    assert page.is_visible("text=AI-generated")
    say(page, "seconds=1")
    until(page, "avatar328.player.stats().played_s > 0.3")
    inside = page.evaluate(
        """() => {
          const label = document.querySelector(".made").getBoundingClientRect();
          const picture = document.getElementById("canvas").getBoundingClientRect();
          return label.left > picture.left && label.right < picture.right && label.top > picture.top;
        }"""
    )
    assert inside
    assert page.is_visible("text=AI-generated")
    said(page)


def test_debug_controls(page: Page, site: tuple[str, Told]) -> None:
    assert page.inner_text("summary") == "Details"
    page.click("summary")
    until(page, "!document.getElementById('debug-enabled').checked")
    page.check("#debug-enabled")
    until(page, "document.getElementById('debug-said').textContent.startsWith('Saved')")
    assert site[1].debug["enabled"] is True
    say(page, "seconds=1")
    said(page)
    page.wait_for_timeout(300)
    numbers = page.inner_text("#numbers")
    for name in ("Buffer", "Skew p95", "Late frames", "Underruns", "First frame after"):
        assert name in numbers


def test_reduced_motion_stands_still_and_still_speaks(browser: Browser, site: tuple[str, Told]) -> None:
    context = browser.new_context(reduced_motion="reduce")
    page = open_page(context.new_page(), site[0])
    page.wait_for_timeout(500)
    assert len(stats(page)["shown"]) == 1
    say(page, "seconds=1")
    said(page)
    assert len([shown for shown in stats(page)["shown"] if shown["kind"] == "speech"]) >= 15
    context.close()


# Playwright's own calls count as clicks, so the browser's rule is played here: no sound before a pointer goes down.
SILENT_BEFORE_A_CLICK = """
  let clicked = false;
  addEventListener("pointerdown", () => (clicked = true), true);
  const Real = window.AudioContext;
  window.AudioContext = class extends Real {
    constructor(options) {
      super(options);
      if (!clicked) super.suspend();
    }
    resume() {
      return clicked ? super.resume() : new Promise(() => {});
    }
  };
"""


def test_a_dropped_file_waits_for_a_click_before_it_sounds(browser: Browser, site: tuple[str, Told]) -> None:
    """Dropping a file is no permission to play sound; a click is."""
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script(SILENT_BEFORE_A_CLICK)
    open_page(page, site[0])
    page.evaluate(DROP, ["dropped.wav", wav_bytes(1).decode("latin-1")])
    until(page, "avatar328.player.state === 'blocked'")
    assert page.is_visible("text=Play with sound")
    assert stats(page)["played_s"] == 0
    page.click("#unmute")
    until(page, "avatar328.player.stats().played_s > 0.5")
    assert not page.is_visible("#unmute")
    said(page)
    assert len([shown for shown in stats(page)["shown"] if shown["kind"] == "speech"]) >= 15
    context.close()


@pytest.mark.parametrize("width", [1440, 768, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_fits(browser: Browser, site: tuple[str, Told], width: int, theme: str) -> None:
    """Nothing sticks out sideways; the pictures are for people to look at: tests/artifacts."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme)  # type: ignore[arg-type]
    page = open_page(context.new_page(), site[0])
    page.screenshot(path=_artifact(f"page-{width}-{theme}.png"), full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) > 384) == (theme == "light")
    assert page.evaluate("document.getElementById('speak').getBoundingClientRect().bottom") < 1000
    context.close()


def _artifact(name: str) -> Path:
    ARTIFACTS.mkdir(exist_ok=True)
    return ARTIFACTS / name
