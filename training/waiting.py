"""How threads wait for each other on cores that others use too."""

from __future__ import annotations

import os


def wait_briefly() -> None:
    """Threads that wait for others soon give their core away: docs/decisions/0015-waiting-threads.md.

    OpenMP reads this once, when torch is imported. Whoever has chosen a policy of waiting keeps it.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
