"""What an operator asks: does it live, is it ready, how is it, how much has it done."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from fastapi import APIRouter, Request
from prometheus_client import generate_latest
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.http import health_schemas, openapi
from services.http.avatars import avatar_health
from services.http.dependencies import Animations, Catalogue, KnownSettings, Metrics, Parts, State, Tts
from services.http.live_talk import conversation_of

router = APIRouter(tags=["operation"])

_PROMETHEUS: Final = "text/plain; version=0.0.4"


@router.get("/livez", responses=openapi.PLAIN)
async def livez() -> health_schemas.Alive:
    """The process answers."""
    return health_schemas.Alive(status="alive")


@router.get("/readyz", responses=openapi.READY)
async def readyz(animations: Animations, state: State) -> health_schemas.Alive:
    """The default avatar is warm, and there is a free place."""
    if not state.warm:
        raise HTTPException(503, state.problem or "the default avatar is being loaded")
    if not animations.slots.free:
        raise HTTPException(503, "all places are taken")
    return health_schemas.Alive(status="ready")


@router.get("/health", responses=openapi.PLAIN)
def health(
    request: Request,
    parts: Parts,
    animations: Animations,
    catalogue: Catalogue,
    tts: Tts,
    state: State,
    settings: KnownSettings,
) -> health_schemas.Health:
    """What works and what does not."""
    speech, limits = tts.status(), settings.limits
    found = parts.capacity.found
    reasons = [problem for problem in (state.problem, found and found.problem) if problem]
    return health_schemas.Health(
        status="degraded" if reasons else "ok" if state.warm else "starting",
        version=request.app.version,
        uptime_s=round(state.uptime_s, 1),
        reasons=reasons,
        models=health_schemas.ModelHealth(
            device=settings.models.device, provider=state.provider, measured_ms=dict(parts.runtime_ms)
        ),
        avatars=[avatar_health(entry, settings.public) for entry in catalogue.known()],
        speech=health_schemas.SpeechHealth(
            engine=speech.engine,
            default_voice=speech.default_voice,
            fallback_reason=speech.fallback_reason,
            degraded=speech.degraded,
        ),
        sessions=health_schemas.SessionHealth(
            active=animations.slots.used,
            limit=animations.slots.count,
            source="setting" if parts.capacity.fixed else "measured" if found else "provisional",
            measured=None if found is None else health_schemas.CapacityHealth(**asdict(found)),
        ),
        limits=health_schemas.LimitHealth(
            text_characters=limits.text_characters, upload_mb=limits.upload_mb, upload_s=limits.upload_s
        ),
        creation=health_schemas.CreationHealth(enabled=not parts.creation.off, reason=parts.creation.off or None),
        conversation=health_schemas.ConversationHealth(**conversation_of(parts.conversations)),
        services={"tts": bool(speech.default_voice), "model": state.warm, "frame_generation": state.warm},
    )


@router.get("/metrics", responses=openapi.METRICS, response_class=Response)
def metrics(metrics: Metrics) -> Response:
    """Counters for Prometheus."""
    return Response(generate_latest(metrics.registry), media_type=_PROMETHEUS)
