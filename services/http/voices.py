"""The voices of this server."""

from __future__ import annotations

from fastapi import APIRouter

from services.http import openapi, schemas
from services.http.dependencies import Tts

router = APIRouter(tags=["avatars"])


@router.get("/voices", responses=openapi.PLAIN)
def voices(tts: Tts) -> schemas.VoiceList:
    """The voices of this server, the default one first."""
    found = [
        schemas.VoiceInfo(name=voice.name, engine=voice.engine, language=voice.language, label=voice.label)
        for voice in tts.voices()
    ]
    return schemas.VoiceList(voices=found, default=tts.status().default_voice)
