"""A film that was copied before one colour, shown without it: over the API, and in a frame of another site."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import cv2
import httpx2 as httpx
import numpy as np
import pytest
from playwright.sync_api import Browser

from config import Models
from data_prep.background import main as copy_before
from recipe.avatar_format import MATTES_FILE, read_manifest
from recipe.errors import BrokenAvatarError
from services.avatars.mattes import Mattes
from services.container import build_services
from tests.page_browser import ARTIFACTS, browser
from tests.service_material import app_for, lines_of, of_type, served, settings_for
from tests.test_background import avatars_dir
from tests.test_page_synctalk import Elsewhere, address_of

__all__ = ["avatars_dir", "browser"]

COLOUR, PAGE = "#204060", (250, 220, 40)


@pytest.fixture(scope="module")
def url(avatars_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    assert copy_before(["short", "--out", "alone", "--colour", COLOUR, "--avatars_dir", str(avatars_dir)]) == 0
    services = build_services(Models(avatars_dir=avatars_dir, device="cpu", threads=1, runtime="onnxruntime"))
    chosen = {"models": {"default_avatar": "alone"}, "server": {"embed_origins": "http://127.0.0.1:*"}}
    with served(app_for(settings_for(avatars_dir, tmp_path_factory.mktemp("work"), **chosen), services)) as url:
        yield url


def frames(url: str, **query: str | int) -> list[np.ndarray]:
    answer = httpx.get(f"{url}/avatar/frames", params={"count": 2, **query})
    assert answer.status_code == 200, answer.text
    images = [base64.b64decode(message["image"]) for message in of_type(lines_of(answer.content), "frame")]
    return [cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_UNCHANGED) for image in images]


def test_the_person_is_told_from_the_colour_behind(url: str) -> None:
    for whole_HW3, cut_HW4 in zip(frames(url), frames(url, transparent="true"), strict=True):
        assert cut_HW4.shape == (*whole_HW3.shape[:2], 4)
        alpha_HW = cut_HW4[..., 3]
        assert alpha_HW[:60, :60].max() == 0 and alpha_HW[200:300, 230:290].min() == 255
        rim = (alpha_HW > 60) & (alpha_HW < 200)
        assert 200 < rim.sum() < 0.05 * alpha_HW.size
        share_HW1 = alpha_HW[..., None] / 255
        again_HW3 = share_HW1 * cut_HW4[..., :3] + (1 - share_HW1) * np.array([0x60, 0x40, 0x20])
        assert np.abs(again_HW3 - whole_HW3).mean() < 3
        assert np.abs(again_HW3 - whole_HW3)[rim].mean() < 12


def test_mattes_without_their_colour_are_broken(url: str, avatars_dir: Path) -> None:
    folder = avatars_dir / "alone"
    manifest = replace(read_manifest(folder), template={})
    with pytest.raises(BrokenAvatarError, match="names no colour behind"):
        Mattes(folder / MATTES_FILE, manifest)


def test_an_avatar_before_its_own_background_says_what_would_help(url: str) -> None:
    answer = httpx.get(f"{url}/avatar/frames", params={"avatar": "short", "transparent": "true"})
    assert answer.status_code == 422 and answer.json()["type"].endswith("not-cut-out")
    assert 'python -m data_prep.background short --out NEW --colour "#808080"' in answer.json()["detail"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_another_site_is_seen_behind_the_person(browser: Browser, url: str, scheme: Literal["light", "dark"]) -> None:
    source = f"{url}/embed?avatar=alone&transparent=1&text=one+two+three+four"
    colour = "rgb" + str(PAGE)
    html = f'<!doctype html><body style="margin:0;background:{colour}">'
    html += f'<iframe src="{source}" width="512" height="576" style="border:0" allow="autoplay"></iframe>'
    other = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, html.encode()))  # type: ignore[arg-type]
    threading.Thread(target=other.serve_forever, daemon=True).start()
    context = browser.new_context(viewport={"width": 512, "height": 576}, color_scheme=scheme)
    page = context.new_page()

    def seen(name: str) -> np.ndarray:
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"transparent-{name}-{scheme}.png")
        picture = cv2.imread(str(ARTIFACTS / f"transparent-{name}-{scheme}.png"))
        corner, face = picture[60:110, 10:60], picture[230:290, 220:290]
        assert (corner == PAGE[::-1]).all() and (np.abs(face - np.array(PAGE[::-1], float)).max(axis=2) > 40).all()
        return picture

    def until(condition: str) -> None:
        for _ in range(400):
            if page.frames[1].evaluate(condition):
                return
            page.wait_for_timeout(25)
        raise AssertionError(condition)

    page.goto(address_of(other))
    until("!document.getElementById('canvas').hidden")
    seen("waits")
    page.frame_locator("iframe").locator("#play").click()
    page.frames[1].evaluate("window.drawn = 0")
    until("avatar328.player.live?.state === 'speaking'")
    page.frames[1].evaluate("avatar328.player.live.addEventListener('shown', () => (window.drawn += 1))")
    until("window.drawn > 3")
    seen("speaks")
    assert page.frames[1].inner_text("#caption") == "one two three four"
    page.frame_locator("iframe").locator("#play").click()
    until("avatar328.player.state === 'idle'")
    seen("rests")
    assert page.frames[1].inner_text("#play") == "Play"
    context.close()
    other.shutdown()
    other.server_close()
