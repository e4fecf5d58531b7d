"""Requests and answers, as OpenAPI describes them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from recipe.aspect import Window
from recipe.aspect_names import Aspect

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


def _encodable(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it holds half of a pair of surrogates, which is no text") from error
    return name


_Name = Annotated[str, AfterValidator(_encodable)]
AvatarName = Annotated[
    _Name | None,
    Field(description="name of an avatar, as /avatars lists it; by default the default one", examples=["demo"]),
]
Speed = Annotated[float, Field(gt=0, le=100, allow_inf_nan=False, description="1 is the voice's own, 2 twice as fast")]
Consent = Annotated[
    str,
    Field(
        description='who agreed to be shown: "who, YYYY-MM-DD, scope"; empty or "refused": nobody did',
        max_length=1000,
        examples=["Ada Lovelace, 2026-11-20, product videos"],
    ),
]
Synthetic = Annotated[bool, Field(description="the photo shows no real person")]
Restore = Annotated[
    Literal["auto", "off", "network"],
    Field(
        description="what may be done to a bad photo: auto takes away noise, JPEG blocks and blur where it finds them; "
        "network draws the face anew, where the operator set one up"
    ),
]
Token = Annotated[str, Field(description="of a photo that was preloaded", max_length=200)]
VoiceName = Annotated[_Name | None, Field(description="name of a voice, as /voices lists it; by default the best")]
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
        Literal["ndjson", "mp4", "mjpeg"] | None,
        Field(description="goes before Accept, for plain links that cannot set it"),
    ] = None
    download: Annotated[bool, Field(description="answer as a file to be saved")] = False
    in_time: Annotated[
        bool,
        Field(
            description="where this machine cannot draw 25 mouths a second, show every other one twice rather than "
            "fall behind; such frames are marked `held`. Always so in MJPEG, never in what is kept"
        ),
    ] = False
    captions: Annotated[
        bool,
        Field(description="draw what is said into the pictures, at most two lines below the face; MP4 of a text only"),
    ] = False
    aspect: Annotated[
        Aspect,
        Field(
            description="show a part of the picture, around the face, which stays whole; /avatars says which part. "
            "portrait is 9:16, landscape 16:9, as near as the picture allows"
        ),
    ] = "original"


class AnimateQuery(Delivery):
    """How the animation of a photo is answered, and of which one."""

    avatar_token: Annotated[Token | None, Field(description="instead of the field of that name")] = None


class GenerateQuery(GenerateRequest, Delivery):
    """A text to be said, as query parameters; names that are not known are ignored, since addresses carry such."""

    model_config = ConfigDict(extra="ignore")

    character: Annotated[str | None, Field(description="the avatar, as other systems call it")] = None


class Take(BaseModel):
    """What a client knows of a take whose pictures and sound it sends."""

    avatar: str = Field(max_length=200, description="who is shown")
    width: int = Field(ge=2, le=4096, description="of every picture, px, even")
    height: int = Field(ge=2, le=4096, description="of every picture, px, even")
    sample_rate: int = Field(ge=8000, le=48000, description="of the sound, Hz, a multiple of 25")
    sizes: list[Annotated[int, Field(gt=0)]] = Field(
        min_length=1, max_length=100_000, description="bytes of every JPEG, in order; one is shown for 40 ms"
    )
    captions: list[TakeCaption] = Field(
        default_factory=list, max_length=10_000, description="drawn into the pictures, at most two lines below the face"
    )
    crop: Window | None = Field(
        default=None,
        description="only this part is coded: left, top, width and height, px, of which the last two are even",
        examples=[[104, 0, 288, 512]],
    )

    @model_validator(mode="after")
    def _crop_is_in_the_picture(self) -> Take:
        part = self.crop
        if part is None:
            return self
        across = 0 <= part.left <= self.width - part.width and part.width >= 2
        down = 0 <= part.top <= self.height - part.height and part.height >= 2
        if not (across and down) or part.width % 2 or part.height % 2:
            raise ValueError(
                f"the crop {list(part)} is no part of {self.width}x{self.height} px of even sizes; take one of /avatars"
            )
        return self


class TakeCaption(BaseModel):
    """What is said from a picture on."""

    at: int = Field(ge=0, description="number of the picture")
    text: str = Field(max_length=5000, description="shown until the next begins; an empty one shows nothing")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = Field(description="which kind of problem; stable", examples=["/problems/avatar-not-found"])
    title: str = Field(description="the same for every problem of this type", examples=["No such avatar"])
    status: int = Field(description="the HTTP status", examples=[404])
    detail: str = Field(description="this very problem, for people", examples=["no avatar 'bob'; there is: demo"])
    instance: str = Field(description="path of the request", examples=["/generate"])
    errors: list[FieldError] | None = Field(default=None, description="fields of the request that are wrong")
    voices: list[str] | None = Field(default=None, description="that can say the text, the likeliest first")


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
    kind: Literal["video", "film", "photo"] | None = Field(
        default=None,
        description="who draws: video, a trained network; film, the filmed frames, moved; photo, one picture, warped",
    )
    width: int | None = None
    height: int | None = None
    crops: dict[Aspect, Window] = Field(
        default_factory=dict, description="what an aspect shows of the picture: left, top, width, height, px"
    )
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


class PreloadedPhoto(BaseModel):
    """An avatar that is kept for a while, in memory only."""

    token: str = Field(description="whoever has it can use and drop the avatar: send it as avatar_token to /animate")
    expires_at: datetime = Field(description="when it is forgotten, at the latest")
    bytes: int = Field(description="what it takes of the memory for all that are kept")
    width: int
    height: int
    consent: Literal["recorded", "synthetic", "none"] = Field(description="of the person that it shows")
    warnings: str = Field(description="what about the photo may show, for people; empty: nothing")


class Cleared(BaseModel):
    """What was forgotten."""

    dropped: int = Field(description="how many avatars")


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
    frames_dir: str = Field(description="where frames are saved, from the folder that holds the debug folder")
    audio_dir: str = Field(description="where sound is saved, likewise")
    used_bytes: int = Field(description="what is saved at the moment")
    quota_bytes: int = Field(description="beyond it the oldest utterance is removed")
