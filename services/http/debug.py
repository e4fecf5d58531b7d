"""Debug mode: whether generated frames and sound are saved."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.exceptions import HTTPException

from services.http import openapi, schemas
from services.http.dependencies import KnownSettings, Recorder, content_type
from services.streaming.debug_recorder import DebugRecorder, DebugState

router = APIRouter(prefix="/debug", tags=["debug"])


@router.get("/status", responses=openapi.PLAIN)
def debug_status(recorder: Recorder) -> schemas.DebugStatus:
    """Whether generated frames and sound are saved."""
    return _status(recorder)


@router.post("/config", responses=openapi.DEBUG, dependencies=[content_type("application/json")])
def debug_config(change: schemas.DebugConfig, recorder: Recorder, settings: KnownSettings) -> schemas.DebugStatus:
    """Switch debug mode on and off; what is left out stays as it is."""
    if settings.public:
        raise HTTPException(403, "this server can be reached by others: debug mode is set where it is started")
    old = recorder.state
    recorder.state = DebugState(
        enabled=old.enabled if change.enabled is None else change.enabled,
        save_frames=old.save_frames if change.save_frames is None else change.save_frames,
        save_audio=old.save_audio if change.save_audio is None else change.save_audio,
    )
    return _status(recorder)


def _status(recorder: DebugRecorder) -> schemas.DebugStatus:
    state = recorder.state
    return schemas.DebugStatus(
        enabled=state.enabled,
        save_frames=state.save_frames,
        save_audio=state.save_audio,
        frames_dir=f"{recorder.folder.name}/frames",
        audio_dir=f"{recorder.folder.name}/audio",
        used_bytes=recorder.used_bytes(),
        quota_bytes=recorder.quota_bytes,
    )
