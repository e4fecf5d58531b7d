"""Answers that are whole before they are sent: a still picture, speech as WAV, metrics."""

from __future__ import annotations

from typing import Final

from fastapi import Request
from prometheus_client import generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from recipe.avatar_format import POSTER_FILE
from services.animation_service import AnimationService
from services.http.streams import LEFT, pumped_whole
from services.streaming.metrics import ServiceMetrics

_PROMETHEUS: Final = "text/plain; version=0.0.4"


def poster(request: Request, animations: AnimationService, avatar: str) -> Response:
    """The still picture of an avatar that may be shown here."""
    manifest = (opened := animations.open(avatar).avatar).manifest
    tag = f'"{manifest.files[POSTER_FILE][:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response((opened.folder / POSTER_FILE).read_bytes(), headers=headers, media_type="image/jpeg")


async def spoken_wav(
    request: Request, animations: AnimationService, text: str, voice: str | None, speed: float
) -> Response:
    """A text as a WAV file; a client that leaves before it is whole stops the engine."""
    pump = await run_in_threadpool(animations.speech, text, voice, speed)
    wav = await pumped_whole(request, pump)
    if wav is None:
        return Response(status_code=LEFT)
    headers = {"Content-Disposition": 'inline; filename="speech.wav"', "Cache-Control": "no-store"}
    return Response(wav, headers=headers, media_type="audio/wav")


def exposition(metrics: ServiceMetrics) -> Response:
    """What Prometheus reads."""
    return Response(generate_latest(metrics.registry), media_type=_PROMETHEUS)
