"""The two endpoints that stream an utterance, once their request is understood."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Annotated, BinaryIO, Final

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from services.animation_service import Animation, Place, new_utterance
from services.http.dependencies import Animations, Cache, KnownFacts, Problems
from services.http.negotiation import preferred
from services.http.schemas import Delivery, GenerateRequest
from services.http.streams import FORMATS, disposition, encoder, ended_by_problem, pumped
from services.streaming import ndjson
from services.streaming.animation_cache import animation_key
from services.streaming.events import Event
from services.streaming.idle import identity
from services.streaming.pump import Pump

Pieces = Generator[bytes, None, None]

_UTTERANCE_HEADER: Final = "X-Utterance-Id"
_CACHE_HEADER: Final = "X-Cache"


@dataclass(frozen=True, slots=True)
class Stage:
    """What both endpoints work with."""

    animations: Animations
    cache: Cache
    facts: KnownFacts
    problems: Problems

    def named(self, avatar: str | None) -> str:
        """The avatar that is meant."""
        return self.facts.default_avatar if avatar is None else avatar


def _stage(animations: Animations, cache: Cache, facts: KnownFacts, problems: Problems) -> Stage:
    return Stage(animations, cache, facts, problems)


OnStage = Annotated[Stage, Depends(_stage)]


async def say_text(request: Request, wish: GenerateRequest, delivery: Delivery, stage: Stage) -> Response:
    """Answer with a spoken text."""
    media_type = _media_type(request, delivery)
    place = Place(stage.named(wish.avatar), wish.start_frame, wish.direction)
    speaker = await run_in_threadpool(stage.animations.speaker, wish.voice)
    key = await run_in_threadpool(_key, stage, wish, place, media_type, speaker) if wish.cache else None
    utterance = f"u-{key[:16]}" if key else new_utterance()
    headers = _headers(utterance, media_type, delivery)
    if key:
        path = await run_in_threadpool(stage.cache.find, key)
        if path is not None:
            return FileResponse(path, media_type=media_type, headers={**headers, _CACHE_HEADER: "hit"})
        headers[_CACHE_HEADER] = "miss"

    def begin() -> Pump[bytes]:
        animation = stage.animations.say(utterance, wish.text, wish.voice, wish.speed, place)
        kept = (lambda pieces: stage.cache.keep(key, pieces, still_right)) if key else _passed_on
        return _start(request, stage, animation, media_type, kept)

    def still_right() -> bool:
        return stage.animations.speaker(wish.voice) == speaker  # no other voice had to take over

    return await pumped(request, await run_in_threadpool(begin), media_type, headers)


async def say_upload(request: Request, file: BinaryIO, place: Place, delivery: Delivery, stage: Stage) -> Response:
    """Answer with a spoken recording."""
    media_type = _media_type(request, delivery)
    utterance = new_utterance()
    pump = _start(request, stage, stage.animations.say_upload(utterance, file, place), media_type, _passed_on)
    return await pumped(request, pump, media_type, _headers(utterance, media_type, delivery))


def _start(
    request: Request, stage: Stage, animation: Animation, media_type: str, kept: Callable[[Pieces], Pieces]
) -> Pump[bytes]:
    encode = encoder(media_type, stage.facts.jpeg_quality)

    def pieces(events: Generator[Event, None, None]) -> Pieces:
        coded = kept(encode(events))
        if media_type != ndjson.MEDIA_TYPE:
            return coded
        return ended_by_problem(coded, lambda error: stage.problems.of(error, request.url.path))

    return stage.animations.stream(animation, pieces)


def _passed_on(pieces: Pieces) -> Pieces:
    return pieces


def _key(stage: Stage, wish: GenerateRequest, place: Place, media_type: str, speaker: tuple[str, str]) -> str:
    """Of everything the answer depends on."""
    model = stage.animations.open(place.avatar)
    voice, engine = speaker
    return animation_key(
        avatar=identity(model),
        text=wish.text,
        voice=voice,
        engine=engine,
        speed=wish.speed,
        start_frame=place.start_frame,
        direction=place.direction,
        media_type=media_type,
        jpeg_quality=stage.facts.jpeg_quality,
        version=stage.facts.version,
    )


def _media_type(request: Request, delivery: Delivery) -> str:
    if delivery.format is not None:
        return FORMATS[delivery.format]
    return preferred(request.headers.get("accept"), tuple(FORMATS.values()))


def _headers(utterance: str, media_type: str, delivery: Delivery) -> dict[str, str]:
    return {
        _UTTERANCE_HEADER: utterance,
        "Cache-Control": "no-store",
        "Vary": "Accept",
        **disposition(utterance, media_type, delivery.download),
    }
