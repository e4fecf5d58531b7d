"""The avatar in a frame of another site, and this very request as code, in a real browser."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from services.container import Services
from tests.page_browser import browser, open_page, until
from tests.service_material import app_for, client_of, served, settings_for
from tests.test_page_synctalk import Elsewhere, address_of
from tests.toy_avatar import toy_avatars, toy_services

__all__ = ["browser", "toy_avatars", "toy_services"]


@pytest.fixture(scope="module")
def url(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = {"embed_origins": "http://127.0.0.1:*"}
    with served(
        app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("embed"), server=server), toy_services)
    ) as url:
        yield url


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = open_page(context.new_page(), url)
    page.fill("#text", 'one two\'s "three"')
    page.click("#code-open")
    yield page
    context.close()


def code(page: Page, tab: str) -> str:
    page.get_by_role("tab", name=tab).click()
    return page.inner_text("#code-text")


@pytest.mark.parametrize("tab", ["curl", "Python"])
def test_the_code_runs_as_it_stands(page: Page, tmp_path: Path, tab: str) -> None:
    text = code(page, tab)
    command = ["bash", "-euc", text] if tab == "curl" else [sys.executable, "-c", text]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert (tmp_path / "said.mp4").read_bytes()[4:8] == b"ftyp"


def test_the_code_is_that_of_the_request(page: Page, url: str) -> None:
    script = code(page, "JavaScript")
    assert json.dumps('one two\'s "three"') in script
    size = page.evaluate(f"(async () => {{ {script}; return movie.size; }})()")
    assert size > 1000
    assert f'<iframe src="{url}/embed?avatar=toy' in code(page, "iframe")
    page.keyboard.press("Escape")
    assert not page.is_visible("#code")
    page.select_option("#aspect", "portrait")
    page.click("#code-open")
    assert f"curl '{url}/generate?aspect=portrait'" in code(page, "curl")
    assert f'"{url}/generate?aspect=portrait"' in code(page, "Python")
    assert "&amp;aspect=portrait" in code(page, "iframe")


def test_another_site_shows_the_avatar_and_it_speaks(browser: Browser, url: str) -> None:
    html = f'<!doctype html><iframe src="{url}/embed?avatar=toy&text=one+two+three" width="300" height="400"></iframe>'
    other = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, html.encode()))  # type: ignore[arg-type]
    threading.Thread(target=other.serve_forever, daemon=True).start()
    context = browser.new_context()
    page = context.new_page()
    page.goto(address_of(other))
    frame = page.frame_locator("iframe")
    frame.locator("#play").click()
    inner = page.frames[1]
    for _ in range(200):
        if inner.evaluate("avatar328.player.stats().played_s > 0.2"):
            break
        page.wait_for_timeout(50)
    assert inner.inner_text("#caption") == "one two three"
    assert inner.is_visible("text=AI-generated")
    assert inner.evaluate("document.documentElement.scrollHeight <= innerHeight")
    context.close()
    other.shutdown()
    other.server_close()


def test_the_api_is_described_without_a_cdn(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: pytest.fail(f"the page failed: {error}"))
    page.goto(f"{url}/docs")
    until(page, "document.querySelectorAll('.operation').length > 15", stats=False)
    listed = page.locator(".operation").filter(has_text="/generate-from-audio")
    listed.locator("summary").click()
    for said in ("multipart/form-data", "audio_file", "415", "application/x-ndjson"):
        assert said in listed.inner_text()
    assert all(address.startswith(url) for address in asked)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()


def test_who_may_show_it_is_a_setting(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
    for origins, status in (("", 403), ("https://example.org", 200)):
        settings = settings_for(toy_avatars, tmp_path, server={"embed_origins": origins})
        with client_of(app_for(settings, toy_services)) as client:
            answer = client.get("/embed", headers=framed)
            assert answer.status_code == status
            assert client.get("/", headers=framed).status_code == 403
            policy = client.get("/embed").headers["content-security-policy"]
            assert policy.endswith(f"frame-ancestors 'self' {origins}".strip())
            assert "x-frame-options" not in client.get("/embed").headers
            assert client.get("/").headers["x-frame-options"] == "DENY"
            if origins:
                assert client.get("/generate?text=a", headers=framed).status_code == 403


def test_the_page_reaches_the_end_of_its_text(browser: Browser, url: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 440})
    page = context.new_page()
    page.goto(f"{url}/embed?text=one+two")
    page.click("#play")
    until(page, "document.getElementById('play-text').textContent === 'Again'")
    page.click("#play")  # out of what is here
    until(page, "avatar328.player.state === 'replaying'")
    context.close()
