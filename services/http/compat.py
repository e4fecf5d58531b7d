"""What clients of other systems send, taken as they send it; each is switched on by a setting.

OPEA: the animation engine (`/v1/wav2lip`) and its gateway (`/v1/animation`): base64 of a sound in, a path out.
Form: `POST /generate` with a picture and a sound in a form, as portrait systems take it.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
from collections.abc import Callable, Generator
from typing import Annotated, Final, TypeVar

from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.routing import Match
from starlette.types import Scope

from services.avatars.photo_studio import PhotoWish
from services.http import health_schemas, schemas
from services.http.context import AnimationContext, Context
from services.http.photos import CONSENT_HEADER
from services.http.streams import CLIENT_CLOSED_REQUEST, FORMATS, pumped_whole
from services.streaming.events import Event
from services.streaming.mp4 import MEDIA_TYPE, encode_fragmented_mp4
from services.streaming.results import ResultFolder
from services.utterance import UploadedSound, new_utterance

OPEA_UPLOADS: Final = ("/v1/wav2lip", "/v1/animation")
FORM_UPLOAD: Final = "/generate"


class Wav2Lip(BaseModel):
    """What the engine is sent."""

    audio: str


class Animation(BaseModel):
    """What the gateway is sent."""

    byte_str: str


Body = TypeVar("Body", bound=BaseModel)


def opea_router(results: ResultFolder) -> APIRouter:
    """OPEA's animation services; the default avatar speaks.

    Args:
        results: the folder that clients see too.
    """
    router = APIRouter(include_in_schema=False)

    async def written(context: AnimationContext, sound: str) -> Response | str:
        utterance, wav = new_utterance(), await run_in_threadpool(_decoded, sound)

        def encode(events: Generator[Event, None, None]) -> Generator[bytes, None, None]:
            coded = context.animations.finished_file(encode_fragmented_mp4(events), MEDIA_TYPE, f"{utterance}.mp4")
            return results.written(utterance, coded)

        begin = context.begin(None, 0, 1)
        pump = await run_in_threadpool(context.animations.start, utterance, UploadedSound(wav), begin, encode)
        path = await pumped_whole(context.request, pump)
        return Response(status_code=CLIENT_CLOSED_REQUEST) if path is None else os.fsdecode(path)

    @router.get("/v1/health")
    async def health() -> health_schemas.Alive:
        return health_schemas.Alive(status="alive")

    @router.post("/v1/wav2lip")
    async def wav2lip(context: Context, body: Annotated[Wav2Lip, Depends(_body(Wav2Lip))]) -> Response:
        path = await written(context, body.audio)
        return path if isinstance(path, Response) else JSONResponse({"wav2lip_result": path})

    @router.post("/v1/animation")
    async def animation(context: Context, body: Annotated[Animation, Depends(_body(Animation))]) -> Response:
        path = await written(context, body.byte_str)
        return path if isinstance(path, Response) else JSONResponse({"video_path": path, "wav2lip_result": path})

    return router


def _body(kind: type[Body]) -> Callable[[Request], object]:
    """JSON, whatever its content type: OPEA's gateway calls it text/plain."""

    async def read(request: Request) -> Body:
        try:
            return kind.model_validate_json(await request.body())
        except ValidationError as error:
            raise RequestValidationError(error.errors(include_url=False, include_context=False)) from error

    return read


def _decoded(text: str) -> io.BytesIO:
    try:
        return io.BytesIO(base64.b64decode(text, validate=True))
    except binascii.Error as error:
        message = f"this is not base64 ({error}); send the bytes of a sound file in base64"
        raise RequestValidationError([{"type": "value_error", "loc": ("body", "audio"), "msg": message}]) from error


class _FormRoute(APIRoute):
    """Takes forms and leaves the rest to the next route of the same address."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        sent = Headers(scope=scope).get("content-type", "") if scope["type"] == "http" else ""
        return super().matches(scope) if sent.lower().startswith("multipart/form-data") else (Match.NONE, {})


def form_router() -> APIRouter:
    """`POST /generate` with a photo and a sound; to be included before the route that takes JSON."""
    router = APIRouter(include_in_schema=False, route_class=_FormRoute)

    @router.post(FORM_UPLOAD, response_class=Response)
    async def generate(
        image: UploadFile,
        audio: UploadFile,
        delivery: Annotated[schemas.Delivery, Query()],
        context: Context,
        consent: Annotated[schemas.Consent, Form()] = "",
        synthetic: Annotated[schemas.Synthetic, Form()] = False,
    ) -> Response:
        wish = PhotoWish(consent, synthetic)
        begin = context.animations.photos.once(image.file, wish)
        sound, media_type = UploadedSound(audio.file), FORMATS[delivery.format or "mp4"]
        return await context.streamed(sound, begin, media_type, delivery, {CONSENT_HEADER: wish.state})

    return router
