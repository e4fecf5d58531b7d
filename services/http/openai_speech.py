"""`POST /v1/audio/speech` as OpenAI's clients send it: our voices for whoever speaks that protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.http import schemas
from services.http.dependencies import Animations, Tts
from services.http.streams import pumped
from services.streaming.speech_file import MEDIA_TYPES, encoder
from services.utterance import SpokenText

router = APIRouter(include_in_schema=False)  # another API, described by those who made it


class SpeechRequest(BaseModel):
    """A text to be spoken; fields that are not known are ignored, since clients send ever more of them."""

    model_config = ConfigDict(extra="ignore")

    input: schemas.Text
    model: Annotated[str, Field(description="any; the voice decides")] = "tts-1"
    voice: Annotated[
        str | dict[str, str],
        Field(description="one of /voices; any other, like OpenAI's own, is the default one", examples=["alloy"]),
    ] = "alloy"
    response_format: Annotated[
        Literal["mp3", "opus", "aac", "flac", "wav", "pcm"],
        Field(description="pcm: 24 kHz, 16 bits, mono, without a header"),
    ] = "mp3"
    speed: Annotated[float, Field(ge=0.25, le=4, description="held to 0.5 to 2, which voices can do")] = 1.0


@router.post("/v1/audio/speech")
async def speech(request: Request, animations: Animations, tts: Tts, asked: SpeechRequest) -> Response:
    """The speech alone, sent while it is spoken."""
    known = {voice.name for voice in await run_in_threadpool(tts.voices)}
    voice = asked.voice if isinstance(asked.voice, str) and asked.voice in known else None
    said = SpokenText(asked.input, voice, min(max(asked.speed, 0.5), 2.0))
    pump = await run_in_threadpool(animations.speech, said, encoder(asked.response_format))
    headers = {"Cache-Control": "no-store", "X-AI-Generated": "true"}
    return await pumped(request, pump, MEDIA_TYPES[asked.response_format], headers)
