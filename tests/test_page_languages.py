"""The page in other languages: one catalogue, whole in each, and nothing is left in English where it is used."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from playwright.sync_api import Browser

from tests.conftest import REPOSITORY
from tests.page_browser import browser, choose_voice, open_page, until
from tests.page_server import Told, create_stand_in, serve

__all__ = ["browser"]
STATIC = REPOSITORY / "static"
LANGUAGES = ("de", "es", "zh")
NAMES = re.compile(r"avatar(328(: HTTP API)?)?|328|[\d.,:× ]+|Ctrl|Enter|Esc|CC|SRT|VTT|MP4( \+ CC)?")


def catalogue(language: str) -> dict[str, str]:
    return json.loads((STATIC / "languages" / f"{language}.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def site() -> Iterator[tuple[str, Told]]:
    app, told = create_stand_in()
    with serve(app) as url:
        yield url, told


@pytest.fixture
def url(site: tuple[str, Told]) -> str:
    return site[0]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_sentence_is_there_with_its_gaps(language: str) -> None:
    known = catalogue(language)
    assert set(known) == set(catalogue("de"))
    said = {text for path in STATIC.glob("*.js") for text in re.findall(r'\bt\("([^"]+)"', path.read_text("utf-8"))}
    assert said <= set(known), said - set(known)
    for english, translated in known.items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", translated)), english


class Texts(HTMLParser):
    """What a page says: its texts and what it tells by attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        said = [value for name, value in attributes if name in ("aria-label", "placeholder", "title", "alt") and value]
        self.found |= {text for text in said if not NAMES.fullmatch(text)}

    def handle_data(self, data: str) -> None:
        if text := data.strip():
            self.found |= set() if NAMES.fullmatch(text) else {text}


@pytest.mark.parametrize("page", ["index", "embed", "docs"])
def test_nothing_on_a_page_is_left_in_english(page: str) -> None:
    assert Texts((STATIC / f"{page}.html").read_text("utf-8")).found - set(catalogue("de")) == set()


@pytest.mark.parametrize("language", ["en", *LANGUAGES])
def test_what_is_read_on_a_button_is_in_its_name(language: str) -> None:
    """Whoever speaks to the browser says what is read; what stands in brackets does not count (WCAG 2.5.3)."""
    known = {} if language == "en" else catalogue(language)
    buttons = re.findall(r'<button[^>]* aria-label="([^"]+)"[^>]*>(.*?)</button>', (STATIC / "index.html").read_text())
    read = [(name, re.sub(r"<[^>]*>", "", inner).strip()) for name, inner in buttons]
    assert sum(bool(text) for _, text in read) >= 5
    for name, text in read:
        assert known.get(text, text) in re.sub(r"[(（].*?[)）]", "", known.get(name, name)), name


@pytest.mark.parametrize(
    ("language", "title", "speak"), [("de", "Was soll Drawn sagen?", "Sprechen"), ("zh", "让 Drawn 说什么？", "说话")]
)
def test_the_browsers_language_is_spoken(browser: Browser, url: str, language: str, title: str, speak: str) -> None:
    context = browser.new_context(locale=language, viewport={"width": 390, "height": 844})
    page = open_page(context.new_page(), url)
    assert page.inner_text("h1") == title
    assert page.inner_text("#speak") == speak
    assert page.get_attribute("html", "lang") == language
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.select_option("#language", "en")
    page.wait_for_url("**lang=en**")
    open_page(context.new_page(), url)  # it is remembered
    assert page.inner_text("#speak") == "Speak"
    context.close()


def test_the_pages_own_words_are_said_by_a_voice_of_its_language(browser: Browser, site: tuple[str, Told]) -> None:
    """One tap on a German page: German words, and nobody has to find a German voice first."""
    context = browser.new_context(locale="de")
    page = open_page(context.new_page(), site[0])
    page.click("#meet")
    until(page, "avatar328.player.busy")
    asked = site[1].requests[-1]
    assert asked["text"].startswith("Hallo, ich bin Drawn.")
    assert asked["voice"] == "espeak:de"
    page.keyboard.press("Escape")
    choose_voice(page, "espeak:en-gb")
    page.locator("#examples button").first.click()
    until(page, "avatar328.player.busy")
    assert site[1].requests[-1]["voice"] == "espeak:en-gb", "what somebody chose is not changed"
    assert page.is_visible("#proposal")
    context.close()
