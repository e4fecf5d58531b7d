"""The page under a thumb and for a screen reader, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page_browser import browser, open_page, said, say, until
from tests.page_server import create_stand_in, serve

__all__ = ["browser"]
LEAST_PX = 44


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    app, _ = create_stand_in()
    context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True)
    with serve(app) as url:
        yield open_page(context.new_page(), url)
    context.close()


SMALL = f"""() => [...document.querySelectorAll("button, input, select, textarea, a, summary")]
  .filter((e) => e.checkVisibility() && !e.closest(".hidden") && !e.classList.contains("skip"))
  .map((e) => [e.id || e.className || e.tagName, (e.closest("label") ?? e).getBoundingClientRect()])
  .filter(([, {{ width, height }}]) => width < {LEAST_PX} || height < {LEAST_PX})
  .map(([name, {{ width, height }}]) => [name, width, height])"""


def test_targets_are_large_enough_for_a_thumb(page: Page) -> None:
    say(page, "seconds=1 a take")
    said(page)
    until(page, "document.querySelectorAll('.take').length === 1")
    page.evaluate("document.getElementById('debug').open = true")
    assert page.evaluate(SMALL) == []
    for opens, closes in {"voice": "voices-close", "code-open": "code-close", "create-open": "create-close"}.items():
        page.click(f"#{opens}")
        assert page.evaluate(SMALL) == [], opens
        page.click(f"#{closes}")


def test_a_wait_is_announced_once(page: Page) -> None:
    """The seconds count down on the picture; a screen reader hears them once."""
    page.evaluate(
        """() => {
          window.announced = [];
          const note = (changes) => changes.forEach(({ target }) => {
            const region = target.closest?.("[role=status], [role=alert], [aria-live]");
            if (region) window.announced.push(region.textContent);
          });
          new MutationObserver(note).observe(document.body, { childList: true, subtree: true });
          window.shown = new Set();
          const text = document.getElementById("state-text");
          new MutationObserver(() => window.shown.add(text.textContent)).observe(text, { childList: true });
        }"""
    )
    say(page, "seconds=2.4 pace=0.1 " + "x" * 24)
    said(page)
    shown = page.evaluate("[...window.shown]")
    assert len([text for text in shown if text.startswith("Ready in ")]) >= 2
    announced = page.evaluate("window.announced")
    assert len(announced) == 1
    assert announced[0].startswith("Ready in ")
