"""Answers that are whole before they are sent: a still picture, speech as WAV, metrics.

Axes: S audio samples.
"""

from __future__ import annotations

import io
import wave
from itertools import chain
from typing import Final

from fastapi import Request
from prometheus_client import generate_latest
from starlette.responses import Response

from services.animation_service import AnimationService
from services.avatar_manifest import POSTER_FILE
from services.metrics import ServiceMetrics
from services.streaming.ndjson import pcm_s16le
from services.types import TTSService

_PROMETHEUS: Final = "text/plain; version=0.0.4"


def poster(request: Request, animations: AnimationService, avatar: str) -> Response:
    """The still picture of an avatar that may be shown here."""
    manifest = (opened := animations.open(avatar).avatar).manifest
    tag = f'"{manifest.files[POSTER_FILE][:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response((opened.folder / POSTER_FILE).read_bytes(), headers=headers, media_type="image/jpeg")


def spoken_wav(animations: AnimationService, tts: TTSService, text: str, voice: str | None, speed: float) -> Response:
    """A text as a WAV file."""
    tts.check(text, voice, speed)
    with animations.slots:
        buffer = io.BytesIO()
        chunks = tts.synthesize(text, voice, speed)
        first = next(chunks)  # before the file: one that is closed without a rate raises an error of its own
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(first.sample_rate_hz)
            for chunk in chain([first], chunks):
                file.writeframes(pcm_s16le(chunk.pcm_S))
    headers = {"Content-Disposition": 'inline; filename="speech.wav"', "Cache-Control": "no-store"}
    return Response(buffer.getvalue(), headers=headers, media_type="audio/wav")


def exposition(metrics: ServiceMetrics) -> Response:
    """What Prometheus reads."""
    return Response(generate_latest(metrics.registry), media_type=_PROMETHEUS)
