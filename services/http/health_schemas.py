"""What a server tells of its own state."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class AvatarHealth(BaseModel):
    """Whether an avatar can be used."""

    name: str
    status: Literal["ok", "broken", "refused"]
    problem: str | None = None


class SpeechHealth(BaseModel):
    """Which engine speaks."""

    engine: str
    default_voice: str
    fallback_reason: str | None = Field(description="why not the preferred engine")
    degraded: bool = Field(description="what was configured cannot speak, or an engine failed")


class ModelHealth(BaseModel):
    """What runs the networks."""

    device: str = Field(description="as configured")
    provider: str | None = Field(description="what the default avatar runs on; null until it is loaded")
    measured_ms: dict[str, float] = Field(
        description="processor time of one run of the decoder, by runtime, if the self-test was made"
    )


class LimitHealth(BaseModel):
    """What a request may be."""

    text_characters: int
    upload_mb: int
    upload_s: float


class SessionHealth(BaseModel):
    """Utterances being made."""

    active: int
    limit: int = Field(description="places; one utterance more is answered 503")
    source: Literal["setting", "measured", "provisional"] = Field(
        description="of the limit; provisional: it will be measured when nothing is drawn for a client"
    )
    measured: CapacityHealth | None = Field(description="how fast this machine draws the default avatar")


class CapacityHealth(BaseModel):
    """What a frame costs here."""

    frame_ms: float = Field(description="processor time from sound to JPEG, on a template frame that was seen")
    new_frame_ms: float = Field(description="on a template frame that was not seen")
    frames_per_s: float = Field(description="about what all utterances together get; one needs 25")


class CreationHealth(BaseModel):
    """Whether avatars are made here."""

    enabled: bool
    reason: str | None = Field(description="why not")


class ConversationHealth(BaseModel):
    """Whether somebody answers."""

    text: bool = Field(description="questions are answered, over /ws")
    speech: bool = Field(description="they may be spoken")


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "starting", "degraded"] = Field(
        description="degraded: it answers, but the default avatar cannot be used, or this machine is too slow for it"
    )
    version: str
    uptime_s: float
    reasons: list[str] = Field(description="why the status is not ok")
    models: ModelHealth
    avatars: list[AvatarHealth]
    speech: SpeechHealth
    sessions: SessionHealth
    limits: LimitHealth
    creation: CreationHealth
    conversation: ConversationHealth
    services: dict[str, bool] = Field(description="whether each can work: tts, model, frame_generation")


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive", "ready"]
