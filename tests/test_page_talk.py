"""The page's "Talk" in a real browser: a microphone that hears a recording, a language model that the tests write."""

from __future__ import annotations

import wave
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, sync_playwright

from recipe.sound import to_pcm16
from services.container import Services
from tests.openai_server import KEY, Told, openai_server
from tests.page_browser import ARTIFACTS, FLAGS, MAY_PLAY, executable, open_page, until
from tests.page_server import serve
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

WATCH = """() => {
  const { player, session } = window.avatar328.talk;
  const log = (window.log = { shown: 0, loud: 0, finished: [], answers: [], states: [] });
  player.addEventListener("shown", () => (log.shown += 1));
  player.addEventListener("state", ({ detail }) => log.states.push(detail.state));
  player.addEventListener("finished", ({ detail }) => log.finished.push(detail));
  session.addEventListener("frame", ({ detail }) => {
    const samples = new Int16Array(detail.sound.slice().buffer);
    log.loud = Math.max(log.loud, ...samples);
  });
}"""


@pytest.fixture(scope="module")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording that the browser's microphone hears, again and again."""
    path = tmp_path_factory.mktemp("sound") / "said.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        pause_S = 0.003 * np.random.default_rng(0).standard_normal(round(1.6 * RATE_HZ))
        said_S = np.concatenate([hum("never a dull word today"), pause_S])
        file.writeframes(to_pcm16(np.tile(said_S, 8).astype(np.float32)).tobytes())
    return path


@pytest.fixture(scope="module")
def browser(microphone: Path) -> Iterator[Browser]:
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags = [*FLAGS, MAY_PLAY, *fake, f"--use-file-for-fake-audio-capture={microphone}"]
    path = executable()
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def model() -> Iterator[tuple[str, Told]]:
    app, told = openai_server()
    with serve(app) as address:
        yield f"{address}/v1", told


@pytest.fixture(scope="module")
def app(
    model: tuple[str, Told], toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory
) -> FastAPI:
    named = {"url": model[0], "key": KEY, "recogniser_url": model[0], "recogniser_key": KEY}
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work"), conversation=named), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture
def page(browser: Browser, server: str, app: FastAPI) -> Iterator[Page]:
    """The page with the dialog open; when it is closed, its place is free again."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = open_page(context.new_page(), server)
    page.click("#talk-open")
    until(page, "avatar328.talk?.player.session.welcome && document.getElementById('talk-canvas').width > 16")
    page.evaluate(WATCH)
    yield page
    page.click("#talk-close")
    wait_for(lambda: app.state.parts.animations.slots.used == 0)
    context.close()


def test_the_avatar_says_what_the_microphone_hears(page: Page) -> None:
    page.click("#talk-mirror")
    until(page, "log.shown > 40", 30)
    assert page.get_attribute("#talk-mirror", "aria-pressed") == "true"
    assert page.inner_text("#talk-said").startswith("Speak: the avatar says what you say")
    until(page, "log.loud > 2000")  # it is that sound which comes back
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTIFACTS / "talk-mirror.png")
    page.click("#talk-mirror")
    until(page, "log.finished.length > 0", 30)
    told = page.evaluate("log.finished[0]")
    assert not told["interrupted"]
    assert told["samples"] > 48_000 * 1.2
    assert page.get_attribute("#talk-mirror", "aria-pressed") == "false"


def test_a_written_question_is_answered_aloud_and_in_writing(page: Page, model: tuple[str, Told]) -> None:
    page.fill("#talk-text", "Who are you?")
    page.press("#talk-text", "Enter")
    until(page, "log.finished.some(({ interrupted }) => !interrupted)", 30)
    lines = page.locator("#talk-lines li").all_inner_texts()
    assert lines == ["Who are you?", "Good morning everybody. It is late today."]
    assert page.evaluate("log.shown") > 20
    page.screenshot(path=ARTIFACTS / "talk-chat.png")
    assert model[1].chats[-1]["messages"][-1] == {"role": "user", "content": "Who are you?"}


def test_a_question_may_be_asked_aloud_and_interrupts(page: Page, model: tuple[str, Told]) -> None:
    told = model[1]
    told.answer, told.pace_s = [f"Sentence number {i}. " for i in range(60)], 0.05
    page.fill("#talk-text", "Tell me everything.")
    page.click("#talk-form button")
    until(page, "log.shown > 5", 30)
    told.answer, told.pace_s = ["It is ", "noon."], 0.0
    page.click("#talk-question")
    until(page, "document.getElementById('talk-said').textContent.startsWith('Ask, then')")
    until(page, "log.finished.some(({ interrupted }) => interrupted)")
    page.wait_for_timeout(500)
    page.click("#talk-question")
    until(page, "document.getElementById('talk-lines').lastChild.textContent === 'It is noon.'", 30)
    assert page.locator("#talk-lines li.you").all_inner_texts() == ["Tell me everything.", "What time is it?"]
    _, rate_hz, samples = told.recordings[-1]
    assert samples / rate_hz > 0.3
    until(page, "log.finished.some(({ interrupted }) => !interrupted)", 30)


def test_whoever_speaks_interrupts_and_is_answered_after_a_pause(page: Page, model: tuple[str, Told]) -> None:
    told = model[1]
    told.__init__()  # type: ignore[misc]
    told.answer, told.pace_s = [f"Sentence number {i}. " for i in range(20)], 0.02
    page.click("#talk-free")
    until(page, "document.getElementById('talk-said').textContent.startsWith('Just speak')")
    until(page, "log.finished.filter(({ interrupted }) => interrupted).length > 1", 60)
    asked = page.locator("#talk-lines li.you").all_inner_texts()
    assert len(asked) >= 2 and set(asked) == {"What time is it?"}
    page.click("#talk-free")
    for _, rate_hz, samples in told.recordings:
        assert 1.0 < samples / rate_hz < 2.9  # 1.3 s of voice, what came before it and what shows that it is over


NOTICE = """async ([rate, samples]) => {
  const { VoiceActivity } = await import("/static/voice_activity.js");
  const told = [];
  let at = 0;
  const activity = new VoiceActivity(rate, {
    onbegin: (pieces) => told.push(["begin", at / rate, pieces.length]),
    onpiece: () => {},
    onend: () => told.push(["end", at / rate]),
  });
  for (; at < samples.length; at += 1024) activity.hear(Int16Array.from(samples.slice(at, at + 1024)));
  return told;
}"""


@pytest.mark.parametrize("noise_db", [-70, -40, -30])
def test_a_voice_is_noticed_over_noise_and_nothing_else(page: Page, noise_db: int) -> None:
    rng, said_S = np.random.default_rng(1), hum("never a dull word today")
    noise_S = 10 ** (noise_db / 20) * rng.standard_normal(10 * RATE_HZ)
    heard_S = noise_S.copy()
    for second in (3, 6):
        heard_S[second * RATE_HZ :][: len(said_S)] += said_S
    heard_S[RATE_HZ:][: RATE_HZ // 20] += 0.5 * rng.standard_normal(RATE_HZ // 20)  # a knock is no voice
    assert page.evaluate(NOTICE, [RATE_HZ, to_pcm16(noise_S.astype(np.float32)).tolist()]) == []
    told = page.evaluate(NOTICE, [RATE_HZ, to_pcm16(heard_S.astype(np.float32)).tolist()])
    assert [kind for kind, *_ in told] == ["begin", "end"] * 2
    ends_s = len(said_S) / RATE_HZ
    for second, (_, begun_s, _), (_, ended_s) in zip((3, 6), told[::2], told[1::2], strict=True):
        assert second < begun_s < second + 0.4
        assert second + ends_s + 0.5 < ended_s < second + ends_s + 1.0


def test_without_a_model_there_is_the_microphone_alone(
    browser: Browser, toy_avatars: Path, toy_services: Services, tmp_path: Path
) -> None:
    with served(app_for(settings_for(toy_avatars, tmp_path), toy_services)) as address:
        context = browser.new_context(locale="de", viewport={"width": 390, "height": 844})
        page = open_page(context.new_page(), address)
        page.click("#talk-open")
        until(page, "avatar328.talk?.player.session.welcome")
        assert page.inner_text("#talk-mirror") == "Sag, was ich sage"
        assert not page.is_visible("#talk-form")
        assert not page.is_visible("#talk-question")
        until(page, "document.getElementById('talk-canvas').width > 16")
        page.screenshot(path=ARTIFACTS / "talk-phone.png")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.keyboard.press("Escape")
        until(page, "avatar328.talk === null")
        context.close()
