"""WHEP against a real server, with aiortc as the viewer (needs the extra `webrtc`)."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from fastapi import FastAPI
from playwright.sync_api import Browser

from recipe.recipe_328 import FPS
from services.access.keys import new_key
from services.container import Services
from tests.page_browser import browser  # noqa: F401
from tests.service_material import app_for, client_of, served, settings_for, wait_for
from tests.toy_avatar import SIZE, toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SDP = {"Content-Type": "application/sdp"}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


def aiortc() -> Any:
    return pytest.importorskip("aiortc", reason="the extra webrtc is not installed")


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work"), limits={"sessions": 1}), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 40))


class Viewer:
    """What comes of both tracks."""

    def __init__(self, client: httpx2.AsyncClient, address: str) -> None:
        self.client, self.address = client, address
        self.connection = aiortc().RTCPeerConnection(aiortc().RTCConfiguration([]))
        self.pictures: list[Any] = []
        self.sounds: list[Any] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.connection.on("track", self._take)

    def _take(self, track: Any) -> None:
        kept = self.pictures if track.kind == "video" else self.sounds
        errors = importlib.import_module("aiortc.mediastreams").MediaStreamError

        async def take() -> None:
            try:
                while True:
                    kept.append(await track.recv())
            except errors:
                return

        self._tasks.append(asyncio.create_task(take()))

    async def offer(self, kinds: tuple[str, ...] = ("video", "audio")) -> str:
        for kind in kinds:
            self.connection.addTransceiver(kind, direction="recvonly")
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return str(self.connection.localDescription.sdp)

    async def watch(self) -> str:
        """Path of the session."""
        offer = await self.offer()
        answer = await self.client.post(f"{self.address}/whep", content=offer, headers=SDP)
        assert answer.status_code == 201, answer.text
        assert answer.headers["content-type"].startswith("application/sdp")
        assert answer.headers["x-ai-generated"] == "true"
        await self.connection.setRemoteDescription(aiortc().RTCSessionDescription(answer.text, "answer"))
        return self.address + answer.headers["location"]

    async def until(self, condition: Any, within_s: float = 15.0) -> None:
        async with asyncio.timeout(within_s):
            while not condition():
                await asyncio.sleep(0.02)

    def loudness(self, since: int = 0) -> list[float]:
        return [float(np.abs(sound.to_ndarray().astype(float)).max()) for sound in self.sounds[since:]]

    async def close(self) -> None:
        await self.connection.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def viewing(server: str) -> AsyncIterator[Viewer]:
    async with httpx2.AsyncClient() as client:
        viewer = Viewer(client, server)
        try:
            yield viewer
        finally:
            await viewer.close()


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "app" in request.fixturenames:
        slots = request.getfixturevalue("app").state.parts.animations.slots
        wait_for(lambda: slots.used == 0)


def test_a_viewer_sees_and_hears_the_avatar_and_lets_it_speak(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with viewing(server) as viewer:
            session = await viewer.watch()
            assert app.state.parts.animations.slots.used == 1
            await viewer.until(lambda: len(viewer.pictures) > 10 and len(viewer.sounds) > 20)
            picture = viewer.pictures[-1]
            assert (picture.width, picture.height) == (SIZE, SIZE)
            assert max(viewer.loudness()) < 100  # idle, and silent to within the coder's error
            said = await viewer.client.post(f"{session}/speak", json={"text": "Never a dull word today. Not one."})
            assert (said.status_code, said.json()) == (202, {"epoch": 1})
            await viewer.until(lambda: max(viewer.loudness()) > 3000)
            cancelled = await viewer.client.post(f"{session}/cancel")
            assert cancelled.status_code == 200
            assert cancelled.json()["interrupted"]
            assert 0 < cancelled.json()["samples"] < 22_050 * 2
            since = len(viewer.sounds) + 15  # what the network and the other end's buffer hold
            await viewer.until(lambda: len(viewer.sounds) > since + 15)
            assert max(viewer.loudness(since)) < 300
            # one clock: both tracks' time stamps cover the same time, at their own rates
            covered_s = (viewer.pictures[-1].pts - viewer.pictures[0].pts) / 90_000
            steps = {b.pts - a.pts for a, b in zip(viewer.pictures, viewer.pictures[1:], strict=False)}
            assert all(step % (90_000 // FPS) == 0 for step in steps)
            heard_s = (viewer.sounds[-1].pts - viewer.sounds[0].pts) / 48_000
            assert covered_s == pytest.approx(heard_s, abs=1.0)
            left = await viewer.client.delete(session)
            assert left.status_code == 204
            gone = await viewer.client.post(f"{session}/speak", json={"text": "Anybody there?"})
            assert (gone.status_code, gone.json()["type"]) == (404, "/problems/session-not-found")
            assert (await viewer.client.delete(session)).status_code == 404

    run(talk())


def test_picture_and_sound_belong_together(server: str, app: FastAPI) -> None:
    """The mouth moves when sound is heard: by the time stamps of both tracks, within two frames."""

    async def talk() -> tuple[float, float]:
        async with viewing(server) as viewer:
            session = await viewer.watch()
            await viewer.until(lambda: len(viewer.pictures) > 25)
            idle = {one.pts: one.to_ndarray(format="gray") for one in viewer.pictures}
            before = len(viewer.pictures)
            await viewer.client.post(f"{session}/speak", json={"text": "Never a dull word today."})
            await viewer.until(lambda: max(viewer.loudness()) > 3000 and len(viewer.pictures) > before + 30)
            await viewer.client.delete(session)
            heard = next(s.pts for s, loud in zip(viewer.sounds, viewer.loudness(), strict=False) if loud > 500)
            noise = max(_moved(a, b) for a, b in zip(list(idle.values())[5:], list(idle.values())[6:], strict=False))
            later = viewer.pictures[before - 1 :]
            moves = ((b.pts, _moved(a.to_ndarray(format="gray"), b.to_ndarray(format="gray")))
                     for a, b in pairwise(later))  # fmt: skip
            seen = next(pts for pts, moved in moves if moved > 1.5 * noise)
            return (heard - viewer.sounds[0].pts) / 48_000, (seen - viewer.pictures[0].pts) / 90_000

    heard_s, seen_s = run(talk())
    assert heard_s == pytest.approx(seen_s, abs=0.25)


def _moved(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).max())


def test_who_goes_without_a_word_gives_the_place_back(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with viewing(server) as viewer:
            await viewer.watch()
            await viewer.until(lambda: viewer.pictures)
            async with httpx2.AsyncClient() as client:
                other = Viewer(client, server)
                busy = await client.post(f"{server}/whep", content=await other.offer(), headers=SDP)
                assert (busy.status_code, busy.json()["type"]) == (503, "/problems/busy")
                assert busy.headers["retry-after"] == "1"
                await other.close()

    run(talk())
    wait_for(lambda: app.state.parts.animations.slots.used == 0, 40)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        ("v=0", SDP, 422),
        ("\x00\xff nonsense", SDP, 422),
        ("{}", {"Content-Type": "application/json"}, 415),
        ("v=0", {**SDP, "Origin": "https://evil.example"}, 403),
        ("v=0", {**SDP, "Host": "evil.example"}, 421),
    ],
)
def test_what_is_no_offer_or_comes_from_elsewhere_is_refused(
    server: str, app: FastAPI, body: str, headers: dict[str, str], status: int
) -> None:
    aiortc()
    with httpx2.Client() as client:
        answer = client.post(f"{server}/whep", content=body.encode(), headers=headers)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_offer_of_sound_alone_is_refused(server: str, app: FastAPI) -> None:
    async def talk() -> None:
        async with viewing(server) as viewer:
            offer = await viewer.offer(("audio",))
            answer = await viewer.client.post(f"{server}/whep", content=offer, headers=SDP)
            assert answer.status_code == 422
            assert "no video" in answer.json()["detail"]

    run(talk())


def test_keys_open_it(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    keys = tmp_path / "keys.txt"
    secret = new_key(keys, "eve", ["speak"])
    app = app_for(settings_for(toy_avatars, tmp_path, access={"keys_file": keys}), toy_services)
    with client_of(app) as client:
        refused = client.post("/whep", content="v=0", headers=SDP)
        assert refused.status_code == 401
        assert client.delete("/whep/nobody").status_code == 401
        assert client.post("/whep/nobody/speak", json={"text": "Hello"}).status_code == 401
        let_in = client.post("/whep", content="v=0", headers={**SDP, "Authorization": f"Bearer {secret}"})
        assert let_in.status_code in (422, 501)


def test_without_the_extra_the_server_says_so(toy_avatars: Path, toy_services: Services, tmp_path: Path) -> None:
    app = app_for(settings_for(toy_avatars, tmp_path), toy_services)
    app.state.viewers.make = None
    with client_of(app) as client:
        answer = client.post("/whep", content="v=0", headers=SDP)
        assert (answer.status_code, answer.json()["type"]) == (501, "/problems/not-installed")
        assert "install the extra webrtc" in answer.json()["detail"]


_BROWSER = """async () => {
  const connection = new RTCPeerConnection();
  const stream = new MediaStream();
  connection.ontrack = ({ track }) => stream.addTrack(track);
  for (const kind of ["video", "audio"]) connection.addTransceiver(kind, { direction: "recvonly" });
  await connection.setLocalDescription(await connection.createOffer());
  await new Promise((done) => {
    connection.onicegatheringstatechange = () => connection.iceGatheringState === "complete" && done();
    setTimeout(done, 3000);
  });
  const headers = { "Content-Type": "application/sdp" };
  const body = connection.localDescription.sdp;
  const answer = await fetch("/whep", { method: "POST", headers, body });
  const session = answer.headers.get("Location");
  await connection.setRemoteDescription({ type: "answer", sdp: await answer.text() });
  const video = document.createElement("video");
  Object.assign(video, { srcObject: stream, muted: true });
  await video.play();
  await new Promise((done) => setTimeout(done, 1500));
  const stats = [...(await connection.getStats()).values()].filter((one) => one.type === "inbound-rtp");
  const told = Object.fromEntries(stats.map((one) => [one.kind, one]));
  const size = [video.videoWidth, video.videoHeight];
  const left = await fetch(session, { method: "DELETE" });
  connection.close();
  return { size, left: left.status, decoded: told.video.framesDecoded, heard: told.audio.packetsReceived };
}"""


def test_a_browser_shows_it(server: str, app: FastAPI, browser: Browser) -> None:
    aiortc()
    page = browser.new_page()
    page.goto(f"{server}/docs")
    told = page.evaluate(_BROWSER)
    page.close()
    assert told["size"] == [SIZE, SIZE]
    assert told["left"] == 204
    assert told["decoded"] > FPS // 2
    assert told["heard"] > 25
