"""The server: `python api.py`, then open http://localhost:8000.

What a request may be and who answers it: services/http/routes.py. Which error gets which status:
services/http/problems.py. The work is done by services, put together in services/container.py and injected.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import ipaddress
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
from data_prep.errors import PreparationError
from services.container import ServerOptions, Services, build_server, build_services
from services.errors import ModelRuntimeError, ServiceError
from services.http.dependencies import Facts
from services.http.listing import Readiness
from services.http.openapi import describe_problems
from services.http.problems import ProblemMap
from services.http.protection import Protection
from services.http.routes import router
from services.memory import share_one_arena
from services.speech.cache import SpeechCache
from services.streaming.debug_recorder import DebugState
from services.tts_service import build_speech
from services.types import TTSService

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
    # Whoever gives the server another name puts something in front of it that others can reach.
    public = not _is_loopback(settings.server.host) or bool(settings.server.allowed_hosts.strip(" ,"))
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
    parts = build_server(services or _services(settings), _options(settings, public))
    app.state.parts, app.state.problems, app.state.metrics = parts, problems, parts.metrics
    app.state.readiness = Readiness()
    app.state.facts = Facts(
        default_avatar=settings.models.default_avatar,
        device=settings.models.device,
        text_characters=settings.limits.text_characters,
        upload_mb=settings.limits.upload_mb,
        upload_s=settings.limits.upload_s,
        jpeg_quality=settings.server.jpeg_quality,
        public=public,
        version=app.version,
    )
    for kind in (RequestValidationError, HTTPException, ServiceError, PreparationError, Exception):
        app.add_exception_handler(kind, problems.answer)
    app.add_middleware(
        Protection,
        problems=problems,
        allowed_hosts=settings.server.allowed_hosts.split(","),
        body_bytes=settings.limits.body_kb << 10,
        upload_bytes={"/generate-from-audio": settings.limits.upload_mb * _MIB},
        generated_paths=_GENERATED,
    )
    app.include_router(router)
    describe_problems(app)
    app.mount("/static", StaticFiles(directory=_ROOT / "static", check_dir=False), name="static")
    app.get("/", include_in_schema=False)(_page)
    return app


def _page() -> FileResponse:
    return FileResponse(_ROOT / "static" / "index.html")


def _services(settings: Settings) -> Services:
    models = settings.models
    return build_services(
        models.avatars_dir,
        models.device,
        models.threads,
        models.loaded_mb * _MIB,
        models.features_mb * _MIB,
        models.template_mb * _MIB,
        _speech(settings),
        models.runtime,
    )


def _speech(settings: Settings) -> TTSService:
    tts = settings.tts
    cache = SpeechCache(tts.cache_dir, tts.cache_mb * _MIB) if tts.cache_mb else None
    return build_speech(tts.voices_dir, tts.voice, tts.model_path, cache, settings.limits.text_characters)


def _options(settings: Settings, public: bool) -> ServerOptions:
    server, limits, debug = settings.server, settings.limits, settings.debug
    return ServerOptions(
        avatars_dir=settings.models.avatars_dir,
        public=public,
        sessions=limits.sessions,
        idle_streams=limits.idle_streams,
        upload_s=limits.upload_s,
        queue_frames=server.queue_frames,
        stall_s=limits.stall_s,
        jpeg_quality=server.jpeg_quality,
        idle_bytes=server.idle_mb * _MIB,
        cache_dir=server.cache_dir,
        cache_bytes=server.cache_mb * _MIB,
        debug=DebugState(debug.enabled, debug.save_frames, debug.save_audio),
        debug_dir=debug.folder,
        debug_quota_bytes=debug.quota_mb * _MIB,
    )


def _version() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("avatar328")
    # A checkout runs from its folder and is not installed.
    return str(tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        readiness.provider = app.state.parts.animations.open(app.state.facts.default_avatar).provider
        app.state.parts.tts.warm_up()
        speech = app.state.parts.tts.status()
        logger.info("ready: %s speaks by %s", app.state.facts.default_avatar, speech.default_voice)
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
    if app.state.facts.public:
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
