"""A photo speaks: in one call that keeps nothing, or by a token under which it is kept for a while."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from services.avatars.photo_studio import PhotoWish
from services.avatars.preloaded import Preloaded
from services.http import openapi, schemas
from services.http.context import Context
from services.http.dependencies import Animations, KnownSettings, content_type
from services.http.streams import CLIENT_CLOSED_REQUEST, pumped_whole
from services.utterance import SpokenText, UploadedSound

router = APIRouter(tags=["photos"])

CONSENT_HEADER: Final = "X-Avatar-Consent"
Picture = Annotated[UploadFile | None, Form(description="JPEG, PNG, WebP, AVIF or HEIC of one person")]
Film = Annotated[UploadFile | None, Form(description="a short video instead, whose best frame is taken")]


@router.post(
    "/animate",
    responses=openapi.ANIMATED_PHOTO,
    response_class=Response,
    dependencies=[content_type("multipart/form-data")],
)
async def animate(
    query: Annotated[schemas.AnimateQuery, Query()],
    context: Context,
    image: Picture = None,
    video: Film = None,
    avatar_token: Annotated[schemas.Token | None, Form()] = None,
    audio: Annotated[UploadFile | None, Form(description="a recording that is said as it is")] = None,
    text: Annotated[schemas.Text | None, Form()] = None,
    voice: Annotated[schemas.VoiceName, Form()] = None,
    speed: Annotated[schemas.Speed, Form()] = 1.0,
    consent: Annotated[schemas.Consent, Form()] = "",
    synthetic: Annotated[schemas.Synthetic, Form()] = False,
    restore: Annotated[schemas.Restore, Form()] = "auto",
    start_frame: Annotated[schemas.StartFrame, Form()] = 0,
    direction: Annotated[schemas.Direction, Form()] = 1,
) -> Response:
    """A photo says a text or a recording; nothing of it is kept.

    Send one of `image`, `video` and `avatar_token`, and one of `text` and `audio`.
    """
    media_type = context.media_type(query)
    who = _the_one({"image": image, "video": video, "avatar_token": avatar_token or query.avatar_token})
    said = _the_one({"text": text, "audio": audio})
    if isinstance(who, str):
        kept = context.animations.photos.kept.find(who)
        begin, state = context.animations.photos.again(kept), kept.model.avatar.consent
    else:
        wish = PhotoWish(consent, synthetic, restore)
        begin, state = context.animations.photos.once(who.file, wish), wish.state
    begin = replace(begin, start_frame=start_frame, direction=direction)
    source = SpokenText(said, voice, speed) if isinstance(said, str) else UploadedSound(said.file)
    return await context.streamed(source, begin, media_type, query, {CONSENT_HEADER: state})


@router.post(
    "/preload",
    responses=openapi.PRELOAD,
    response_model=schemas.PreloadedPhoto,
    dependencies=[content_type("multipart/form-data")],
)
async def preload(
    request: Request,
    animations: Animations,
    image: Picture = None,
    video: Film = None,
    consent: Annotated[schemas.Consent, Form()] = "",
    synthetic: Annotated[schemas.Synthetic, Form()] = False,
    restore: Annotated[schemas.Restore, Form()] = "auto",
) -> Response | schemas.PreloadedPhoto:
    """Keep the avatar of a photo in memory for a while, so that it speaks at once; it is listed nowhere.

    Send one of `image` and `video`.
    """
    photo = _the_one({"image": image, "video": video})
    assert not isinstance(photo, str)
    wish = PhotoWish(consent, synthetic, restore)
    pump = await run_in_threadpool(animations.photos.preload, photo.file, wish)
    token = await pumped_whole(request, pump)
    if token is None:
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    return _described(animations.photos.kept.find(token.decode()))


@router.delete("/preload/{token}", status_code=204, responses=openapi.TOKEN)
async def drop(token: schemas.Token, animations: Animations) -> None:
    """Forget an avatar; streams in which it speaks go on to their end."""
    animations.photos.kept.drop(token)


@router.post("/preload/clear", responses=openapi.PLAIN)
async def clear(animations: Animations, settings: KnownSettings) -> schemas.Cleared:
    """Forget all avatars that are kept under tokens; for operators, so not on a server that others can reach."""
    if settings.public:
        raise HTTPException(403, "this server can be reached by others: what is kept goes when it is started anew")
    return schemas.Cleared(dropped=animations.photos.kept.clear())


def _described(kept: Preloaded) -> schemas.PreloadedPhoto:
    manifest = kept.model.avatar.manifest
    return schemas.PreloadedPhoto(
        token=kept.token,
        expires_at=datetime.fromtimestamp(kept.expires_at, UTC),
        bytes=kept.model.memory_bytes,
        width=manifest.width,
        height=manifest.height,
        consent=kept.model.avatar.consent,
        warnings=str(manifest.metrics.get("warnings", "")),
    )


def _the_one(fields: Mapping[str, UploadFile | str | None]) -> UploadFile | str:
    """The only one of them that was sent."""
    sent = [value for value in fields.values() if value is not None]
    if len(sent) == 1:
        return sent[0]
    message = f"send one of {', '.join(fields)}; {len(sent)} of them came"
    raise RequestValidationError([{"type": "value_error", "loc": ("body", name), "msg": message} for name in fields])
