"""The page of SyncTalk_2D's web interface works unchanged: a small one sends exactly its requests, in a real browser.

It stands on another origin, which a setting lets in; without the setting the same page gets nothing.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from recipe.recipe_328 import FPS
from services.container import Services
from services.streaming.events import Caption, End, Frame, Header
from services.streaming.mjpeg import encode_mjpeg
from tests.page_browser import browser
from tests.service_material import app_for, client_of, served, settings_for
from tests.test_api_errors import wav
from tests.toy_avatar import toy_avatars, toy_services

__all__ = ["browser", "toy_avatars", "toy_services"]

# As its script does it: the sound first, whose length it reads from a header, then the pictures as an <img>.
PAGE = """<!doctype html><meta charset="utf-8"><title>other</title><img id="still"><img id="stream">
<script>
const server = "SERVER";
const stamp = () => Date.now();
const load = (image, url) => new Promise((resolve) => {
  image.onload = () => resolve(true);
  image.onerror = () => resolve(false);
  image.src = url;
});
window.speak = async (text) => {
  const sound = await fetch(`${server}/get-tts-audio?text=${encodeURIComponent(text)}&_=${stamp()}`);
  const duration = parseFloat(sound.headers.get("X-Audio-Duration"));
  const played = URL.createObjectURL(await sound.blob());
  const audio = new Audio(played);
  await audio.play();
  const began = performance.now();
  const shown = await load(
    document.getElementById("stream"),
    `${server}/generate?text=${encodeURIComponent(text)}&duration=${duration}&_=${stamp()}`,
  );
  return { duration, heard: audio.duration, shown, first_ms: performance.now() - began };
};
window.upload = async (field, base64) => {
  const form = new FormData();
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  form.append(field, new File([bytes], "speech.wav", { type: "audio/wav" }));
  const answer = await fetch(`${server}/generate-from-audio`, { method: "POST", body: form });
  const body = new TextDecoder("latin1").decode(await answer.arrayBuffer());
  return [answer.headers.get("Content-Type"), body.split("--frame\\r\\n").length - 1, body.endsWith("--frame--\\r\\n")];
};
window.still = () => load(document.getElementById("still"), `${server}/generate-from-audio?_=${stamp()}`);
window.ask = async (path, value) => {
  const headers = { "Content-Type": "application/json" };
  const init = value && { method: "POST", headers, body: JSON.stringify(value) };
  return (await fetch(`${server}${path}`, init)).json();
};
</script>"""
TEXT = "one two three four five six"


class Elsewhere(BaseHTTPRequestHandler):
    """Another web server, with that page."""

    def __init__(self, page: bytes, *rest: Any) -> None:
        self._page = page
        super().__init__(*rest)

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/" else 404)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self._page if self.path == "/" else b"")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def elsewhere(server: str) -> ThreadingHTTPServer:
    other = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, PAGE.replace("SERVER", server).encode()))  # type: ignore[arg-type]
    threading.Thread(target=other.serve_forever, daemon=True).start()
    return other


def address_of(other: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{other.server_address[1]}"


@pytest.fixture(scope="module")
def url(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server; which origin it lets in is written into its settings after that origin has a port."""
    settings = settings_for(toy_avatars, tmp_path_factory.mktemp("other"), server={"allowed_origins": "*"})
    with served(app_for(settings, toy_services)) as address:
        yield address


@pytest.fixture(scope="module")
def page(browser: Browser, url: str) -> Iterator[Page]:
    other = elsewhere(url)
    context = browser.new_context()
    page = context.new_page()
    page.goto(address_of(other))
    yield page
    context.close()
    other.shutdown()
    other.server_close()


def test_a_text_is_said_with_sound_and_an_image_that_moves(page: Page) -> None:
    told = page.evaluate("(text) => window.speak(text)", TEXT)
    assert told["shown"]
    assert told["duration"] == pytest.approx(told["heard"], abs=0.01)
    assert told["duration"] == pytest.approx(0.24 * 6, abs=0.1)
    assert page.evaluate("document.getElementById('stream').naturalWidth") > 0
    looks = set()
    for _ in range(12):
        looks.add(base64.b64encode(page.locator("#stream").screenshot()))
        page.wait_for_timeout(100)
    assert len(looks) >= 4, "the picture moves"


@pytest.mark.parametrize("field", ["audio_file", "audio"])
def test_a_recording_is_answered_by_pictures(page: Page, field: str) -> None:
    sent = base64.b64encode(wav(0.8, 16_000)).decode()
    answered = page.evaluate("([field, data]) => window.upload(field, data)", [field, sent])
    assert answered == ["multipart/x-mixed-replace; boundary=frame", 20, True]


def test_the_still_the_health_and_the_debug_paths_are_there(page: Page) -> None:
    assert page.evaluate("window.still()")
    health = page.evaluate("window.ask('/health')")
    assert health["services"] == {"tts": True, "model": True, "frame_generation": True}
    for status in (
        page.evaluate("window.ask('/debug/status')"),
        page.evaluate("window.ask('/debug/config', { enabled: false })"),
    ):
        assert (status["frames_dir"], status["audio_dir"]) == ("debug/frames", "debug/audio")


def test_nothing_is_let_in_without_the_setting(
    browser: Browser, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    settings = settings_for(toy_avatars, tmp_path, server={"allowed_origins": "https://example.org"})
    with served(app_for(settings, toy_services)) as url:
        other = elsewhere(url)
        context = browser.new_context()
        page = context.new_page()
        page.goto(address_of(other))
        assert page.evaluate("window.still()") is False
        assert page.evaluate("window.ask('/health').then(() => true, () => false)") is False
        context.close()
        other.shutdown()
        other.server_close()


def test_a_page_with_its_script_inside_is_let_in_by_a_setting(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    with client_of(app_for(settings_for(toy_avatars, tmp_path, server={"inline_pages": True}), toy_services)) as client:
        assert "script-src 'self' 'unsafe-inline'" in client.get("/static/app.js").headers["content-security-policy"]
        assert "unsafe" not in client.get("/").headers["content-security-policy"]


# --- by hand -----------------------------------------------------------------------------------------


def test_pictures_come_by_the_clock(url: str) -> None:
    began = time.monotonic()
    arrived = []
    accept = "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8"  # Chromium's, of an <img>
    query = {"text": TEXT, "duration": "2", "_": "1764", "character": "toy"}
    with httpx.stream("GET", f"{url}/generate", params=query, headers={"Accept": accept}) as answer:
        assert answer.headers["content-type"] == "multipart/x-mixed-replace; boundary=frame"
        assert answer.headers["x-ai-generated"] == "true"
        for piece in answer.iter_bytes():
            arrived += [time.monotonic() - began] * piece.count(b"--frame\r\n")
    assert len(arrived) == round(0.24 * 6 * FPS)
    assert arrived[-1] - arrived[0] == pytest.approx((len(arrived) - 1) / FPS, rel=0.15)
    problem = httpx.get(f"{url}/generate", params={"text": "a", "character": "nobody"})
    assert problem.json()["type"] == "/problems/avatar-not-found"


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("image/*", "multipart/x-mixed-replace"),
        ("multipart/x-mixed-replace", "multipart/x-mixed-replace"),
        ("*/*", "application/x-ndjson"),
        ("text/html,image/avif,image/webp,*/*;q=0.8", "application/x-ndjson"),  # an address that is opened
        ("video/*", "video/mp4"),
    ],
)
def test_accept_chooses(url: str, accept: str, media_type: str) -> None:
    with httpx.stream("GET", f"{url}/generate", params={"text": "a"}, headers={"Accept": accept}) as answer:
        assert answer.headers["content-type"].split(";")[0] == media_type


def test_json_stays_strict_and_one_recording_is_asked_for(url: str) -> None:
    assert httpx.post(f"{url}/generate", json={"text": "a", "duration": 1}).status_code == 422
    none = httpx.post(f"{url}/generate-from-audio", files={"other": b"x"})
    assert (none.status_code, none.json()["errors"]) == (422, [{"field": "file", "message": "Field required"}])
    two = httpx.post(f"{url}/generate-from-audio", files={"file": b"x", "audio": b"x"})
    assert "not 2" in two.json()["detail"]


def test_a_preflight_is_answered_and_an_unknown_page_is_not(
    toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    origin = "https://example.org"
    settings = settings_for(toy_avatars, tmp_path, server={"allowed_origins": f"{origin}, http://localhost:3000"})
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with served(app_for(settings, toy_services)) as url:
        told = httpx.options(f"{url}/generate", headers=ask | {"Origin": origin})
        assert told.status_code == 204
        assert told.headers["access-control-allow-origin"] == origin
        assert "Content-Type" in told.headers["access-control-allow-headers"]
        assert "unsafe" not in httpx.get(f"{url}/static/app.js").headers["content-security-policy"]
        answer = httpx.get(f"{url}/health", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
        assert "X-Audio-Duration" in answer.headers["access-control-expose-headers"]
        assert "Origin" in answer.headers["vary"]
        for other in ("https://example.org.evil.example", "http://example.org", "null"):
            refused = httpx.options(f"{url}/generate", headers=ask | {"Origin": other})
            assert refused.status_code == 403
            assert "access-control-allow-origin" not in refused.headers
        assert "access-control-allow-origin" not in httpx.get(f"{url}/health").headers


def test_after_a_delay_it_goes_on_at_its_rate() -> None:
    """Frames that come late are not sent in a hurry: an <img> would skip them."""
    clock = [0.0]
    sent = []
    late_s = iter([0.0, 0.0, 1.0, 0.0, 0.0])

    def events() -> Iterator[Any]:
        yield Header("u", "toy", 4, 4, 16000, 0, 1)
        yield Caption(0, "a")
        for index, late in enumerate(late_s):
            clock[0] += late
            yield Frame(index, index, np.zeros((4, 4, 3), np.uint8), np.zeros(640, np.float32))
        yield End(5, 0, 1)

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    for piece in encode_mjpeg(events(), 85, lambda: clock[0], sleep):  # type: ignore[arg-type]
        sent.append(clock[0])
        assert piece.startswith(b"--frame")
    np.testing.assert_allclose(sent, [0, 0.04, 1.04, 1.08, 1.12, 1.12], atol=1e-9)
