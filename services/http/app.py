"""The application: routes, the map of errors, what happens at its start and end; no work is done here.

What a request may be and who answers it: routes.py. Which error gets which status: problems.py. The work is done by
services, put together in services/container.py and injected.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware

from config import Access, Compat, ConfigError, Settings
from recipe.errors import UserError
from recipe.tombstones import revoked_recordings
from recipe.version import product_version
from services.access.keys import KeyRing
from services.access.quotas import Quotas
from services.avatars.photo_studio import remove_left_overs
from services.container import ServerParts, Services, build_server, build_services
from services.http.compat import FORM_UPLOAD, OPEA_UPLOADS, form_router, opea_router
from services.http.gate import Gate
from services.http.gradio_api import UPLOAD, mount_gradio
from services.http.live import router as live_router
from services.http.openapi import describe_problems
from services.http.origins import EMBED, Origins
from services.http.pages import Pages
from services.http.problems import ProblemMap
from services.http.protection import Protection
from services.http.readiness import Readiness
from services.http.routes import ROUTERS
from services.http.whep import PATH as WHEP
from services.http.whep import Viewers
from services.http.whep import router as whep_router
from services.live.peers import PeerMaker
from services.speech.engines import build_speech
from services.streaming.slots import Slots
from services.types import PhotoMaker

logger = logging.getLogger("avatar328")

_MIB: Final = 1 << 20
_CODE: Final = Path(__file__).resolve().parent.parent.parent
_LOOK_AGAIN_S: Final = 10.0  # at the folder of avatars
_STOP_S: Final = 3.0  # for work to end when the server stops
_COMPRESSED_ALREADY: Final = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/x-ndjson", "multipart/x-mixed-replace")
_UPLOADS: Final = ("/generate-from-audio", "/takes/mp4", "/animate", "/preload", "/avatars")
_GENERATED: Final = (
    "/generate",
    "/generate-from-audio",
    "/takes/mp4",
    "/animate",
    "/avatar",
    "/avatar/frames",
    "/get-tts-audio",
    "/v1/audio/speech",
    WHEP,
)


def build_app(
    settings: Settings,
    services: Services | None = None,
    photo_maker: PhotoMaker | None = None,
    peer_maker: PeerMaker | None = None,
) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: of everything.
        services: by default the real ones; tests put fakes here.
        photo_maker: makes avatars of photos; None where that is not installed.
        peer_maker: answers offers of WebRTC; None where that is not installed.
    Raises:
        ModelRuntimeError: the configured device is not there.
    """
    app = FastAPI(
        title="avatar328",
        version=product_version(),
        description="A talking avatar: text or sound in, picture and sound out, while it is generated.",
        lifespan=_lifespan,
        docs_url=None,  # both pages would load scripts from elsewhere; /docs is our own
        redoc_url=None,
        openapi_tags=[{"name": name} for name in ("animation", "photos", "avatars", "operation", "debug")],
    )
    problems = ProblemMap(settings.models.avatars_dir)
    services = services or build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))
    parts = build_server(services, settings, photo_maker)
    app.state.parts, app.state.problems, app.state.metrics = parts, problems, parts.metrics
    app.state.readiness = Readiness(settings.models.default_avatar)
    app.state.settings = settings
    app.state.route = ""  # how to come back to this server of several, where something before them can tell
    app.state.gate = _gate(settings.access)
    app.state.viewers = Viewers(peer_maker)
    for kind in (RequestValidationError, HTTPException, UserError, Exception):
        app.add_exception_handler(kind, problems.answer)
    uploads = (*_UPLOADS, *_further_uploads(settings.compat))
    app.add_middleware(GZipMiddleware, minimum_size=1000, exclude_content_types=_COMPRESSED_ALREADY)
    app.add_middleware(
        Protection,
        problems=problems,
        allowed_hosts=settings.server.allowed_hosts.split(","),
        origins=Origins(settings.server.allowed_origins.split(","), settings.server.embed_origins.split(",")),
        body_bytes=settings.limits.body_kb << 10,
        upload_bytes=dict.fromkeys(uploads, settings.limits.upload_mb * _MIB),
        generated_paths=_GENERATED,
        connections=settings.limits.connections,
        uploads=Slots(settings.limits.uploads, "uploads"),
        places=parts.animations.slots,
        least_bytes_s=settings.limits.upload_kb_s << 10,
        gate=app.state.gate,
        public=settings.public,
        inline_pages=settings.server.inline_pages,
    )
    if settings.compat.form:
        app.include_router(form_router())
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(live_router)
    app.include_router(whep_router)
    if settings.compat.opea:
        app.include_router(opea_router(parts.results))
    pages = Pages(_CODE / "static", "/static")
    app.mount("/static", pages, name="static")
    app.get("/", include_in_schema=False)(lambda: pages.page("index.html"))
    app.get(EMBED, include_in_schema=False)(lambda: pages.page("embed.html"))
    app.get("/docs", include_in_schema=False)(lambda: pages.page("docs.html"))
    if settings.compat.gradio:
        _add_gradio(app, parts, settings)
    describe_problems(app)
    if parts.traces is not None:
        parts.traces.over(app)
    return app


def _add_gradio(app: FastAPI, parts: ServerParts, settings: Settings) -> None:
    limits = settings.limits
    try:
        mount_gradio(
            app,
            parts.animations,
            parts.results,
            app.state.problems,
            at_once=parts.animations.slots.count,
            upload_mb=limits.upload_mb,
            keep_s=settings.compat.results_s,
            public=settings.public,
        )
    except ImportError as error:
        raise ConfigError(
            f"AVATAR328_COMPAT__GRADIO is true, but gradio cannot be imported ({error}); install the extra gradio, "
            "or leave the setting away"
        ) from error


def _gate(access: Access) -> Gate | None:
    """What asks for keys, where there are any.

    Raises:
        KeysError: they cannot be read.
    """
    quotas = Quotas(access.requests_per_minute, access.seconds_per_day)
    return None if access.keys_file is None else Gate(KeyRing(access.keys_file), quotas)


def _further_uploads(compat: Compat) -> tuple[str, ...]:
    return (
        *(OPEA_UPLOADS if compat.opea else ()),
        *((FORM_UPLOAD,) if compat.form else ()),
        *((UPLOAD,) if compat.gradio else ()),
    )


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Answer at once and get warm meanwhile; at the end cancel what is still being made."""
    task = asyncio.create_task(_look_after(app))
    await run_in_threadpool(app.state.parts.creation.start)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await app.state.viewers.close_all()
        if app.state.parts.conversations is not None:
            await app.state.parts.conversations.close()
        await run_in_threadpool(app.state.parts.creation.workshop.close, _STOP_S)
        await run_in_threadpool(app.state.parts.live.close, _STOP_S)
        await run_in_threadpool(app.state.parts.animations.work.close, _STOP_S)
        app.state.parts.animations.provenance.close()
        if app.state.parts.traces is not None:
            await run_in_threadpool(app.state.parts.traces.close)


async def _look_after(app: FastAPI) -> None:
    while True:
        if not app.state.readiness.warm:
            await run_in_threadpool(_warm_up, app)
        if app.state.readiness.warm and app.state.parts.capacity.wanted:
            await run_in_threadpool(_measure_capacity, app)
        app.state.parts.live.forget_lost()
        try:
            await run_in_threadpool(_forget_revoked, app)
            app.state.parts.animations.photos.kept.forget_expired()
            await run_in_threadpool(remove_left_overs)
            await run_in_threadpool(app.state.parts.results.tidy)
            await run_in_threadpool(app.state.parts.catalogue.refresh)
        except Exception:  # whatever it is: the next look tries again
            logger.exception("a folder cannot be looked after")
        await asyncio.sleep(_LOOK_AGAIN_S)


def _forget_revoked(app: FastAPI) -> None:
    recordings = revoked_recordings(app.state.settings.models.avatars_dir)
    if recordings:
        app.state.parts.animations.forget(recordings)
        app.state.parts.live.forget(recordings)


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


def _measure_capacity(app: FastAPI) -> None:
    """Find out how many utterances this machine draws; without an answer the provisional number stays."""
    try:
        app.state.parts.capacity.measure(app.state.parts.animations.open(app.state.readiness.avatar))
    except Exception as error:  # whatever it is: the server runs, and the next look tries again
        logger.warning("capacity cannot be measured: %s", app.state.problems.of(error, "/health").detail)
