"""The avatars of this server: which there are, what they look like, and what they do while nobody speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from recipe.aspect import windows
from recipe.avatar_format import POSTER_FILE
from recipe.recipe_328 import FPS
from services.avatars.avatar import AvatarEntry
from services.http import health_schemas, openapi, schemas
from services.http.dependencies import Animations, Catalogue, KnownSettings
from services.http.streams import pumped
from services.streaming.idle import identity
from services.streaming.jpeg import narrowed
from services.streaming.ndjson import MEDIA_TYPE, idle_frame, idle_header, line

router = APIRouter(tags=["avatars"])

Avatar = Annotated[schemas.AvatarName, Query()]

_CACHE_CONTROL: Final = "private, no-cache"  # keep it, and ask whether it is still right


@router.get("/avatars", responses=openapi.PLAIN)
def avatars(catalogue: Catalogue, settings: KnownSettings) -> schemas.AvatarList:
    """The avatars of this server, broken ones with the reason."""
    default, public = settings.models.default_avatar, settings.public
    return schemas.AvatarList(avatars=[_info(entry, default, public) for entry in catalogue.refresh()])


@router.get("/generate-from-audio", include_in_schema=False)  # SyncTalk_2D's page shows it until there is a sound
@router.get("/avatar", responses=openapi.POSTER, response_class=Response)
def avatar(
    request: Request,
    animations: Animations,
    catalogue: Catalogue,
    settings: KnownSettings,
    avatar: Avatar = None,
    width: Annotated[int | None, Query(ge=16, le=4096, description="px at most; as large as it is by default")] = None,
) -> Response:
    """A still picture; the avatar is not loaded for it."""
    name = settings.models.default_avatar if avatar is None else avatar
    manifest = catalogue.manifest(name)
    animations.check_may_show(name, manifest.may_serve_publicly)
    headers = _headers(manifest.files[POSTER_FILE][:32] + (f"-{width}" if width else ""))
    if _is_known(request, headers):
        return Response(status_code=304, headers=headers)
    jpeg = (settings.models.avatars_dir / name / POSTER_FILE).read_bytes()
    if width:
        jpeg = narrowed(jpeg, width, settings.server.jpeg_quality)
    return Response(jpeg, headers=headers, media_type="image/jpeg")


@router.get("/avatar/frames", responses=openapi.IDLE, response_class=Response)
async def avatar_frames(
    request: Request,
    animations: Animations,
    settings: KnownSettings,
    avatar: Avatar = None,
    first: Annotated[int, Query(ge=0, le=schemas.MOST_FRAMES, description="template frame to begin at")] = 0,
    count: Annotated[int, Query(ge=1, le=250, description="how many")] = 25,
    transparent: Annotated[bool, Query(description="WebP without what is behind the person")] = False,
) -> Response:
    """Idle pictures: template frames with the mouth closed."""
    model = await run_in_threadpool(animations.open, settings.models.default_avatar if avatar is None else avatar)
    indices = animations.idle_range(model, first, count)
    named = f"{identity(model)} {indices.start} {indices.stop} {settings.server.jpeg_quality} {transparent}"
    headers = _headers(hashlib.sha256(named.encode()).hexdigest()[:32])
    if _is_known(request, headers):
        return Response(status_code=304, headers=headers)
    manifest, (low, high) = model.avatar.manifest, animations.turning_frames(model)

    def lines(frames: Generator[tuple[int, bytes], None, None]) -> Generator[bytes, None, None]:
        sizes = (manifest.width, manifest.height, manifest.frames, low, high)
        yield line(idle_header(manifest.name, "image/webp" if transparent else "image/jpeg", *sizes))
        for index, picture in frames:
            yield line(idle_frame(index, picture))
        yield line({"type": "end"})

    return await pumped(request, animations.idle_stream(model, lines, indices, transparent), MEDIA_TYPE, headers)


def avatar_health(entry: AvatarEntry, public: bool) -> health_schemas.AvatarHealth:
    """Whether an avatar can be used here.

    Args:
        entry: as the catalogue knows it.
        public: whether others than this machine can reach the server.
    """
    if entry.manifest is None:
        return health_schemas.AvatarHealth(name=entry.name, status="broken", problem=entry.problem)
    if public and not entry.manifest.may_serve_publicly:
        problem = "it shows a person without a consent record"
        return health_schemas.AvatarHealth(name=entry.name, status="refused", problem=problem)
    return health_schemas.AvatarHealth(name=entry.name, status="ok")


def _info(entry: AvatarEntry, default_avatar: str, public: bool) -> schemas.AvatarInfo:
    health = avatar_health(entry, public)
    known = schemas.AvatarInfo(
        name=entry.name, status=health.status, problem=health.problem, default=entry.name == default_avatar
    )
    manifest = entry.manifest
    if manifest is None or entry.face is None:
        return known
    return known.model_copy(
        update={
            "kind": manifest.kind,
            "width": manifest.width,
            "height": manifest.height,
            "crops": windows(manifest.width, manifest.height, entry.face),
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


def _headers(tag: str) -> dict[str, str]:
    return {"ETag": f'"{tag}"', "Cache-Control": _CACHE_CONTROL}


def _is_known(request: Request, headers: dict[str, str]) -> bool:
    return headers["ETag"] in request.headers.get("if-none-match", "")
