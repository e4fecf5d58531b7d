"""What has become of the server's warm-up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Readiness:
    """Written once by the warm-up, read by everybody."""

    avatar: str  # the one that gets warm
    started_at: float = field(default_factory=time.monotonic)
    warm: bool = False
    provider: str | None = None
    problem: str | None = None  # why there is nothing that could get warm

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self.started_at
