"""Voices in a real browser: searched, grouped by language, heard, proposed by the text's language."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.page_browser import browser, choose_voice, notice, open_page, said, say, until
from tests.page_server import Told, create_stand_in, serve

__all__ = ["browser"]
VOICE = "avatar328.page.voice"


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


def test_they_are_grouped_by_language_and_searched(page: Page) -> None:
    page.click("#voice")
    headings = page.locator(".voice-group h3")
    assert headings.all_inner_texts() == ["English", "Chinese\n中文", "German\nDeutsch"]
    assert page.is_checked("input[value='flite:slt']")
    for wanted, found in {"mandarin": ["espeak:cmn"], "deutsch": ["espeak:de"], "british": ["espeak:en-gb"]}.items():
        page.fill("#voice-search", wanted)
        shown = page.locator(".voice:visible input")
        assert [shown.nth(i).get_attribute("value") for i in range(shown.count())] == found
    page.fill("#voice-search", "klingon")
    assert page.is_visible("#voice-none")
    page.keyboard.press("Escape")  # empties the field
    page.keyboard.press("Escape")
    assert not page.is_visible("#voices")


def test_a_voice_is_heard_before_it_is_chosen(page: Page, site: tuple[str, Told]) -> None:
    page.evaluate("document.getElementById('speed').value = 1.5")
    page.click("#voice")
    listen = page.get_by_role("button", name="Listen to German")
    listen.click()
    until(page, "document.querySelector('.voice .round[aria-pressed=true]') !== null")
    assert site[1].requests[-1] == {"heard": "espeak:de", "text": "Hallo. So klinge ich.", "speed": 1.5}
    until(page, "document.querySelector('.voice .round[aria-pressed=true]') === null")  # it has been heard
    assert page.evaluate(VOICE) == "flite:slt"


@pytest.mark.parametrize(
    ("text", "voice"),
    [
        ("Guten Morgen, ich bin heute nicht da und komme auch nicht.", "espeak:de"),
        ("你好，我是一个虚拟人。", "espeak:cmn"),
        ("Good morning to you, and welcome to the show.", None),
        ("Bonjour, je suis dans le jardin avec vous.", None),  # no French voice is here
        ("Peter 12", None),
        ("", None),
    ],
)
def test_the_texts_language_proposes_a_voice(page: Page, text: str, voice: str | None) -> None:
    page.fill("#text", text)
    assert page.is_visible("#proposal") == (voice is not None)
    if voice is None:
        return
    page.click("#proposal-use")
    assert page.evaluate(VOICE) == voice
    assert not page.is_visible("#proposal")


def test_what_a_voice_cannot_say_is_offered_to_one_that_can(page: Page, site: tuple[str, Told]) -> None:
    say(page, "seconds=1 unspeakable")
    until(page, "!document.getElementById('notice').hidden")
    assert "Flite does not speak 你." in notice(page)
    assert not page.is_visible("#notice-retry"), "the same voice cannot say it the next time"
    assert page.inner_text("#notice-action") == "Use Mandarin"
    page.click("#notice-action")
    said(page)
    assert site[1].requests[-1]["voice"] == page.evaluate(VOICE) == "espeak:cmn"
    choose_voice(page, "flite:slt")


LANGUAGES = {
    "en": "This is the house that we have built for you",
    "de": "Das ist das Haus, das wir für euch gebaut haben",
    "es": "Esta es la casa que hemos construido para los niños",
    "fr": "Voici la maison que nous avons construite pour vous",
    "it": "Questa è la casa che abbiamo costruito per gli amici",
    "pt": "Esta é a casa que não foi construída para você",
    "ja": "これは日本語の文です",
    "ko": "이것은 한국어 문장입니다",
    "ru": "Это дом, который построил Джек",
    "uk": "Це дім, який збудував їжак",
    "ar": "هذا هو البيت",
    "fa": "این خانه‌ای است که پدرم ساخت",
    "hi": "यह घर है",
    "": "Ok",
}


@pytest.mark.parametrize(("language", "text"), LANGUAGES.items())
def test_languages_are_told_apart(page: Page, language: str, text: str) -> None:
    found = page.evaluate("async (text) => (await import('/static/language.js')).languageOf(text)", text)
    assert found == language
