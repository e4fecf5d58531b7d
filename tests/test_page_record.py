"""Recording oneself in a real browser with a camera that is none: told what to do, counted in, looked at, and sent."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator

import av
import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.page_browser import ARTIFACTS, FLAGS, executable, open_page, until
from tests.page_server import create_stand_in, serve

FAKE = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
COUNT_MS, QUIET_MS = 3000, 5000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable(), args=[*FLAGS, *FAKE])
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_a_recording_by_webcam_is_sent_as_a_video(browser: Browser, width: int) -> None:
    app, told = create_stand_in()
    with serve(app) as url:
        context = browser.new_context(viewport={"width": width, "height": 844})
        page = context.new_page()
        page.clock.install()
        open_page(page, url)
        page.click("#create-open")
        assert not page.is_visible("#create-preset")
        page.click("#create-record")
        until(page, "!document.getElementById('record-go').disabled")
        assert "Up to 0:53." in page.inner_text("#record-said")  # in the 8 MB that this server takes
        for said in ("No window behind you", "mouth stays closed", "quiet room"):
            assert said in page.inner_text("#record-how")
        until(page, "document.getElementById('record-meter').value > 0.05")  # the fake microphone beeps
        ARTIFACTS.mkdir(exist_ok=True)
        page.screenshot(path=ARTIFACTS / f"record-ready-{width}.png")
        page.click("#record-go")
        assert page.inner_text("#record-count") == "3"
        page.clock.fast_forward(COUNT_MS)
        until(page, "document.getElementById('record-said').innerText === 'Keep your mouth closed…'")
        page.clock.fast_forward(QUIET_MS)
        until(page, "document.getElementById('record-go').innerText === 'Finish'")
        assert page.is_visible("#record-text")
        page.wait_for_timeout(500)
        page.screenshot(path=ARTIFACTS / f"record-reading-{width}.png")
        page.click("#record-go")
        page.clock.fast_forward(QUIET_MS)
        until(page, "!document.getElementById('record-use').hidden")
        assert re.search(r"Only \d+ pictures a second", page.inner_text("#record-said")), "the clock was put forward"
        page.screenshot(path=ARTIFACTS / f"record-done-{width}.png")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        page.click("#record-use")
        assert page.evaluate("document.getElementById('create-file').files[0].name") == "webcam.webm"
        assert page.input_value("#create-preset") == "film"
        page.fill("#create-name", "me")
        page.check("#create-synthetic")
        page.click("#create-begin")
        until(page, "!document.getElementById('create-job').hidden")
        assert told.requests[-1] == {"create": "me", "consent": "", "kind": "video", "preset": "film"}
        with av.open(io.BytesIO(told.recording)) as recording:
            assert (len(recording.streams.video), len(recording.streams.audio)) == (1, 1)
            assert sum(1 for _ in recording.decode(video=0)) > 1
        context.close()


def test_a_camera_that_is_refused_is_told(browser: Browser) -> None:
    app, _ = create_stand_in()
    with serve(app) as url:
        page = browser.new_page()
        page.add_init_script("navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('denied'))")
        open_page(page, url)
        page.click("#create-open")
        page.click("#create-record")
        until(page, "document.getElementById('record-said').innerText.startsWith('Neither can be used')")
        assert page.is_disabled("#record-go")
        page.click("#record-close")
        page.close()
