"""Which replica answers, and how many there have to be. Ray's own processes run it, so nothing of ours is imported."""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

from ray.serve.config import AutoscalingContext
from ray.serve.request_router import PendingRequest, RequestRouter, RunningReplica

HEADER: Final = b"avatar328-route"  # names the replica in an answer; a request may name it so, or by `?route=`
FULL: Final = 0.8  # of the places: when so many are taken, another replica is started


@dataclass(frozen=True, slots=True)
class Wish:
    """What a request says about where it wants to go."""

    route: str = ""  # a replica
    avatar: str = ""

    @classmethod
    def of(cls, request: PendingRequest | None) -> Wish:
        """Read it from a request that came over HTTP or WebSocket."""
        if request is None or not request.args or not isinstance(request.args[0], bytes):
            return cls()
        scope: dict[str, Any] = pickle.loads(request.args[0]).asgi_scope  # noqa: S301  (Ray's proxy has just written it)
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        header = dict(scope.get("headers", ())).get(HEADER, b"").decode("latin-1")
        avatar = request.metadata.multiplexed_model_id or asked.get("avatar", [""])[0]
        return cls(asked.get("route", [header])[0], avatar)


class PlaceRouter(RequestRouter):  # type: ignore[misc, unused-ignore]
    """Whoever names a replica gets that one, as long as it lives. Others go where a place is free: first where their
    avatar is in memory. Of two such replicas the one with fewer requests is taken."""

    async def choose_replicas(
        self, candidate_replicas: list[RunningReplica], pending_request: PendingRequest | None = None
    ) -> list[list[RunningReplica]]:
        if pending_request is not None:
            pending_request.routing_context.should_backoff = True  # else Ray asks again without a pause
        return ranked(candidate_replicas, Wish.of(pending_request))


def ranked(replicas: list[Any], wish: Wish) -> list[list[Any]]:
    """Replicas to try, the best first; each is told apart by `replica_id` and by the `routing_stats` of Replica."""
    named = [replica for replica in replicas if replica.replica_id.unique_id == wish.route]
    if named:
        return [named]
    free = [replica for replica in replicas if replica.routing_stats.get("free", 1) > 0]
    loaded = [replica for replica in free if wish.avatar in replica.routing_stats.get("avatars", ())]
    return [random.sample(rank, min(2, len(rank))) for rank in (loaded, free, replicas) if rank]


def replicas_wanted(context: AutoscalingContext) -> tuple[float, dict[str, Any]]:
    """So many that the requests of the moment take no more than FULL of the places that the replicas measured.

    Ray waits and keeps to the bounds by itself.
    """
    told = (context.aggregated_metrics or {}).get("places", {})
    places = [float(count) for count in told.values()]
    if not places:
        return context.target_num_replicas, {}
    return context.total_num_requests / (FULL * sum(places) / len(places)), {}
