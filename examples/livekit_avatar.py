"""An avatar for LiveKit rooms: waits until an agent asks for it, or joins one room at once.

    python examples/livekit_avatar.py --url ws://localhost:7880 --name demo                  # waits on port 8100
    python examples/livekit_avatar.py --url ws://localhost:7880 --name demo --token TOKEN    # joins at once

The agent's side is integrations/livekit_agent.py; docs/integrations.md tells both.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout is not installed

if TYPE_CHECKING:
    from config import Settings
    from services.container import Services

logger = logging.getLogger("avatar328")


async def show(url: str, token: str, services: Services, model: Any, agent: str | None, rate_hz: int) -> None:
    """Be in one room until it is over.

    Raises:
        livekit.rtc.ConnectError: the room cannot be entered.
    """
    from livekit import rtc

    from integrations.livekit_avatar import AvatarVideo, avatar_runner
    from services.live.session import LiveSession

    room = rtc.Room()
    over = asyncio.Event()
    room.on("disconnected", lambda *_: over.set())
    await room.connect(url, token)
    session = LiveSession(services.frames, model, services.tts, idle="bare")
    video = AvatarVideo(session, model, rate_hz)
    runner = avatar_runner(room, video, agent_identity=agent)
    try:
        await runner.start()
        await over.wait()
    finally:
        await runner.aclose()
        await video.aclose()
        await room.disconnect()


async def wait_for_agents(options: argparse.Namespace, services: Services) -> None:
    """POST /join {"token", "agent", "avatar"}: show that avatar in that room; as many as there are places."""
    import uvicorn
    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel, Field
    from starlette.concurrency import run_in_threadpool

    from recipe.errors import UserError
    from recipe.names import check_name

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    shown: set[asyncio.Task[None]] = set()

    class Join(BaseModel):
        token: str = Field(max_length=8192)
        agent: str | None = Field(None, max_length=256)
        avatar: str | None = Field(None, max_length=64)

    def forget(task: asyncio.Task[None]) -> None:
        shown.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a room was left: %s", error)

    @app.post("/join", status_code=202)
    async def join(wish: Join) -> dict[str, str]:
        if len(shown) >= options.rooms:
            raise HTTPException(503, f"all {options.rooms} rooms are taken", {"Retry-After": "10"})
        try:
            name = check_name(wish.avatar or options.name)
            model = await run_in_threadpool(services.models.open, name)
        except (UserError, ValueError) as error:
            raise HTTPException(422, str(error)) from error
        task = asyncio.create_task(show(options.url, wish.token, services, model, wish.agent, options.rate))
        shown.add(task)
        task.add_done_callback(forget)
        return {"avatar": name}

    config = uvicorn.Config(app, host=options.host, port=options.port, log_level="warning")
    try:
        await uvicorn.Server(config).serve()
    finally:
        for task in shown:
            task.cancel()
        await asyncio.gather(*shown, return_exceptions=True)


def _services(settings: Settings) -> Services:
    from services.container import build_services
    from services.speech.engines import build_speech

    return build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until stopped; returns the exit code."""
    parser = argparse.ArgumentParser(description="An avatar for LiveKit rooms.")
    parser.add_argument("--url", required=True, help="of the LiveKit server, for example ws://localhost:7880")
    parser.add_argument("--name", default="demo", help="the avatar, where the agent names none")
    parser.add_argument("--token", help="join this one room at once instead of waiting for agents")
    parser.add_argument("--agent", help="identity of the agent in that room; by default the first one")
    parser.add_argument("--host", default="127.0.0.1", help="where to wait for agents; whoever reaches it may ask")
    parser.add_argument("--port", type=int, default=8100, help="where to wait for agents")
    parser.add_argument("--rooms", type=int, default=2, help="most rooms at the same time")
    parser.add_argument("--rate", type=int, default=24_000, help="of the avatar's sound, Hz")
    options = parser.parse_args(arguments)
    logging.basicConfig(level="INFO", format="%(asctime)s %(levelname)s %(message)s")
    import config
    from recipe.errors import UserError

    try:
        services = _services(config.settings)
        model = services.models.open(options.name)
        if options.token:
            asyncio.run(show(options.url, options.token, services, model, options.agent, options.rate))
        else:
            asyncio.run(wait_for_agents(options, services))
    except (UserError, config.ConfigError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except ImportError as error:
        sys.stderr.write(f"error: {error.name} is missing: install the extra livekit\n")
        return 2
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            sys.stderr.write("stopped\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
