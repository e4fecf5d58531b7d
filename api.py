"""The server: `python api.py`, then open http://localhost:8000.

What a request may be and who answers it: services/http/routes.py. Which error gets which status:
services/http/problems.py. The work is done by services, put together in services/container.py and injected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import tomllib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import configargparse
import uvicorn
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

import config
from config import ConfigError, Settings
from recipe.errors import UserError
from services.container import Services, build_server, build_services
from services.errors import ModelRuntimeError
from services.http.openapi import describe_problems
from services.http.problems import ProblemMap
from services.http.protection import Protection
from services.http.readiness import Readiness
from services.http.routes import ROUTERS
from services.runtimes.memory import share_one_arena
from services.speech.engines import build_speech

logger = logging.getLogger("avatar328")

_MIB: Final = 1 << 20
_ROOT: Final = Path(__file__).resolve().parent
_LOOK_AGAIN_S: Final = 10.0  # at the folder of avatars
_STOP_S: Final = 3.0  # for work to end when the server stops
_GENERATED: Final = ("/generate", "/generate-from-audio", "/avatar", "/avatar/frames", "/get-tts-audio")


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: by default those of the environment.
        services: by default the real ones; tests put fakes here.
    Raises:
        ConfigError: a setting is not known, or has a value it cannot have.
        ModelRuntimeError: the configured device is not there.
    """
    settings = settings or config.settings
    app = FastAPI(
        title="avatar328",
        version=_version(),
        description="A talking avatar: text or sound in, picture and sound out, while it is generated.",
        lifespan=_lifespan,
        docs_url=None,  # both pages would load scripts from elsewhere
        redoc_url=None,
        openapi_tags=[{"name": name} for name in ("animation", "avatars", "operation", "debug")],
    )
    problems = ProblemMap(settings.models.avatars_dir)
    services = services or build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))
    parts = build_server(services, settings)
    app.state.parts, app.state.problems, app.state.metrics = parts, problems, parts.metrics
    app.state.readiness = Readiness(settings.models.default_avatar)
    app.state.settings = settings
    for kind in (RequestValidationError, HTTPException, UserError, Exception):
        app.add_exception_handler(kind, problems.answer)
    app.add_middleware(
        Protection,
        problems=problems,
        allowed_hosts=settings.server.allowed_hosts.split(","),
        body_bytes=settings.limits.body_kb << 10,
        upload_bytes={"/generate-from-audio": settings.limits.upload_mb * _MIB},
        generated_paths=_GENERATED,
    )
    for router in ROUTERS:
        app.include_router(router)
    describe_problems(app)
    app.mount("/static", StaticFiles(directory=_ROOT / "static", check_dir=False), name="static")
    app.get("/", include_in_schema=False)(_page)
    return app


def _page() -> FileResponse:
    return FileResponse(_ROOT / "static" / "index.html")


def _version() -> str:
    return str(tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Answer at once and get warm meanwhile; at the end cancel what is still being made."""
    task = asyncio.create_task(_look_after(app))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await run_in_threadpool(app.state.parts.animations.close, _STOP_S)


async def _look_after(app: FastAPI) -> None:
    while True:
        if not app.state.readiness.warm:
            await run_in_threadpool(_warm_up, app)
        try:
            await run_in_threadpool(app.state.parts.catalogue.refresh)
        except OSError as error:  # the folder of avatars cannot be read now; it may be the next time
            logger.warning("the avatars cannot be listed: %s", error)
        await asyncio.sleep(_LOOK_AGAIN_S)


def _warm_up(app: FastAPI) -> None:
    """Load the default avatar and its voice; tried again while there is none, for it may still be copied here."""
    readiness: Readiness = app.state.readiness
    try:
        readiness.provider = app.state.parts.animations.open(readiness.avatar).provider
        app.state.parts.tts.warm_up()
        speech = app.state.parts.tts.status()
        logger.info("ready: %s speaks by %s", readiness.avatar, speech.default_voice)
        readiness.problem, readiness.warm = None, True
    except Exception as error:  # whatever it is: the server runs, and says so in /health and /readyz
        problem = app.state.problems.of(error, "/health").detail
        if problem != readiness.problem:
            logger.warning("not ready: %s", problem)
        readiness.problem = problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; returns the exit code, 0 or 2."""
    parser = configargparse.ArgumentParser(
        description="Serve the avatars; everything else is set as .env.example says."
    )
    parser.add_argument("--host", help="address to listen on, instead of the configured one")
    parser.add_argument("--port", type=int, help="port to listen on, instead of the configured one; 0 takes a free one")
    options = parser.parse_args(arguments)
    share_one_arena()
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    try:
        settings = config.load_settings(server=chosen) if chosen else config.settings
        logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        app = create_app(settings)
    except (ConfigError, ModelRuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if app.state.settings.public:
        logger.warning(
            "others can reach this server (host %s, allowed hosts %s): there is no login, and avatars without "
            "a consent record are refused",
            settings.server.host,
            settings.server.allowed_hosts or "none",
        )
    uvicorn.run(
        app,
        host=settings.server.host,
        port=settings.server.port,
        log_config=None,
        access_log=settings.server.log_level == "debug",
        timeout_graceful_shutdown=int(_STOP_S),
        limit_concurrency=settings.limits.connections,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
