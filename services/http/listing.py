"""What the server tells about itself: avatars, voices, health."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from recipe.recipe_328 import FPS
from services.avatars.avatar import AvatarEntry
from services.http.schemas import (
    AvatarHealth,
    AvatarInfo,
    Health,
    LimitHealth,
    ModelHealth,
    SessionHealth,
    SpeechHealth,
    VoiceInfo,
    VoiceList,
)
from services.types import TTSService


@dataclass(slots=True)
class Readiness:
    """What has become of the warm-up; written once by it, read by everybody."""

    started_at: float = field(default_factory=time.monotonic)
    warm: bool = False
    provider: str | None = None
    problem: str | None = None  # why there is nothing that could get warm

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started_at


def avatar_info(entry: AvatarEntry, default_avatar: str, public: bool) -> AvatarInfo:
    """An avatar for /avatars.

    Args:
        entry: as the catalogue knows it.
        default_avatar: name of the one that speaks by default.
        public: whether others than this machine can reach the server.
    """
    health = avatar_health(entry, public)
    facts = AvatarInfo(
        name=entry.name, status=health.status, problem=health.problem, default=entry.name == default_avatar
    )
    manifest = entry.manifest
    if manifest is None:
        return facts
    return facts.model_copy(
        update={
            "width": manifest.width,
            "height": manifest.height,
            "frames": manifest.frames,
            "fps": FPS,
            "synthetic": manifest.synthetic,
            "consent": manifest.consent is not None,
            "licence": manifest.licence,
            "created": manifest.created,
            "metrics": manifest.metrics,
            "poster": f"/avatar?avatar={entry.name}" if health.status == "ok" else None,
        }
    )


def avatar_health(entry: AvatarEntry, public: bool) -> AvatarHealth:
    """Whether an avatar can be used here."""
    if entry.manifest is None:
        return AvatarHealth(name=entry.name, status="broken", problem=entry.problem)
    if public and not entry.manifest.may_serve_publicly:
        return AvatarHealth(name=entry.name, status="refused", problem="it shows a person without a consent record")
    return AvatarHealth(name=entry.name, status="ok")


def voice_list(tts: TTSService) -> VoiceList:
    """The voices for /voices."""
    voices = [
        VoiceInfo(name=voice.name, engine=voice.engine, language=voice.language, label=voice.label)
        for voice in tts.voices()
    ]
    return VoiceList(voices=voices, default=tts.status().default_voice)


def health(
    readiness: Readiness,
    entries: list[AvatarEntry],
    tts: TTSService,
    sessions: SessionHealth,
    limits: LimitHealth,
    models: ModelHealth,
    version: str,
    public: bool,
) -> Health:
    """The state of the server for /health."""
    speech = tts.status()
    reasons = [readiness.problem] if readiness.problem else []
    return Health(
        status="degraded" if reasons else "ok" if readiness.warm else "starting",
        version=version,
        uptime_s=round(readiness.uptime_s, 1),
        reasons=reasons,
        models=models,
        avatars=[avatar_health(entry, public) for entry in entries],
        speech=SpeechHealth(
            engine=speech.engine,
            default_voice=speech.default_voice,
            fallback_reason=speech.fallback_reason,
            degraded=speech.degraded,
        ),
        sessions=sessions,
        limits=limits,
    )
