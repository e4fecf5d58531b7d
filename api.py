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

    from config import Photos, Settings
    from services.container import Services
    from services.live.peers import PeerMaker
    from services.types import PhotoMaker

logger = logging.getLogger("avatar328")


def create_app(settings: Settings | None = None, services: Services | None = None) -> FastAPI:
    """Build the application; nothing is loaded before it starts.

    Args:
        settings: by default those of the environment.
        services: by default the real ones; tests put fakes here.
    Raises:
        ConfigError: a setting is not known, or has a value it cannot have; others can reach the server without a key.
        KeysError: the file of keys cannot be read.
        ModelRuntimeError: the configured device is not there.
    """
    import config
    from services.http.app import build_app

    settings = settings or config.settings
    access = settings.access
    if not access.open_to_all and access.keys_file is None and settings.public:
        raise config.ConfigError(
            "others can reach this server, and it has no keys: make one by python -m services.access new NAME and set "
            "AVATAR328_ACCESS__KEYS_FILE=keys.txt; or, where something before it asks who comes, set "
            "AVATAR328_ACCESS__OPEN_TO_ALL=true"
        )
    return build_app(settings, services, _photo_maker(settings.photos), _peer_maker(settings.server.ice_servers))


def _photo_maker(photos: Photos) -> PhotoMaker | None:
    """What makes avatars of photos; None where that is not installed."""
    from data_prep.photo_maker import PhotoMaker, can_make_photos

    return PhotoMaker(photos.size_px, photos.restorer) if can_make_photos() else None


def _peer_maker(ice_servers: str) -> PeerMaker | None:
    """What speaks WebRTC; None where that is not installed.

    Raises:
        ConfigError: one of the addresses is none.
    """
    import config
    from integrations.webrtc import peer_maker

    try:
        return peer_maker([address.strip() for address in ice_servers.split(",") if address.strip()])
    except ValueError as error:
        raise config.ConfigError(f"AVATAR328_SERVER__ICE_SERVERS: {error}") from error


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
    from services.errors import CannotListenError, KeysError, ModelRuntimeError
    from services.http.server import serve
    from services.runtimes.memory import share_one_arena
    from services.runtimes.threads import draw_on_one_thread

    share_one_arena()
    draw_on_one_thread()
    chosen = {name: value for name, value in vars(options).items() if value is not None}
    try:
        settings = config.load_settings(server=chosen) if chosen else config.settings
        logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        app = create_app(settings)
    except (config.ConfigError, KeysError, ModelRuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if settings.public:
        logger.warning(
            "others can reach this server (host %s, allowed hosts %s): %s, and avatars without a consent record are "
            "refused",
            settings.server.host,
            settings.server.allowed_hosts or "none",
            "it asks for keys" if settings.access.keys_file else "it asks for no keys",
        )
    try:
        server, limits, verbose = settings.server, settings.limits, settings.server.log_level == "debug"
        serve(
            app,
            server.host,
            server.port,
            access_log=verbose,
            per_address=limits.per_address,
            stop_s=limits.stop_s,
        )
    except CannotListenError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
