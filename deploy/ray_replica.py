"""One replica: the application of api.py in a process of Ray Serve."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ray import serve
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy, RequestRouterConfig
from ray.serve.schema import LoggingConfig

from config import Settings
from deploy.ray_routing import HEADER, PlaceRouter, replicas_wanted

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WARM_S: Final = 300.0  # for the default avatar to be loaded
_TELL_S: Final = 1.0  # between two times that the router is told of free places
_CHECK_S: Final = 2.0
_STOP_S: Final = 3.0  # beyond the time that streams get
QUIET: Final = LoggingConfig(enable_access_log=False)  # addresses hold what is said


@dataclass(frozen=True, slots=True)
class Shape:
    """How many replicas, and how large."""

    replicas: int
    most_replicas: int
    cpus: float
    gpus: float
    private: bool = True  # nothing of Ray is to be reached from other machines


def settings_of_replica(settings: Settings, shape: Shape, name: str) -> Settings:
    """The settings for a server that is one of several.

    It counts on its own processors alone, writes a log of provenance of its own, and makes no avatars: a job lives in
    one process, and the next request for it may reach another.
    """
    sections: dict[str, dict[str, Any]] = {
        "models": {"threads": settings.models.threads or max(1, int(shape.cpus))},
        "limits": {"cores": settings.limits.cores or shape.cpus},
        "create": {"enabled": False},
        "access": {"provenance_file": _beside(settings.access.provenance_file, name)},
    }
    return settings.model_copy(
        update={section: getattr(settings, section).model_copy(update=values) for section, values in sections.items()}
    )


def _beside(path: Any, name: str) -> Any:
    return path.with_name(f"{path.stem}-{name}{path.suffix}")


def application(settings: Settings, shape: Shape) -> serve.Application:
    """What Ray Serve is to run.

    Args:
        settings: of the server, the same for every replica.
        shape: how many, and how large.
    """

    def build() -> FastAPI:
        return _build(settings, shape, serve.get_replica_context().replica_id.unique_id)

    scaling = {
        "min_replicas": shape.replicas,
        "max_replicas": shape.most_replicas,
        "upscale_delay_s": 10.0,
        "downscale_delay_s": 300.0,
        "policy": AutoscalingPolicy(policy_function=replicas_wanted),
    }
    fixed = shape.most_replicas == shape.replicas
    return serve.deployment(  # type: ignore[no-any-return, unused-ignore]
        serve.ingress(build)(Replica),
        name="avatar328",
        ray_actor_options={"num_cpus": shape.cpus, "num_gpus": shape.gpus},
        max_ongoing_requests=settings.limits.connections,
        health_check_period_s=_CHECK_S,
        health_check_timeout_s=30.0,
        graceful_shutdown_timeout_s=settings.limits.stop_s + _STOP_S,
        logging_config=QUIET,
        request_router_config=RequestRouterConfig(
            request_router_class=PlaceRouter, request_routing_stats_period_s=_TELL_S
        ),
        **({"num_replicas": shape.replicas} if fixed else {"autoscaling_config": AutoscalingConfig(**scaling)}),
    ).bind()


def _build(settings: Settings, shape: Shape, name: str) -> FastAPI:
    """The application of api.py, for one replica."""
    from api import create_app
    from services.container import build_services
    from services.runtimes.threads import draw_on_one_thread
    from services.speech.engines import build_speech

    logging.basicConfig(level=settings.server.log_level.upper())
    if shape.private:
        _listen_on_loopback()
    draw_on_one_thread()
    settings = settings_of_replica(settings, shape, name)
    services = build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))
    app = create_app(settings, services)
    app.state.models, app.state.route = services.models, name
    app.add_middleware(_SaysWhere, name=name)
    return app


def _listen_on_loopback() -> None:
    """Ray 2.60 lets every replica listen on all addresses of the machine, whatever it was told, for other deployments.

    There is no setting for it; called in a replica before that happens.
    """
    from ray.serve._private import replica

    add = replica.add_port_to_grpc_server

    def add_on_loopback(server: Any, address: str) -> int:
        return int(add(server, address.replace("[::]", "127.0.0.1")))

    replica.add_port_to_grpc_server = add_on_loopback


class _SaysWhere:
    """Every answer names the replica that gave it, for whoever has to come back to it."""

    def __init__(self, app: ASGIApp, name: str) -> None:
        self._app, self._header = app, (HEADER, name.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), self._header]
            await send(message)

        await self._app(scope, receive, named)


class Replica:
    """What Ray asks of a replica, besides the application's answers."""

    app: FastAPI  # set by serve.ingress

    async def check_health(self) -> None:
        """Return as soon as the default avatar is warm; until then Ray sends nobody here.

        A replica whose places are all taken is well.

        Raises:
            RuntimeError: it does not get warm; Ray ends the replica and starts another one.
        """
        readiness, since = self.app.state.readiness, time.monotonic()
        while not readiness.warm:
            if time.monotonic() > since + _WARM_S:
                raise RuntimeError(f"avatar {readiness.avatar} is not ready: {readiness.problem or 'it still loads'}")
            await asyncio.sleep(0.05)

    def record_routing_stats(self) -> dict[str, Any]:
        """What PlaceRouter is told."""
        slots = self.app.state.parts.animations.slots
        return {"free": slots.free, "avatars": self.app.state.models.loaded()}

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What `replicas_wanted` is told."""
        return {"places": float(self.app.state.parts.animations.slots.count)}
