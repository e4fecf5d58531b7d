"""Making and deleting an avatar in a real browser: consent first, then how far it is, and it is chosen when ready."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.page_browser import ARTIFACTS, WATCH, browser, open_page, until
from tests.page_server import create_stand_in, serve

__all__ = ["browser"]
CHOSEN = "avatar328.page.avatar.name"


def test_behind_a_dialog_the_avatar_stands_still(browser: Browser) -> None:
    """A page that waits for a training draws nothing meanwhile: that was a third of a core."""
    app, _ = create_stand_in()
    with serve(app) as url:
        page = open_page(browser.new_page(), url)
        page.evaluate(WATCH)
        until(page, "window.seen.length > 5")
        page.click("#create-open")
        page.wait_for_timeout(100)
        seen = page.evaluate("window.seen.length")
        page.wait_for_timeout(400)
        assert page.evaluate("window.seen.length") == seen
        page.click("#create-close")
        until(page, f"window.seen.length > {seen + 3}")
        page.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_photo_becomes_the_chosen_avatar_and_is_deleted_by_its_name(browser: Browser, width: int) -> None:
    app, told = create_stand_in()
    with serve(app) as url:
        context = browser.new_context(viewport={"width": width, "height": 844})
        page = open_page(context.new_page(), url)
        page.click("#create-open")
        photo = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"a photo"}
        page.set_input_files("#create-file", files=[photo])  # type: ignore[list-item]
        page.fill("#create-name", "taken")
        page.click("#create-begin")
        assert not any("create" in asked for asked in told.requests)  # nobody has agreed yet
        page.fill("#create-who", "Eve Example")
        page.fill("#create-date", "2026-11-20")
        page.fill("#create-scope", "tests: of all kinds")
        page.click("#create-begin")
        until(page, "document.getElementById('create-problem').innerText.includes('The name is taken')")
        page.fill("#create-name", "eve two")
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"create-{width}.png")
        page.click("#create-begin")
        until(page, "document.getElementById('create-log').innerText === 'It listens.'")
        agreed = "Eve Example, 2026-11-20, tests: of all kinds"
        assert told.requests[-1] == {"create": "eve-two", "consent": agreed, "kind": "image"}
        assert page.inner_text("#create-stage") == "Eve two: fit the ears"
        assert page.inner_text("#create-eta") == "This part is done in 72 s"
        told.made["preview"] = "/avatars/eve-two/job/preview?of=5"
        until(page, "document.getElementById('create-preview-picture').naturalWidth > 0")
        page.screenshot(path=ARTIFACTS / f"create-job-{width}.png")
        told.made["speaks"] = True  # as it is, while its face network is trained
        page.click("#create-use")
        until(page, f"!document.getElementById('create').open && {CHOSEN} === 'eve-two'")
        open_page(page, url)  # a page that was closed finds its job again
        page.click("#create-open")
        page.click("#create-cancel")
        until(page, "!document.getElementById('create-resume').hidden")
        page.click("#create-resume")
        until(page, "!document.getElementById('create-cancel').hidden")
        assert told.requests[-1]["kind"] == "resumed"
        told.made["state"] = "done"
        until(page, f"!document.getElementById('create').open && {CHOSEN} === 'eve-two'")
        page.click("#remove-open")
        page.fill("#remove-name", "eve")
        assert page.is_disabled("#remove-do")
        page.fill("#remove-name", "eve-two")
        page.click("#remove-do")
        until(page, f"!document.getElementById('remove').open && {CHOSEN} === 'drawn'")
        assert told.requests[-1] == {"remove": "eve-two", "confirm": "eve-two"}
        assert page.evaluate("document.documentElement.scrollWidth") == width
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_copy_before_another_background_is_made_and_chosen(browser: Browser, width: int) -> None:
    app, told = create_stand_in()
    with serve(app) as url:
        context = browser.new_context(viewport={"width": width, "height": 844})
        page = open_page(context.new_page(), url)
        page.click("#behind-open")
        until(page, "document.getElementById('behind').open")
        assert page.input_value("#behind-name") == "drawn-2"
        page.select_option("#behind-kind", "colour")
        page.fill("#behind-colour", "#204060")
        page.fill("#behind-name", "taken")
        page.click("#behind-do")
        until(page, "document.getElementById('behind-problem').innerText.includes('The name is taken')")
        page.screenshot(path=ARTIFACTS / f"background-{width}.png")
        page.fill("#behind-name", "drawn blue")
        page.click("#behind-do")
        until(page, "document.getElementById('create-log').innerText === 'It listens.'")
        assert told.requests[-1] == {"create": "drawn-blue", "consent": "", "kind": "drawn before #204060"}
        assert not page.is_visible("#behind")
        page.click("#create-close")
        page.click("#behind-open")  # one after the other
        until(page, "document.getElementById('behind').open")
        assert page.is_disabled("#behind-do") and "is being made" in page.inner_text("#behind-problem")
        page.click("#behind-close")
        told.made["state"] = "done"
        until(page, f"{CHOSEN} === 'drawn-blue'")
        context.close()


def test_what_a_network_draws_keeps_its_background(browser: Browser) -> None:
    app, told = create_stand_in()
    with serve(app) as url:
        page = open_page(browser.new_page(), url)
        page.evaluate("import('/static/page.js').then(({ page }) => { page.avatar.kind = 'video'; })")
        page.click("#behind-open")
        until(page, "document.getElementById('behind').open")
        assert page.is_disabled("#behind-do") and "only films and photos" in page.inner_text("#behind-problem")
        assert not any("create" in asked for asked in told.requests)
        page.close()
