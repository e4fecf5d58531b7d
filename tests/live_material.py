"""A real server with /ws, and what its tests say to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI

from clients.python.avatar328_client import Frame, LiveClient
from recipe.sound import to_pcm16
from services.container import Services
from tests.service_material import RATE_HZ, app_for, hum, served, settings_for, wait_for
from tests.toy_avatar import toy_avatars, toy_model, toy_services  # noqa: F401

# ruff: noqa: F811

SPEECH = to_pcm16(hum("never a dull word today"))  # 30 frames
LONG = np.tile(SPEECH, 4).tobytes()


@pytest.fixture(scope="module")
def app(toy_avatars: Path, toy_services: Services, tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    limits = {"sessions": 3, "stall_s": 3.0}
    return app_for(settings_for(toy_avatars, tmp_path_factory.mktemp("work"), limits=limits), toy_services)


@pytest.fixture(scope="module")
def server(app: FastAPI) -> Iterator[str]:
    with served(app) as address:
        yield address


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test gives its places back."""
    yield
    if "app" in request.fixturenames:
        wait_for(lambda: request.getfixturevalue("app").state.parts.animations.slots.used == 0)


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


async def give(avatar: LiveClient, pcm: bytes, sizes: tuple[int, ...] = (len(LONG),), rate_hz: int = RATE_HZ) -> None:
    await avatar.begin_audio(rate_hz)
    at, turn = 0, 0
    while at < len(pcm):
        size = 2 * sizes[turn % len(sizes)]
        await avatar.append_audio(pcm[at : at + size])
        at, turn = at + size, turn + 1
    await avatar.end()


async def until(avatar: LiveClient, kind: str, shows: Callable[[Frame], bool] = lambda frame: True) -> list[Any]:
    """All events up to one of a kind."""
    events: list[Any] = []
    async for event in avatar:
        events.append(event)
        if isinstance(event, Frame):
            if shows(event):
                await avatar.shown(event)
        elif event["type"] == kind:
            return events
        elif event["type"] == "error":
            raise AssertionError(event)
    raise AssertionError(f"the session ended before {kind}")


def frames_of(events: list[Any]) -> list[Frame]:
    return [event for event in events if isinstance(event, Frame)]


def said(server: str, sizes: tuple[int, ...], **chosen: Any) -> list[Frame]:
    async def talk() -> list[Frame]:
        async with await LiveClient.connect(server, **chosen) as avatar:
            await give(avatar, SPEECH.tobytes(), sizes)
            return frames_of(await until(avatar, "finished"))

    return run(talk())
