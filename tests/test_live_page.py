"""The JavaScript client in a real browser against a real server: sound is the clock, and nothing jumps or freezes."""

from __future__ import annotations

import base64
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, Route

from recipe.recipe_328 import FPS
from services.container import Services
from tests.page_browser import browser
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for, wait_for
from tests.toy_avatar import FRAMES, toy_avatars, toy_model, toy_services  # noqa: F401

__all__ = ["browser"]
# ruff: noqa: F811

TEXT = "Never a dull word today"
LOOKED_AT = (8, 14, 20)  # frames of an utterance whose pixels are compared

OPEN = """async ([tiers, lookedAt]) => {
  const { LiveSession } = await import("/static/session.js");
  const { LivePlayer } = await import("/static/session_player.js");
  const canvas = document.createElement("canvas");
  document.body.replaceChildren(canvas);
  const player = (window.player = new LivePlayer(canvas, new LiveSession({ tiers })));
  const log = { shown: [], states: [], captions: [], finished: [], problems: [], pictures: {}, walk: [] };
  window.log = log;
  player.addEventListener("shown", ({ detail }) => {
    log.shown.push(detail);
    if (lookedAt.includes(detail.index)) log.pictures[detail.index] = canvas.toDataURL("image/png");
  });
  player.addEventListener("state", ({ detail }) => log.states.push(detail.state));
  player.addEventListener("caption", ({ detail }) => log.captions.push(detail.text));
  player.addEventListener("finished", ({ detail }) => log.finished.push(detail));
  player.addEventListener("problem", ({ detail }) => log.problems.push(String(detail.problem)));
  const draw = player._screen.draw.bind(player._screen);
  player._screen.draw = (frame, late) => {
    const drawn = draw(frame, late);
    if (drawn) log.walk.push([frame.step.index, performance.now(), Boolean(frame.idle ?? true)]);
    return drawn;
  };
  player.unlock();
  return player.open();
}"""


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    limits = {"sessions": 2, "stall_s": 5.0}
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work"), limits=limits), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture
def page(browser: Browser, server: str, app: FastAPI) -> Iterator[Page]:
    """A page of this server with nothing on it; afterwards every place is free again."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{server}/livez")
    yield page
    page.evaluate("window.player?.close()")
    context.close()
    wait_for(lambda: app.state.parts.animations.slots.used == 0)


def opened(page: Page, *tiers: str) -> dict[str, Any]:
    welcome: dict[str, Any] = page.evaluate(OPEN, [list(tiers or ("patch", "jpeg")), LOOKED_AT])
    until(page, "log.walk.length > 3")
    return welcome


def until(page: Page, condition: str, within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not page.evaluate(condition):
        assert time.monotonic() < deadline, f"not within {within_s} s: {condition}; {page.evaluate('log')}"
        page.wait_for_timeout(20)


def spoken(page: Page, text: str = TEXT) -> dict[str, Any]:
    count = page.evaluate("log.finished.length")
    page.evaluate("(text) => player.speak(text)", text)
    until(page, f"log.finished.length > {count} && player.state === 'idle'")
    return page.evaluate("({ ...log, underruns: player.underruns })")


def jumps(walk: list[list[Any]]) -> list[int]:
    return [abs(after[0] - before[0]) for before, after in itertools.pairwise(walk)]


def test_speech_is_shown_by_the_sound_s_time_and_the_walk_goes_through(page: Page) -> None:
    welcome = opened(page)
    assert (welcome["tier"], welcome["frames"]) == ("patch", FRAMES)
    log = spoken(page)
    assert log["problems"] == []
    assert log["captions"] == [TEXT]
    assert log["finished"] == [{"epoch": 1, "samples": len(hum(TEXT)), "interrupted": False}]
    stops = ["starved", "speaking"] * log["underruns"]  # on a busy machine; sound and picture go on together
    assert log["states"] == ["waiting", "speaking", *stops, "idle"]
    shown = log["shown"]
    assert len(shown) > 10  # of 34; a busy machine leaves some out
    late_s = [frame["heard_s"] - frame["index"] / FPS for frame in shown]
    assert min(late_s) > -1e-6  # never before its sound
    assert float(np.median(late_s)) < 2 / FPS
    page.wait_for_timeout(300)
    walk = page.evaluate("log.walk")
    spoken_at = [number for number, (_, _, idle) in enumerate(walk) if not idle]
    assert spoken_at[0] > 2 and spoken_at[-1] < len(walk) - 2  # silence before and after
    left_out = 34 - len(shown)
    assert max(jumps(walk)) <= 1 + left_out, walk
    assert jumps(walk)[spoken_at[0] - 1] <= 1 + shown[0]["index"]  # speech begins on the next frame of the walk


def test_all_tiers_show_the_same_pictures(page: Page) -> None:
    pictures: list[dict[str, str]] = []
    for tier in ("jpeg", "patch", "h264"):
        assert opened(page, tier)["tier"] == tier
        # Where speech begins depends on the moment; both are told the same place, and draw what the server says.
        page.evaluate(
            "player.session.idle = () => player.session._put({ type: 'idle', frame: 9, direction: 1, lead: 0 })"
        )
        pictures.append(spoken(page)["pictures"])
        page.evaluate("player.close()")
    for of_tier, bound in zip(pictures[1:], (2.5, 3.75), strict=True):  # two codings of one picture, alike or not
        compared = pictures[0].keys() & of_tier.keys()
        assert compared
        for index in compared:
            whole, other = _pixels(pictures[0][index]), _pixels(of_tier[index])
            assert other.shape == whole.shape
            assert np.sqrt(np.square(other - whole).mean()) < bound


def test_a_video_goes_on_after_an_interruption(page: Page) -> None:
    """What was interrupted is not decoded any more, so what follows needs nothing of it."""
    assert opened(page, "h264")["tier"] == "h264"
    page.evaluate("(text) => player.speak(text)", " ".join([TEXT] * 4))
    until(page, "log.shown.length > 8")
    page.evaluate("player.cancel()")
    count = page.evaluate("log.shown.length")
    log = spoken(page, "New words")
    shown = log["shown"][count:]
    assert {frame["epoch"] for frame in shown} == {log["finished"][-1]["epoch"]}
    assert len(shown) > 3


def test_the_video_is_for_slow_networks(page: Page) -> None:
    chosen = """(connection) => import("/static/session_h264.js").then(({ tiersHere }) => tiersHere({ connection }))"""
    assert page.evaluate(chosen, None) == ["patch", "jpeg"]  # a browser that does not say
    assert page.evaluate(chosen, {"downlink": 10, "saveData": False}) == ["patch", "jpeg"]
    assert page.evaluate(chosen, {"downlink": 1.5, "saveData": False}) == ["h264", "patch", "jpeg"]
    assert page.evaluate(chosen, {"downlink": 10, "saveData": True}) == ["h264", "patch", "jpeg"]


def _pixels(url: str) -> np.ndarray:
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(url.split(",")[1]), np.uint8), cv2.IMREAD_COLOR)
    return picture.astype(float)


def test_cancel_is_silence_at_once_and_the_next_words_are_said(page: Page) -> None:
    opened(page)
    page.evaluate("(text) => player.speak(text)", " ".join([TEXT] * 4))
    until(page, "log.shown.length > 8")
    answer, heard, took_ms = page.evaluate(
        """async () => {
          const turn = player._turns[0];
          const heard = Math.floor(turn.sound.position_s * turn.rate);
          const began = performance.now();
          const answer = await player.cancel();
          return [answer, heard, performance.now() - began];
        }"""
    )
    assert took_ms < 200
    assert answer["epoch"] == 1 and answer["interrupted"]
    assert abs(answer["samples"] - heard) < RATE_HZ // 50
    count = page.evaluate("log.shown.length")
    log = spoken(page, "New words")
    assert [told["interrupted"] for told in log["finished"]] == [True, False]
    assert {frame["epoch"] for frame in log["shown"][count:]} == {log["finished"][-1]["epoch"]}


def test_sound_is_said_as_it_is_and_text_while_it_is_written(page: Page) -> None:
    opened(page)
    page.evaluate(
        """(rate) => {
          player.beginAudio(rate);
          for (let start = 0; start < rate; start += 1000) {
            player.appendAudio(Int16Array.from({ length: 1000 }, (_, i) => 9000 * Math.sin((start + i) / 9)));
          }
          player.end();
          for (const piece of ["Good mor", "ning. It", " is late."]) player.appendText(piece);
          player.end();
        }""",
        RATE_HZ,
    )
    until(page, "log.finished.length === 2")
    log = page.evaluate("log")
    assert log["problems"] == []
    assert log["finished"][0]["samples"] == -(-RATE_HZ // 1000) * 1000
    assert log["captions"] == ["Good morning", "It is late"]


def test_a_connection_that_breaks_is_made_anew_and_goes_on(
    page: Page, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(app.state._state, "route", "r1")  # of several servers
    opened(page)
    assert page.evaluate("player.session._socket.url").endswith("/ws")
    page.evaluate("(text) => player.speak(text)", " ".join([TEXT] * 3))
    until(page, "log.shown.length > 4")
    page.evaluate("player.session._socket.close(4000)")  # no code that ends a session
    until(page, "log.finished.length === 1", 20)
    assert page.evaluate("player.session._socket.url").endswith("/ws?route=r1")
    log = page.evaluate("log")
    assert log["problems"] == []
    assert log["finished"][0] == {"epoch": 1, "samples": len(hum(" ".join([TEXT] * 3))), "interrupted": False}
    sequences = [frame["sequence"] for frame in log["shown"]]
    assert sequences == sorted(set(sequences))


def test_pictures_that_come_late_under_the_speech_are_shown_again(page: Page) -> None:
    """The picture stands while what lies under a patch is missing, and goes on once it is there."""
    held: list[Route] = []
    page.route(lambda url: "/avatar/frames" in url and "first=0&" not in url, lambda route: held.append(route))
    opened(page)
    page.evaluate("(text) => player.speak(text)", " ".join([TEXT] * 5))
    until(page, "player._turns[0]?.shown >= 0 && player._turns[0].heard > player._turns[0].shown + 15")
    for route in held:  # one: the pieces are fetched one after another
        route.continue_()
    page.unroute_all()
    until(page, "player._turns[0] && player._turns[0].heard - player._turns[0].shown < 5", 4)
    assert page.evaluate("log.problems") == []


def test_a_busy_server_says_so(page: Page, app: FastAPI) -> None:
    opened(page)
    slots = app.state.parts.animations.slots
    slots.take()
    try:
        refused = page.evaluate(
            """async () => {
              const { LiveSession } = await import("/static/session.js");
              return new LiveSession().open().then(() => null, (problem) => [problem.status, problem.retryAfter_s]);
            }"""
        )
    finally:
        slots.give_back()
    assert refused == [503, 1]
