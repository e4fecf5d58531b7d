"""All routes: one file per resource says what it answers. Which error gets which status: problems.py."""

from __future__ import annotations

from services.http import animation, avatars, debug, operation, voices

ROUTERS = tuple(resource.router for resource in (animation, avatars, voices, operation, debug))
