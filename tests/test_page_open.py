"""What the page does before anybody asks it for anything: little, because a telephone shows nothing meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page_browser import browser, open_page, until
from tests.page_server import create_stand_in, serve

__all__ = ["browser"]
VOICES = 144  # as many as a server with every engine has
MOST_ELEMENTS = 500  # it has 390; the list of the voices alone would bring 1300
PAUSE_MS = 400  # between pieces of idle frames that nobody waits for
PIECES = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('/avatar/frames'))"


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with serve(create_stand_in()[0]) as url:
        yield url


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 412, "height": 823})
    voices = [{"name": f"v:{i}", "engine": "v", "language": "en", "label": f"Voice {i}"} for i in range(VOICES)]
    context.route("**/voices", lambda route: route.fulfill(json={"voices": voices, "default": "v:7"}))
    yield context.new_page()
    context.close()


def test_lists_of_dialogs_are_made_when_they_are_opened(page: Page, site: str) -> None:
    open_page(page, site)
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_ELEMENTS
    assert page.inner_text("#voice-name") == "Voice 7"
    page.click("#voice")
    assert page.locator(".voice").count() == VOICES
    assert page.is_checked("input[value='v:7']")


def test_the_poster_is_fetched_once_and_first(page: Page, site: str) -> None:
    """Not again under the name that the list of the avatars tells, and in no queue behind the modules."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix(site)))
    open_page(page, site)
    assert page.get_attribute("#poster", "src") == "/avatar"
    assert page.evaluate("document.getElementById('poster').naturalWidth") > 0
    assert asked.count("/avatar") == 1
    assert asked.index("/avatar") < asked.index("/static/catalogue.js")


def test_idle_frames_that_nobody_waits_for_take_their_time(page: Page, site: str) -> None:
    open_page(page, site)
    until(page, f"{PIECES}.length === 5")  # of 25 frames each: all there are
    begun_ms, done_ms = page.evaluate(f"[{PIECES}.map((each) => each.startTime), {PIECES}.map((e) => e.responseEnd)]")
    assert begun_ms[1] - done_ms[0] < PAUSE_MS, "the avatar moves into the second one soon"
    pauses_ms = [after - before for before, after in itertools.pairwise(begun_ms)]
    assert min(pauses_ms[2:]) > PAUSE_MS, pauses_ms
