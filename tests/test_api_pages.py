"""The page's files: compressed, kept for ever where their address has their version, fetched all at once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser
from starlette.testclient import TestClient

from services.container import Services
from services.http.pages import Pages
from tests.conftest import REPOSITORY
from tests.page_browser import browser, open_page
from tests.service_material import app_for, client_of, served, settings_for
from tests.toy_avatar import toy_avatars, toy_services

__all__ = ["browser", "toy_avatars", "toy_services"]

STATIC = REPOSITORY / "static"
FOR_EVER = "public, max-age=31536000, immutable"


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("pages")), toy_services)


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with client_of(app) as client:
        yield client


def test_addresses_with_a_version_are_kept_for_ever_and_others_are_asked_about(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["cache-control"] == "no-cache"
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    assert len(addresses) > 20
    for address in addresses:
        answer = client.get(address)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, FOR_EVER), address
        plain = client.get(re.sub(r"/v-[0-9a-f]{16}", "", address))
        assert (plain.content, plain.headers["cache-control"]) == (answer.content, "no-cache")
    old = client.get("/static/v-0123456789abcdef/app.js")
    assert (old.status_code, old.headers["cache-control"]) == (200, "no-cache"), "of a page that was loaded before"
    asked = client.get("/static/app.js", headers={"If-None-Match": client.get("/static/app.js").headers["etag"]})
    assert (asked.status_code, asked.content) == (304, b"")
    assert client.get("/static/v-0123456789abcdef/../../config.py").status_code == 404


def test_every_module_is_fetched_with_the_page(client: TestClient) -> None:
    page = client.get("/").text
    named = set(re.findall(r'/static/v-\w+/([\w/.]+\.js)"', page))
    named.remove("app.js")
    waiting, reached = ["app.js"], set()
    while waiting:
        text = (STATIC / waiting.pop()).read_text("utf-8")
        new = set(re.findall(r'from "\./([^"]+)"', text)) - reached
        reached |= new
        waiting += new
    assert len(reached) > 20
    assert named - {"theme.js", "poster.js"} == reached
    assert len(re.findall(r'<link rel="modulepreload" fetchpriority="low"', page)) == len(reached)
    assert page.index("poster.js") < page.index("stylesheet") < page.index("modulepreload"), "first what is seen first"


def test_the_version_follows_the_content(tmp_path: Path) -> None:
    folder = tmp_path / "static"
    shutil.copytree(STATIC, folder)
    pages = Pages(folder, "/static")
    first = pages.version()
    (folder / "words.js").touch()
    assert pages.version() == first, "the time of a file is not its content"
    (folder / "words.js").write_text("export const other = 1;\n", encoding="utf-8")
    second = pages.version()
    assert second != first
    (folder / "words.js").rename(folder / "word.js")
    assert pages.version() not in (first, second)


@pytest.mark.parametrize(
    ("address", "compressed"),
    [
        ("/", True),
        ("/static/app.js", True),
        ("/static/style.css", True),
        ("/openapi.json", True),
        ("/avatar", False),  # a JPEG
        ("/generate?text=one", False),  # pictures in base64, made in time
        ("/livez", False),  # shorter than the header
    ],
)
def test_text_is_compressed_and_pictures_are_not(client: TestClient, address: str, compressed: bool) -> None:
    small = client.get(address, headers={"Accept-Encoding": "gzip"})
    whole = client.get(address, headers={"Accept-Encoding": "identity"})
    assert (small.headers.get("content-encoding") == "gzip") == compressed
    assert "content-encoding" not in whole.headers
    if compressed:
        assert int(small.headers["content-length"]) < 0.6 * len(whole.content)
        assert small.content == whole.content


def test_a_browser_fetches_nothing_twice_and_little(browser: Browser, app: FastAPI) -> None:
    context = browser.new_context()
    with served(app) as url:
        page = context.new_page()
        open_page(page, url)
        fetched = page.evaluate(
            "performance.getEntriesByType('resource').filter(({name, transferSize}) => transferSize && "
            "name.includes('/static/')).map(({name, transferSize}) => [name, transferSize])"
        )
        assert len(fetched) == len({name for name, _ in fetched})
        assert sum(size for _, size in fetched) < 120_000, "bytes of scripts and styles over the wire"
        page.reload()
        again = page.evaluate(
            "performance.getEntriesByType('resource').filter(({name}) => name.includes('/static/'))"
            ".map(({transferSize}) => transferSize)"
        )
        assert sum(again) == 0, "all of it was kept"
    context.close()
