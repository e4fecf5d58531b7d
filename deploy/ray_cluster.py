"""Ray, as our programs start it: for this machine alone, without a dashboard and without telling anybody."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

REPOSITORY: Final = Path(__file__).resolve().parent.parent

_STORE_BYTES: Final = 256 << 20  # what streams carry is small
_SILENT: Final = {"RAY_USAGE_STATS_ENABLED": "0"}
# Ray's name for whether machines may join: without it its processes listen on loopback instead of on every address.
_PRIVATE: Final = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
_OF_PROCESSES: Final = {"MALLOC_ARENA_MAX": "1", "PYTHONPATH": str(REPOSITORY)}  # services/runtimes/memory.py says why


@contextlib.contextmanager
def ray_started(address: str, cores: int, dashboard: bool = False) -> Iterator[None]:
    """Join a cluster, or start Ray for this machine; afterwards nothing of that runs on. To be called before Ray is
    imported, which reads the environment then.

    Args:
        address: of the cluster: auto, HOST:PORT; "" starts one.
        cores: of this machine that Ray gives out.
        dashboard: start Ray's, on loopback.
    Raises:
        ImportError: the extra ray is not installed.
    """
    os.environ.update(_SILENT)
    own: dict[str, Any] = {}
    if not address:
        os.environ.update(_PRIVATE, RAY_AUTH_TOKEN=secrets.token_hex(32))
        own = {"include_dashboard": dashboard, "object_store_memory": _STORE_BYTES, "num_cpus": cores}
    import ray

    ray.init(address or "local", runtime_env={"env_vars": _OF_PROCESSES}, logging_level=logging.WARNING, **own)
    try:
        yield
    finally:
        ray.shutdown()


def missing(error: ImportError) -> str:
    """What to tell where Ray cannot be imported."""
    return f"error: {error}; install the extra ray: AVATAR328_EXTRAS=ray bash scripts/setup.sh\n"
