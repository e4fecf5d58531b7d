"""GET /avatar/frames: the avatar's idle pictures, which a page keeps and walks through while nobody speaks."""

from __future__ import annotations

import hashlib
from collections.abc import Generator
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from services.animation_service import AnimationService
from services.http.streams import pumped
from services.streaming.idle import identity
from services.streaming.ndjson import MEDIA_TYPE, idle_frame, idle_header, line
from services.types import AvatarModel

_CACHE_CONTROL: Final = "private, no-cache"  # keep it, and ask whether it is still right


async def idle_frames(
    request: Request, animations: AnimationService, avatar: str, first: int, count: int, jpeg_quality: int
) -> Response:
    """Answer with the template frames [first, first + count), mouth closed."""
    model = await run_in_threadpool(animations.open, avatar)
    indices = animations.idle_range(model, first, count)
    named = f"{identity(model)} {indices.start} {indices.stop} {jpeg_quality}"
    tag = f'"{hashlib.sha256(named.encode()).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": _CACHE_CONTROL}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    pump = animations.idle_stream(model, lambda frames: _lines(animations, model, frames), indices)
    return await pumped(request, pump, MEDIA_TYPE, headers)


def _lines(
    animations: AnimationService, model: AvatarModel, frames: Generator[tuple[int, bytes], None, None]
) -> Generator[bytes, None, None]:
    manifest = model.avatar.manifest
    low, high = animations.turning_frames(model)
    yield line(idle_header(manifest.name, manifest.width, manifest.height, manifest.frames, low, high))
    for index, jpeg in frames:
        yield line(idle_frame(index, jpeg))
    yield line({"type": "end"})
