"""Say a text or an upload: an animation that is sent while it is generated, or the speech alone.

request -> AnimationService.start -> encoded pieces -> response
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from recipe.files import sha256
from services.http import openapi, schemas
from services.http.context import AnimationContext, Context, answer_headers
from services.http.dependencies import Animations, content_type
from services.http.recordings import Recording, recording
from services.http.streams import CLIENT_CLOSED_REQUEST, pumped, pumped_whole
from services.streaming import mjpeg
from services.streaming.animation_cache import animation_key
from services.streaming.idle import identity
from services.streaming.provenance import Asked
from services.streaming.wav import spoken_wav, wav_seconds
from services.types import AudioChunk
from services.utterance import Begin, SpokenText, UploadedSound

router = APIRouter(tags=["animation"])

_CACHE_HEADER: Final = "X-Cache"


@router.get("/generate", responses=openapi.ANIMATION, response_class=Response)
async def generate(query: Annotated[schemas.GenerateQuery, Query()], context: Context) -> Response:
    """Say a text: frames and sound, sent while they are generated."""
    asked = query if query.avatar is not None else query.model_copy(update={"avatar": query.character})
    return await _say(asked, query, context)


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
    recording: Annotated[Recording, Depends(recording)],
    delivery: Annotated[schemas.Delivery, Query()],
    context: Context,
    avatar: Annotated[schemas.AvatarName, Form()] = None,
    start_frame: Annotated[schemas.StartFrame, Form()] = 0,
    direction: Annotated[schemas.Direction, Form()] = 1,
) -> Response:
    """Say an uploaded recording: WAV, MP3, FLAC, OGG, M4A, or the sound of a video."""
    begin = context.begin(avatar, start_frame, direction)
    media_type = (
        mjpeg.MEDIA_TYPE if recording.wants_pictures(context.request, delivery) else context.media_type(delivery)
    )
    return await context.streamed(UploadedSound(recording.file.file), begin, media_type, delivery)


@router.get("/get-tts-audio", responses=openapi.SPEECH, response_class=Response)
async def get_tts_audio(
    request: Request,
    animations: Animations,
    text: Annotated[schemas.Text, Query()],
    voice: Annotated[schemas.VoiceName, Query()] = None,
    speed: Annotated[schemas.Speed, Query()] = 1.0,
) -> Response:
    """The speech alone, as WAV; a client that goes before it is whole stops the engine."""

    def encode(chunks: Generator[AudioChunk, None, None]) -> Generator[bytes, None, None]:
        return animations.finished_file(spoken_wav(chunks), "audio/wav", "speech.wav")

    pump = await run_in_threadpool(animations.speech, SpokenText(text, voice, speed), encode)
    wav = await pumped_whole(request, pump)
    if wav is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    headers = {
        "Content-Disposition": 'inline; filename="speech.wav"',
        "Cache-Control": "no-store",
        "X-Audio-Duration": f"{wav_seconds(wav):.3f}",
    }
    return Response(wav, headers=headers, media_type="audio/wav")


async def _say(asked: schemas.GenerateRequest, delivery: schemas.Delivery, context: AnimationContext) -> Response:
    media_type = context.media_type(delivery)
    said = SpokenText(asked.text, asked.voice, asked.speed)
    begin = context.begin(asked.avatar, asked.start_frame, asked.direction)
    if not asked.cache or media_type == mjpeg.MEDIA_TYPE:  # which is sent by the clock, not from a file
        return await context.streamed(said, begin, media_type, delivery)
    if delivery.captions:
        await run_in_threadpool(context.check_captions, said, media_type)
    speaker = await run_in_threadpool(context.animations.speaker, asked.voice)
    signed = context.is_signed(media_type, delivery)
    kind = "; ".join([media_type, *["signed"] * signed, *["captions"] * delivery.captions])
    if delivery.aspect != "original":
        kind += f"; {delivery.aspect}"
    key = await run_in_threadpool(_key, context, said, begin, kind, speaker)
    utterance = f"u-{key[:16]}"
    headers = answer_headers(utterance, media_type, delivery.download)
    path = await run_in_threadpool(context.cache.find, key)
    if path is not None:
        asked_again = Asked(utterance, context.who, begin.avatar, "text")
        asked_again.heard.update(said.text.encode(errors="surrogatepass"))
        await run_in_threadpool(_note, context, asked_again, path)
        return FileResponse(path, media_type=media_type, headers={**headers, _CACHE_HEADER: "hit"})

    def still_right() -> bool:
        return context.animations.speaker(asked.voice) == speaker  # no other voice had to take over

    signed_name = f"{utterance}.mp4" if signed else ""
    encode = context.encoder(
        media_type,
        signed_name,
        lambda pieces: context.cache.keep(key, pieces, still_right),
        delivery.captions,
        delivery.aspect,
    )
    pump = await context.started(utterance, said, begin, encode)
    return await pumped(context.request, pump, media_type, {**headers, _CACHE_HEADER: "miss"})


def _note(context: AnimationContext, asked: Asked, path: Path) -> None:
    """That what was kept is sent again."""
    context.animations.provenance.write(asked, sha256(path), path.stat().st_size, "whole")


def _key(context: AnimationContext, said: SpokenText, begin: Begin, media_type: str, speaker: tuple[str, str]) -> str:
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
