"""The routes: what is asked for, by whom it is answered, and what OpenAPI says of it. No work is done here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from services.animation_service import Place
from services.http import openapi, schemas
from services.http.debug import change_debug, debug_state
from services.http.dependencies import (
    Animations,
    Catalogue,
    KnownFacts,
    Metrics,
    Parts,
    Recorder,
    State,
    Tts,
    content_type,
)
from services.http.generate import OnStage, say_text, say_upload
from services.http.idle import idle_frames
from services.http.listing import avatar_info, health, voice_list
from services.http.small import exposition, poster, spoken_wav

router = APIRouter()

Avatar = Annotated[schemas.AvatarName, Query()]


@router.get("/generate", responses=openapi.ANIMATION, response_class=Response, tags=["animation"])
async def generate(request: Request, wish: Annotated[schemas.GenerateQuery, Query()], stage: OnStage) -> Response:
    """Say a text: frames and sound, sent while they are generated."""
    return await say_text(request, wish, wish, stage)


@router.post(
    "/generate",
    responses=openapi.ANIMATION,
    response_class=Response,
    tags=["animation"],
    dependencies=[content_type("application/json")],
)
async def generate_from_json(
    request: Request,
    wish: schemas.GenerateRequest,
    delivery: Annotated[schemas.Delivery, Query()],
    stage: OnStage,
) -> Response:
    """Say a text that is too long, or too private, for an address."""
    return await say_text(request, wish, delivery, stage)


@router.post(
    "/generate-from-audio",
    responses=openapi.ANIMATION,
    response_class=Response,
    tags=["animation"],
    dependencies=[content_type("multipart/form-data")],
)
async def generate_from_audio(
    request: Request,
    file: UploadFile,
    delivery: Annotated[schemas.Delivery, Query()],
    stage: OnStage,
    avatar: Annotated[schemas.AvatarName, Form()] = None,
    start_frame: Annotated[schemas.StartFrame, Form()] = 0,
    direction: Annotated[schemas.Direction, Form()] = 1,
) -> Response:
    """Say an uploaded recording: WAV, MP3, FLAC, OGG, M4A, or the sound of a video."""
    place = Place(stage.named(avatar), start_frame, direction)
    return await say_upload(request, file.file, place, delivery, stage)


@router.get("/get-tts-audio", responses=openapi.SPEECH, response_class=Response, tags=["animation"])
async def get_tts_audio(
    request: Request,
    animations: Animations,
    text: Annotated[schemas.Text, Query()],
    voice: Annotated[schemas.VoiceName, Query()] = None,
    speed: Annotated[schemas.Speed, Query()] = 1.0,
) -> Response:
    """The speech alone, as WAV."""
    return await spoken_wav(request, animations, text, voice, speed)


@router.get("/avatars", responses=openapi.PLAIN, tags=["avatars"])
def avatars(catalogue: Catalogue, facts: KnownFacts) -> schemas.AvatarList:
    """The avatars of this server, broken ones with the reason."""
    entries = catalogue.refresh()
    return schemas.AvatarList(avatars=[avatar_info(entry, facts.default_avatar, facts.public) for entry in entries])


@router.get("/avatar", responses=openapi.POSTER, response_class=Response, tags=["avatars"])
def avatar(request: Request, animations: Animations, facts: KnownFacts, avatar: Avatar = None) -> Response:
    """A still picture."""
    return poster(request, animations, facts.default_avatar if avatar is None else avatar)


@router.get("/avatar/frames", responses=openapi.IDLE, response_class=Response, tags=["avatars"])
async def avatar_frames(
    request: Request,
    animations: Animations,
    facts: KnownFacts,
    avatar: Avatar = None,
    first: Annotated[int, Query(ge=0, le=schemas.MOST_FRAMES, description="template frame to begin at")] = 0,
    count: Annotated[int, Query(ge=1, le=250, description="how many")] = 25,
) -> Response:
    """Idle pictures: template frames with the mouth closed."""
    return await idle_frames(
        request, animations, facts.default_avatar if avatar is None else avatar, first, count, facts.jpeg_quality
    )


@router.get("/voices", responses=openapi.PLAIN, tags=["avatars"])
def voices(tts: Tts) -> schemas.VoiceList:
    """The voices of this server, the default one first."""
    return voice_list(tts)


@router.get("/livez", responses=openapi.PLAIN, tags=["operation"])
async def livez() -> schemas.Alive:
    """The process answers."""
    return schemas.Alive(status="alive")


@router.get("/readyz", responses=openapi.READY, tags=["operation"])
async def readyz(animations: Animations, state: State) -> schemas.Alive:
    """The default avatar is warm, and there is a free place."""
    if not state.warm:
        raise HTTPException(503, state.problem or "the default avatar is being loaded")
    if not animations.slots.free:
        raise HTTPException(503, "all places are taken")
    return schemas.Alive(status="ready")


@router.get("/health", responses=openapi.PLAIN, tags=["operation"], name="health")
def health_of_server(
    parts: Parts, animations: Animations, catalogue: Catalogue, tts: Tts, state: State, facts: KnownFacts
) -> schemas.Health:
    """What works and what does not."""
    sessions = schemas.SessionHealth(active=animations.slots.used, limit=animations.slots.count)
    limits = schemas.LimitHealth(
        text_characters=facts.text_characters, upload_mb=facts.upload_mb, upload_s=facts.upload_s
    )
    models = schemas.ModelHealth(device=facts.device, provider=state.provider, measured_ms=dict(parts.runtime_ms))
    return health(state, catalogue.known(), tts, sessions, limits, models, facts.version, facts.public)


@router.get("/metrics", responses=openapi.METRICS, response_class=Response, tags=["operation"])
def metrics(metrics: Metrics) -> Response:
    """Counters for Prometheus."""
    return exposition(metrics)


@router.get("/debug/status", responses=openapi.PLAIN, tags=["debug"])
def debug_status(recorder: Recorder) -> schemas.DebugStatus:
    """Whether generated frames and sound are saved."""
    return debug_state(recorder)


@router.post("/debug/config", responses=openapi.DEBUG, tags=["debug"], dependencies=[content_type("application/json")])
def debug_config(change: schemas.DebugConfig, recorder: Recorder, facts: KnownFacts) -> schemas.DebugStatus:
    """Switch debug mode on and off."""
    return change_debug(change, recorder, facts.public)
