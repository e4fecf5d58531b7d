"""What routes are given: `app.state.parts`, taken apart, so that a route says what it needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request, params
from starlette.exceptions import HTTPException

from config import Settings
from services.animation_service import AnimationService
from services.avatars.catalogue import AvatarCatalogue
from services.container import ServerParts
from services.creation.service import Creation
from services.http.problems import ProblemMap
from services.http.readiness import Readiness
from services.streaming.animation_cache import AnimationCache
from services.streaming.burned import CaptionFonts
from services.streaming.debug_recorder import DebugRecorder
from services.streaming.metrics import ServiceMetrics
from services.types import TTSService


def _parts(request: Request) -> ServerParts:
    return request.app.state.parts


def _animations(parts: Parts) -> AnimationService:
    return parts.animations


def _catalogue(parts: Parts) -> AvatarCatalogue:
    return parts.catalogue


def _cache(parts: Parts) -> AnimationCache:
    return parts.cache


def _fonts(parts: Parts) -> CaptionFonts:
    return parts.caption_fonts


def _creation(parts: Parts) -> Creation:
    return parts.creation


def _recorder(parts: Parts) -> DebugRecorder:
    return parts.recorder


def _metrics(parts: Parts) -> ServiceMetrics:
    return parts.metrics


def _tts(parts: Parts) -> TTSService:
    return parts.tts


def _settings(request: Request) -> Settings:
    return request.app.state.settings


def _readiness(request: Request) -> Readiness:
    return request.app.state.readiness


def _problems(request: Request) -> ProblemMap:
    return request.app.state.problems


Parts = Annotated[ServerParts, Depends(_parts)]
Animations = Annotated[AnimationService, Depends(_animations)]
Catalogue = Annotated[AvatarCatalogue, Depends(_catalogue)]
Cache = Annotated[AnimationCache, Depends(_cache)]
Fonts = Annotated[CaptionFonts, Depends(_fonts)]
Creator = Annotated[Creation, Depends(_creation)]
Recorder = Annotated[DebugRecorder, Depends(_recorder)]
Metrics = Annotated[ServiceMetrics, Depends(_metrics)]
Tts = Annotated[TTSService, Depends(_tts)]
KnownSettings = Annotated[Settings, Depends(_settings)]
State = Annotated[Readiness, Depends(_readiness)]
Problems = Annotated[ProblemMap, Depends(_problems)]


def content_type(expected: str) -> params.Depends:
    """A dependency that refuses a body of another type."""

    def check(request: Request) -> None:
        found = request.headers.get("content-type", "").split(";")[0].strip().lower()
        if found != expected:
            raise HTTPException(415, f"the body's content type is {found or 'not given'!r}; expected {expected}")

    return params.Depends(check)
