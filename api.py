"""The server: `python api.py`, then open http://localhost:8000. Also `uvicorn api:app`.

The application is put together in services/http/app.py, from the settings of config.py.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import configargparse

if TYPE_CHECKING:
    from fastapi import FastAPI

    from config import Settings
    from services.container import Services

logger = logging.getLogger("avatar328")


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: by default those of the environment.
        services: by default the real ones; tests put fakes here.
    Raises:
        ConfigError: a setting is not known, or has a value it cannot have.
        ModelRuntimeError: the configured device is not there.
    """
    import config
    from services.http.app import build_app

    return build_app(settings or config.settings, services)


def __getattr__(name: str) -> Any:
    """`app`, built when a server asks for it: `uvicorn api:app`."""
    if name != "app":
        raise AttributeError(f"module 'api' has no attribute {name!r}")
    globals()["app"] = create_app()
    return globals()["app"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; returns the exit code, 0 or 2."""
    parser = configargparse.ArgumentParser(
        description="Serve the avatars; everything else is set as .env.example says."
    )
    parser.add_argument("--host", help="address to listen on, instead of the configured one")
    parser.add_argument("--port", type=int, help="port to listen on, instead of the configured one; 0 takes a free one")
    options = parser.parse_args(arguments)
    import config
    from services.errors import CannotListenError, ModelRuntimeError
    from services.http.server import serve
    from services.runtimes.memory import share_one_arena

    share_one_arena()
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    try:
        settings = config.load_settings(server=chosen) if chosen else config.settings
        logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        app = create_app(settings)
    except (config.ConfigError, ModelRuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if app.state.settings.public:
        logger.warning(
            "others can reach this server (host %s, allowed hosts %s): there is no login, and avatars without "
            "a consent record are refused",
            settings.server.host,
            settings.server.allowed_hosts or "none",
        )
    try:
        server, verbose = settings.server, settings.server.log_level == "debug"
        serve(app, server.host, server.port, settings.limits.connections, access_log=verbose)
    except CannotListenError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
