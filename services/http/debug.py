"""Debug mode by HTTP."""

from __future__ import annotations

from starlette.exceptions import HTTPException

from services.http.schemas import DebugConfig, DebugStatus
from services.streaming.debug_recorder import DebugRecorder, DebugState


def debug_state(recorder: DebugRecorder) -> DebugStatus:
    """What is saved at the moment."""
    state = recorder.state
    return DebugStatus(
        enabled=state.enabled,
        save_frames=state.save_frames,
        save_audio=state.save_audio,
        used_bytes=recorder.used_bytes(),
        quota_bytes=recorder.quota_bytes,
    )


def change_debug(change: DebugConfig, recorder: DebugRecorder, public: bool) -> DebugStatus:
    """Change what is given."""
    if public:
        raise HTTPException(403, "this server can be reached by others: debug mode is set where it is started")
    old = recorder.state
    recorder.state = DebugState(
        enabled=old.enabled if change.enabled is None else change.enabled,
        save_frames=old.save_frames if change.save_frames is None else change.save_frames,
        save_audio=old.save_audio if change.save_audio is None else change.save_audio,
    )
    return debug_state(recorder)
