"""The server on Ray Serve: `python deploy/ray_serve.py`, then open http://localhost:8000. Needs the extra ray.

The application is the one of api.py, with its settings, as several replicas behind one address, on this machine or on
the machines of a Ray cluster. What they do not share, and who finds back to which: docs/deploy.md.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import configargparse

if TYPE_CHECKING:
    from config import Settings

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # started as a file, Python looks beside it only

logger = logging.getLogger("avatar328")

_NAME: Final = "avatar328"


def parse_options(arguments: Sequence[str] | None = None) -> configargparse.Namespace:
    """Command line over environment (AVATAR328_RAY_...) over default."""
    parser = configargparse.ArgParser(
        prog="ray_serve.py",
        description="Serve the avatars by Ray Serve; everything else is set as .env.example says.",
        auto_env_var_prefix="AVATAR328_RAY_",
        allow_abbrev=False,
    )
    parser.add("--replicas", type=int, default=1, help="servers that always run (default: 1)")
    parser.add("--most_replicas", type=int, default=0, help="servers at most, as many are needed (default: --replicas)")
    parser.add("--cpus", type=float, default=2.0, help="processors of each server (default: 2)")
    parser.add("--gpus", type=float, default=0.0, help="GPUs of each server, also a part of one (default: 0)")
    parser.add(
        "--address", default="", help="a Ray cluster to join: auto, HOST:PORT (default: one of this machine's own)"
    )
    parser.add("--dashboard", action="store_true", help="start Ray's dashboard, on this machine's port 8265")
    parser.add("--host", help="address to listen on, instead of the configured one")
    parser.add("--port", type=int, help="port to listen on, instead of the configured one; 0 takes a free one")
    options = parser.parse_args(arguments)
    options.most_replicas = options.most_replicas or options.replicas
    if not 1 <= options.replicas <= options.most_replicas:
        parser.error(
            f"--replicas {options.replicas} --most_replicas {options.most_replicas}: expected 1 or more, rising"
        )
    if options.cpus <= 0 or options.gpus < 0:
        parser.error(f"--cpus {options.cpus:g} --gpus {options.gpus:g}: expected more than 0 processors, no less GPUs")
    return options


@contextlib.contextmanager
def serving(settings: Settings, options: configargparse.Namespace) -> Iterator[str]:
    """Start Ray where none is to be joined, and the replicas; yields the address when all of them are warm.

    Args:
        settings: of the server; `host` and `port` are those of Ray's proxy, on every machine that has a replica.
        options: see `parse_options`.
    Raises:
        ConfigError: this machine has fewer processors than are asked for, or a setting cannot be used.
        CannotListenError: the address cannot be used.
    """
    from deploy.ray_cluster import ray_started
    from services.http.server import listen

    with listen(settings.server.host, settings.server.port) as free:
        host, port = free.getsockname()[:2]
    with ray_started(options.address, _cores(options), options.dashboard):
        from ray import serve

        from deploy.ray_replica import QUIET, Shape, application

        shape = Shape(options.replicas, options.most_replicas, options.cpus, options.gpus, not options.address)
        serve.start(
            proxy_location="EveryNode", http_options={"host": host, "port": port}, logging_config=QUIET.model_dump()
        )
        try:
            serve.run(application(settings, shape), name=_NAME, logging_config=QUIET)
            yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
        finally:
            serve.delete(_NAME)  # replicas end their streams first
            serve.shutdown()


def _cores(options: configargparse.Namespace) -> int:
    """Processors of this machine to tell Ray of, which counts whole ones.

    Raises:
        ConfigError: there are too few for what is to run here.
    """
    from config import ConfigError
    from services.runtimes.processor import this_processor

    cores = max(1, int(this_processor().cores))
    if not options.address and options.replicas * options.cpus > cores:
        raise ConfigError(
            f"{options.replicas} replicas of {options.cpus:g} processors do not fit this machine, which has {cores}: "
            "take fewer or smaller ones (--replicas, --cpus), or join a cluster (--address)"
        )
    return cores


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; returns the exit code, 0 or 2."""
    options = parse_options(arguments)
    import config
    from api import create_app
    from deploy.ray_cluster import missing
    from services.errors import CannotListenError, KeysError, ModelRuntimeError

    chosen = {name: getattr(options, name) for name in ("host", "port") if getattr(options, name) is not None}
    stopped = threading.Event()
    try:
        settings = config.load_settings(server=chosen) if chosen else config.settings
        logging.basicConfig(level=settings.server.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s")
        unlogged = settings.access.model_copy(update={"provenance": "off"})
        create_app(settings.model_copy(update={"access": unlogged}))  # what is wrong is said here, not by every replica
        with serving(settings, options) as address:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stopped.set())
            logger.info("listening on %s: %d to %d replicas", address, options.replicas, options.most_replicas)
            stopped.wait()
            logger.info("stopping: streams may end, nothing new is taken")
    except ImportError as error:
        sys.stderr.write(missing(error))
        return 2
    except (config.ConfigError, CannotListenError, KeysError, ModelRuntimeError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
