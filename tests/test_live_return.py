"""/ws when the network fails: who comes back goes on, and what nobody comes back to is over."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from websockets.asyncio.client import connect

from clients.python import avatar328_client
from clients.python.avatar328_client import Frame, LiveClient, ProblemError
from services.container import Services
from services.http import live
from services.live import service
from tests.live_material import LONG, SPEECH, app, frames_of, give, nothing_is_left, run, said, server, until  # noqa: F401
from tests.service_material import app_for, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811


@pytest.mark.parametrize("cut_after", [0, 5, 12])
def test_who_comes_back_goes_on_where_it_was(server: str, app: FastAPI, cut_after: int) -> None:
    whole = said(server, (5000,))

    async def talk() -> list[Any]:
        async with await LiveClient.connect(server) as avatar:
            await give(avatar, SPEECH.tobytes())
            events: list[Any] = []
            cut = False
            async for event in avatar:
                events.append(event)
                if isinstance(event, Frame):
                    if event.sequence % 3 == 0:
                        await avatar.shown(event)
                    if event.sequence == cut_after and not cut:
                        cut = True
                        avatar._socket.transport.abort()
                        await asyncio.sleep(0.1)
                        await avatar.reconnect()
                        assert avatar.welcome["resumed"]
                    if event.last:
                        await avatar.shown(event)
                elif event["type"] == "finished":
                    return events
            raise AssertionError("it ended early")

    assert frames_of(run(talk())) == whole


@pytest.mark.parametrize("stops_reading_at", [0, 20])
def test_who_comes_back_does_not_wait_for_a_connection_that_hangs(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, stops_reading_at: int
) -> None:
    """A network that is gone tells nobody: to the server the old connection is a good one that reads slowly."""

    async def talk(server: str) -> tuple[list[Frame], float]:
        avatar = await LiveClient.connect(server, tiers=["jpeg"])
        hanging = avatar._socket
        if stops_reading_at == 0:
            hanging.transport.pause_reading()
        await give(avatar, LONG)
        frames: list[Frame] = []
        if stops_reading_at:
            async for event in avatar:
                frames += [event] if isinstance(event, Frame) else []
                if len(frames) == stops_reading_at:
                    break
            await avatar.shown(frames[-1])
            hanging.transport.pause_reading()
        await asyncio.sleep(1.0)  # the server fills what lies between
        began = time.perf_counter()
        # As `reconnect`, without a word to the old connection.
        await avatar._greet({"session": avatar.welcome["session"], "sequence": avatar.received})
        took_s = time.perf_counter() - began
        frames += frames_of(await until(avatar, "finished"))
        await avatar.close()
        hanging.transport.abort()
        return frames, took_s

    app = app_for(settings_for(toy_avatars, tmp_path, limits={"sessions": 1, "stall_s": 10.0}), toy_services)
    with served(app, send_buffer_bytes=8192) as server:
        frames, took_s = run(talk(server))
        assert [frame.sequence for frame in frames] == list(range(4 * 30 + 4))
        assert b"".join(frame.sound for frame in frames)[: len(LONG)] == LONG
        assert took_s < 1
        wait_for(lambda: app.state.parts.animations.slots.used == 0)


def test_a_session_that_nobody_comes_back_to_is_over(
    server: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RESUME_S", 0.2)

    async def talk() -> None:
        avatar = await LiveClient.connect(server)
        assert app.state.parts.animations.slots.used == 1
        avatar._socket.transport.abort()
        await asyncio.sleep(0.4)
        with pytest.raises(ProblemError, match="session is over"):
            await avatar.reconnect()

    run(talk())


def test_who_comes_back_says_to_which_of_several_servers(
    server: str, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def connecting(address: str, **how: Any) -> Any:
        asked.append(address)
        return connect(address, **how)

    monkeypatch.setattr(avatar328_client, "connect", connecting)

    async def come_back() -> None:
        async with await LiveClient.connect(server) as avatar:
            assert "route" not in avatar.welcome
        monkeypatch.setitem(app.state._state, "route", "r 1")
        async with await LiveClient.connect(server) as avatar:
            assert avatar.welcome["route"] == "r 1"
            await avatar.reconnect()
            assert avatar.welcome["resumed"]

    run(come_back())
    assert [address.partition("?")[2] for address in asked] == ["", "", "route=r+1"]


@pytest.mark.parametrize("steps", range(6))
def test_a_cancelled_connection_stops_sending_whenever_that_comes(steps: int) -> None:
    """Python 3.11's wait_for forgot it where the message had just gone: the client that came back waited a minute."""

    async def cancelled() -> None:
        async def send(_: str) -> None:
            await asyncio.sleep(0)

        connection = live._Connection.__new__(live._Connection)
        connection._websocket = SimpleNamespace(send_text=send, send_bytes=send)
        connection._settings = SimpleNamespace(limits=SimpleNamespace(stall_s=60.0))

        async def forward() -> None:
            await connection._put("a frame")
            await asyncio.Event().wait()  # for the next one

        task = asyncio.create_task(forward())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=2)
        assert done and task.cancelled()

    run(cancelled())


def test_who_closes_the_session_gives_its_place_back_whatever_was_on_its_way(server: str, app: FastAPI) -> None:
    """The client's goodbye lies behind what it asked before, and nothing can be sent to it any more."""

    async def talk() -> None:
        for _ in range(5):
            async with connect(server.replace("http", "ws") + "/ws", max_queue=None) as socket:
                await socket.send('{"type":"hello","version":1,"tiers":["jpeg"],"idle":true}')
                await socket.recv()
                for _ in range(8):
                    await socket.send('{"type":"speak","text":"Hello there"}')
                    await socket.send('{"type":"cancel"}')

    run(talk())
    assert wait_for(lambda: app.state.parts.animations.slots.used == 0) < service.RESUME_S / 2


@pytest.mark.parametrize("taken", [1, 5])
def test_a_session_is_closed_at_once_while_frames_wait_unread(server: str, app: FastAPI, taken: int) -> None:
    async def talk() -> float:
        async with await LiveClient.connect(server) as avatar:
            await give(avatar, LONG)
            for _ in range(taken):
                await anext(aiter(avatar))
            await asyncio.sleep(0.5)  # for more frames than are read
            began = time.perf_counter()
        return time.perf_counter() - began

    assert run(talk()) < 2
