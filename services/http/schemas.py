"""Requests and answers, as OpenAPI describes them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MOST_FRAMES = 1_000_000_000


def _one_step(direction: int) -> int:
    if direction not in (1, -1):
        raise ValueError("direction is 1 (forwards) or -1 (backwards)")
    return direction


Direction = Annotated[
    int,
    AfterValidator(_one_step),
    Field(description="in which the template is walked at first: 1 or -1", json_schema_extra={"enum": [1, -1]}),
]
StartFrame = Annotated[int, Field(ge=0, le=MOST_FRAMES, description="template frame under the first picture")]
AvatarName = Annotated[
    str | None,
    Field(description="name of an avatar, as /avatars lists it; by default the default one", examples=["demo"]),
]
Speed = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False, description="1 is the voice's own, 2 twice as fast")]
VoiceName = Annotated[str | None, Field(description="name of a voice, as /voices lists it; by default the best")]
Text = Annotated[str, Field(description="what to say", examples=["Hello. I am the demo avatar."])]


class GenerateRequest(BaseModel):
    """A text to be said."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"text": "Hello. I am the demo avatar.", "speed": 1.0}]}
    )

    text: Text
    avatar: AvatarName = None
    voice: VoiceName = None
    speed: Speed = 1.0
    start_frame: StartFrame = 0
    direction: Direction = 1
    cache: Annotated[bool, Field(description="keep the finished animation, and answer with it the next time")] = False


class Delivery(BaseModel):
    """How an animation is answered."""

    format: Annotated[
        Literal["ndjson", "mp4"] | None, Field(description="goes before Accept, for plain links that cannot set it")
    ] = None
    download: Annotated[bool, Field(description="answer as a file to be saved")] = False


class GenerateQuery(GenerateRequest, Delivery):
    """A text to be said, as query parameters."""


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="which kind of problem; stable", examples=["/problems/avatar-not-found"])
    title: str = Field(description="the same for every problem of this type", examples=["No such avatar"])
    status: int = Field(description="the HTTP status", examples=[404])
    detail: str = Field(description="this very problem, for people", examples=["no avatar 'bob'; there is: demo"])
    instance: str = Field(description="path of the request", examples=["/generate"])
    errors: list[FieldError] | None = Field(default=None, description="fields of the request that are wrong")


class FieldError(BaseModel):
    """A field of a request that is wrong."""

    field: str = Field(examples=["speed"])
    message: str = Field(examples=["Input should be greater than 0"])


class AvatarInfo(BaseModel):
    """An avatar of this server."""

    name: str
    status: Literal["ok", "broken", "refused"] = Field(
        description="broken: its files are damaged; refused: it shows a person without a consent record"
    )
    problem: str | None = Field(default=None, description="why it cannot be used")
    default: bool = Field(description="speaks when a request names no avatar")
    kind: Literal["video", "photo"] | None = Field(
        default=None, description="video: trained from a recording; photo: warped from one picture"
    )
    width: int | None = None
    height: int | None = None
    frames: int | None = Field(default=None, description="length of its template")
    fps: int | None = None
    synthetic: bool | None = Field(default=None, description="shows no real person")
    consent: bool | None = Field(default=None, description="a consent record is there")
    licence: str | None = None
    created: str | None = None
    metrics: dict[str, Any] = Field(default_factory=dict, description="of its held-out test")
    poster: str | None = Field(default=None, description="where its still picture is")


class AvatarList(BaseModel):
    """The avatars of this server."""

    avatars: list[AvatarInfo]


class VoiceInfo(BaseModel):
    """A voice of this server."""

    name: str = Field(examples=["flite:slt"])
    engine: str = Field(examples=["flite"])
    language: str = Field(examples=["en-US"])
    label: str


class VoiceList(BaseModel):
    """The voices of this server, the default one first."""

    voices: list[VoiceInfo]
    default: str


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
    limit: int


class Health(BaseModel):
    """The state of the server."""

    status: Literal["ok", "starting", "degraded"] = Field(
        description="degraded: it answers, but the default avatar cannot be used"
    )
    version: str
    uptime_s: float
    reasons: list[str] = Field(description="why the status is not ok")
    models: ModelHealth
    avatars: list[AvatarHealth]
    speech: SpeechHealth
    sessions: SessionHealth
    limits: LimitHealth


class Alive(BaseModel):
    """The process answers."""

    status: Literal["alive", "ready"]


class DebugConfig(BaseModel):
    """Changes of debug mode; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"enabled": True, "save_frames": True, "save_audio": True}]}
    )

    enabled: bool | None = None
    save_frames: bool | None = None
    save_audio: bool | None = None


class DebugStatus(BaseModel):
    """Debug mode."""

    enabled: bool
    save_frames: bool
    save_audio: bool
    used_bytes: int = Field(description="what is saved at the moment")
    quota_bytes: int = Field(description="beyond it the oldest utterance is removed")
