"""Say a text or an upload: an animation that is sent while it is generated, or the speech alone.

request -> AnimationService.start -> encoded pieces -> response
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from services.animation_service import Begin, SpokenText, UploadedSound, new_utterance
from services.http import openapi, schemas
from services.http.dependencies import Animations, Cache, KnownSettings, Problems, content_type
from services.http.negotiation import preferred
from services.http.streams import (
    CLIENT_CLOSED_REQUEST,
    FORMATS,
    Encoder,
    disposition,
    encoder,
    ended_by_problem,
    pumped,
    pumped_whole,
)
from services.streaming import ndjson
from services.streaming.animation_cache import animation_key
from services.streaming.events import Event
from services.streaming.idle import identity

router = APIRouter(tags=["animation"])

Pieces = Generator[bytes, None, None]

_UTTERANCE_HEADER: Final = "X-Utterance-Id"
_CACHE_HEADER: Final = "X-Cache"


@dataclass(frozen=True, slots=True)
class _Context:
    """What the endpoints work with."""

    request: Request
    animations: Animations
    cache: Cache
    settings: KnownSettings
    problems: Problems

    def begin(self, avatar: str | None, start_frame: int, direction: int) -> Begin:
        chosen = self.settings.models.default_avatar if avatar is None else avatar
        return Begin(chosen, start_frame, direction)

    def media_type(self, delivery: schemas.Delivery) -> str:
        if delivery.format is not None:
            return FORMATS[delivery.format]
        return preferred(self.request.headers.get("accept"), tuple(FORMATS.values()))

    def encoder(self, media_type: str, kept: Callable[[Pieces], Pieces] | None = None) -> Encoder:
        """Events to bytes; an NDJSON stream that fails ends with a problem as its last line."""
        encode = encoder(media_type, self.settings.server.jpeg_quality)

        def pieces(events: Generator[Event, None, None]) -> Pieces:
            coded = encode(events) if kept is None else kept(encode(events))
            if media_type != ndjson.MEDIA_TYPE:
                return coded
            return ended_by_problem(coded, lambda error: self.problems.of(error, self.request.url.path))

        return pieces


def _context(
    request: Request, animations: Animations, cache: Cache, settings: KnownSettings, problems: Problems
) -> _Context:
    return _Context(request, animations, cache, settings, problems)


Context = Annotated[_Context, Depends(_context)]


@router.get("/generate", responses=openapi.ANIMATION, response_class=Response)
async def generate(query: Annotated[schemas.GenerateQuery, Query()], context: Context) -> Response:
    """Say a text: frames and sound, sent while they are generated."""
    return await _say(query, query, context)


@router.post(
    "/generate",
    responses=openapi.ANIMATION,
    response_class=Response,
    dependencies=[content_type("application/json")],
)
async def generate_from_json(
    body: schemas.GenerateRequest, delivery: Annotated[schemas.Delivery, Query()], context: Context
) -> Response:
    """Say a text that is too long, or too private, for an address."""
    return await _say(body, delivery, context)


@router.post(
    "/generate-from-audio",
    responses=openapi.ANIMATION,
    response_class=Response,
    dependencies=[content_type("multipart/form-data")],
)
async def generate_from_audio(
    file: UploadFile,
    delivery: Annotated[schemas.Delivery, Query()],
    context: Context,
    avatar: Annotated[schemas.AvatarName, Form()] = None,
    start_frame: Annotated[schemas.StartFrame, Form()] = 0,
    direction: Annotated[schemas.Direction, Form()] = 1,
) -> Response:
    """Say an uploaded recording: WAV, MP3, FLAC, OGG, M4A, or the sound of a video."""
    media_type, utterance = context.media_type(delivery), new_utterance()
    begin = context.begin(avatar, start_frame, direction)
    pump = context.animations.start(utterance, UploadedSound(file.file), begin, context.encoder(media_type))
    return await pumped(context.request, pump, media_type, _headers(utterance, media_type, delivery))


@router.get("/get-tts-audio", responses=openapi.SPEECH, response_class=Response)
async def get_tts_audio(
    request: Request,
    animations: Animations,
    text: Annotated[schemas.Text, Query()],
    voice: Annotated[schemas.VoiceName, Query()] = None,
    speed: Annotated[schemas.Speed, Query()] = 1.0,
) -> Response:
    """The speech alone, as WAV; a client that goes before it is whole stops the engine."""
    pump = await run_in_threadpool(animations.speech, SpokenText(text, voice, speed))
    wav = await pumped_whole(request, pump)
    if wav is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    headers = {"Content-Disposition": 'inline; filename="speech.wav"', "Cache-Control": "no-store"}
    return Response(wav, headers=headers, media_type="audio/wav")


async def _say(asked: schemas.GenerateRequest, delivery: schemas.Delivery, context: _Context) -> Response:
    media_type = context.media_type(delivery)
    said = SpokenText(asked.text, asked.voice, asked.speed)
    begin = context.begin(asked.avatar, asked.start_frame, asked.direction)
    if not asked.cache:
        utterance = new_utterance()
        encode = context.encoder(media_type)
        pump = await run_in_threadpool(context.animations.start, utterance, said, begin, encode)
        return await pumped(context.request, pump, media_type, _headers(utterance, media_type, delivery))
    speaker = await run_in_threadpool(context.animations.speaker, asked.voice)
    key = await run_in_threadpool(_key, context, said, begin, media_type, speaker)
    utterance = f"u-{key[:16]}"
    headers = _headers(utterance, media_type, delivery)
    path = await run_in_threadpool(context.cache.find, key)
    if path is not None:
        return FileResponse(path, media_type=media_type, headers={**headers, _CACHE_HEADER: "hit"})

    def still_right() -> bool:
        return context.animations.speaker(asked.voice) == speaker  # no other voice had to take over

    encode = context.encoder(media_type, lambda pieces: context.cache.keep(key, pieces, still_right))
    pump = await run_in_threadpool(context.animations.start, utterance, said, begin, encode)
    return await pumped(context.request, pump, media_type, {**headers, _CACHE_HEADER: "miss"})


def _key(context: _Context, said: SpokenText, begin: Begin, media_type: str, speaker: tuple[str, str]) -> str:
    """Of everything the answer depends on."""
    model = context.animations.open(begin.avatar)
    voice, engine = speaker
    return animation_key(
        avatar=identity(model),
        text=said.text,
        voice=voice,
        engine=engine,
        speed=said.speed,
        start_frame=begin.start_frame,
        direction=begin.direction,
        media_type=media_type,
        jpeg_quality=context.settings.server.jpeg_quality,
        version=context.request.app.version,
    )


def _headers(utterance: str, media_type: str, delivery: schemas.Delivery) -> dict[str, str]:
    return {
        _UTTERANCE_HEADER: utterance,
        "Cache-Control": "no-store",
        "Vary": "Accept",
        **disposition(utterance, media_type, delivery.download),
    }
