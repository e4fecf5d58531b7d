"""All routes: one file per resource says what it answers. Which error gets which status: problems.py."""

from __future__ import annotations

from services.http import (
    animation,
    avatars,
    creation,
    debug,
    login,
    openai_speech,
    operation,
    photos,
    takes,
    voices,
)

_RESOURCES = (animation, takes, photos, avatars, creation, voices, openai_speech, operation, debug, login)
ROUTERS = tuple(resource.router for resource in _RESOURCES)
