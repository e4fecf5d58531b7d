"""The application: routes, the map of errors, what happens at its start and end; no work is done here.

What a request may be and who answers it: routes.py. Which error gets which status: problems.py. The work is done by
services, put together in services/container.py and injected.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from config import Settings
from recipe.errors import UserError
from services.container import Services, build_server, build_services
from services.http.openapi import describe_problems
from services.http.problems import ProblemMap
from services.http.protection import Protection
from services.http.readiness import Readiness
from services.http.routes import ROUTERS
from services.speech.engines import build_speech

logger = logging.getLogger("avatar328")

_MIB: Final = 1 << 20
_CODE: Final = Path(__file__).resolve().parent.parent.parent
_LOOK_AGAIN_S: Final = 10.0  # at the folder of avatars
_STOP_S: Final = 3.0  # for work to end when the server stops
_GENERATED: Final = ("/generate", "/generate-from-audio", "/avatar", "/avatar/frames", "/get-tts-audio")


def build_app(settings: Settings, services: Services | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: of everything.
        services: by default the real ones; tests put fakes here.
    Raises:
        ModelRuntimeError: the configured device is not there.
    """
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
    app.mount("/static", StaticFiles(directory=_CODE / "static", check_dir=False), name="static")
    app.get("/", include_in_schema=False)(_page)
    return app


def _page() -> FileResponse:
    return FileResponse(_CODE / "static" / "index.html")


def _version() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("avatar328")
    # A checkout runs from its folder and is not installed.
    return str(tomllib.loads((_CODE / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


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
