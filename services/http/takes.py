"""A take as a file: what a client kept of an animation is coded as MP4, and nothing is generated again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, UploadFile
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from recipe.consent import ConsentState
from recipe.errors import UserError
from services.avatars.catalogue import AvatarCatalogue
from services.http import openapi, schemas
from services.http.context import Context, answer_headers
from services.http.dependencies import Catalogue, content_type
from services.http.streams import pumped
from services.streaming.burned import burned
from services.streaming.cropped import cropped
from services.streaming.events import Header
from services.streaming.mp4 import MEDIA_TYPE, encode_fragmented_mp4
from services.streaming.sent_take import SentTake, events_of
from services.utterance import new_utterance

router = APIRouter(tags=["animation"])


@router.post(
    "/takes/mp4",
    responses=openapi.MOVIE,
    response_class=Response,
    dependencies=[content_type("multipart/form-data")],
)
async def take_as_mp4(
    context: Context,
    catalogue: Catalogue,
    take: Annotated[str, Form(description="JSON: the schema Take", examples=['{"avatar":"demo","sizes":[40000]}'])],
    pictures: Annotated[UploadFile, Form(description="the JPEGs, one after the other")],
    sound: Annotated[UploadFile, Form(description="PCM s16le, mono")],
) -> Response:
    """Code what was streamed before: its pictures and its sound, as MP4."""
    facts = _facts(take)
    consent = await run_in_threadpool(_consent, catalogue, facts.avatar)
    utterance = new_utterance()
    header = Header(utterance, facts.avatar, facts.width, facts.height, facts.sample_rate, 0, 1, consent=consent)
    said = {caption.at: caption.text for caption in facts.captions}
    events = events_of(SentTake(header, facts.sizes, pictures.file, sound.file, said))
    part = facts.crop
    if part is not None:
        events = cropped(events, lambda _: part)
    if said:
        await run_in_threadpool(context.fonts.check, "".join(said.values()))
        events = burned(events, context.fonts)
    coded = context.animations.finished_file(encode_fragmented_mp4(events), MEDIA_TYPE, f"{facts.avatar}.mp4")
    pump = await run_in_threadpool(context.animations.recode, coded)
    return await pumped(context.request, pump, MEDIA_TYPE, answer_headers(utterance, MEDIA_TYPE, download=True))


def _facts(take: str) -> schemas.Take:
    try:
        return schemas.Take.model_validate_json(take)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise RequestValidationError(
            [{**item, "type": "value_error", "loc": ("take", *item["loc"])} for item in found]
        ) from error


def _consent(catalogue: AvatarCatalogue, name: str) -> ConsentState:
    """As this server knows it, whatever the client says; of an avatar that is gone, nothing is known."""
    try:
        manifest = catalogue.manifest(name)
    except UserError:
        return "none"
    if manifest.synthetic:
        return "synthetic"
    return "recorded" if manifest.consent else "none"
