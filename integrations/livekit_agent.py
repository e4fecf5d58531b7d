"""The agent's side of a LiveKit avatar: its voice goes to a worker that shows the avatar (extra `livekit`).

    avatar = AvatarOfWorker("http://localhost:8100/join", api_key=..., api_secret=...)
    await avatar.start(agent_session, room=ctx.room)

The worker is asked once, with a token for this room; it publishes in the agent's name (`lk.publish_on_behalf`).
Which LiveKit server it connects to is the worker's own setting, so nobody can send it elsewhere.
"""

from __future__ import annotations

import datetime
from typing import Any, Final

import aiohttp
from livekit import api, rtc
from livekit.agents import AgentSession
from livekit.agents.voice.avatar import AvatarSession, DataStreamAudioOutput

IDENTITY: Final = "avatar328"
PUBLISH_ON_BEHALF: Final = "lk.publish_on_behalf"  # of whom a participant is a part, in LiveKit's own clients
_TOKEN_LASTS: Final = datetime.timedelta(hours=1)


class AvatarOfWorker(AvatarSession[str]):
    """An avatar that a worker of ours shows, in the room of an agent."""

    def __init__(
        self,
        worker_url: str,
        *,
        api_key: str,
        api_secret: str,
        avatar: str | None = None,
        identity: str = IDENTITY,
        sample_rate_hz: int = 24_000,
        timeout_s: float = 10.0,
    ) -> None:
        """Nothing is asked yet.

        Args:
            worker_url: where the worker listens (examples/livekit_avatar.py).
            api_key, api_secret: of the LiveKit server; the worker's token is signed with them and they stay here.
            avatar: its name; None is the worker's default.
            identity: of the avatar in the room.
            sample_rate_hz: of the sound that is sent.
            timeout_s: for the worker to answer.
        """
        super().__init__()
        self._worker_url, self._api_key, self._api_secret = worker_url, api_key, api_secret
        self._avatar, self._identity = avatar, identity
        self._sample_rate_hz, self._timeout_s = sample_rate_hz, timeout_s

    @property
    def avatar_identity(self) -> str:
        return self._identity

    @property
    def provider(self) -> str:
        return "avatar328"

    def token(self, room: str, agent_identity: str) -> str:
        """What lets the worker into one room, for an hour, as a part of the agent."""
        grants = api.VideoGrants(room_join=True, room=room)
        return (
            api.AccessToken(self._api_key, self._api_secret)
            .with_identity(self._identity)
            .with_name(self._identity)
            .with_kind("agent")
            .with_grants(grants)
            .with_attributes({PUBLISH_ON_BEHALF: agent_identity})
            .with_ttl(_TOKEN_LASTS)
            .to_jwt()
        )

    async def start(self, agent_session: AgentSession[Any], room: rtc.Room) -> None:
        """Ask the worker to come, and give it the agent's voice.

        Raises:
            aiohttp.ClientError, TimeoutError: the worker cannot be reached, or refuses.
        """
        await super().start(agent_session, room)
        agent = room.local_participant.identity
        asked = {"token": self.token(room.name, agent), "agent": agent, "avatar": self._avatar}
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        async with (
            aiohttp.ClientSession(timeout=timeout) as client,
            client.post(self._worker_url, json=asked, raise_for_status=True),
        ):
            pass
        agent_session.output.audio = DataStreamAudioOutput(
            room,
            destination_identity=self._identity,
            sample_rate=self._sample_rate_hz,
            wait_remote_track=rtc.TrackKind.KIND_VIDEO,
        )
