"""What a client of /ws may send as JSON: docs/protocol.md."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from services.http import schemas
from services.live.wire import TIERS, Tier

_Sequence = Annotated[int, Field(ge=-1, lt=1 << 32)]
_Samples = Annotated[int, Field(ge=0, lt=1 << 53)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Resume(_Message):
    session: Annotated[str, Field(max_length=64)]
    sequence: _Sequence  # of the last frame that was received, -1 for none


class Hello(_Message):
    type: Literal["hello"]
    version: Annotated[int, Field(ge=1)]
    avatar: schemas.AvatarName = None
    tiers: Annotated[list[Annotated[str, Field(max_length=32)]], Field(min_length=1, max_length=8)] = ["patch", "jpeg"]
    idle: bool = False
    resume: Resume | None = None

    @property
    def tier(self) -> Tier | None:
        """The first one that is known here."""
        return next((tier for wanted in self.tiers for tier in TIERS if wanted == tier), None)


class Speak(_Message):
    type: Literal["speak"]
    text: schemas.Text
    voice: schemas.VoiceName = None
    speed: schemas.Speed = 1.0


class AppendText(_Message):
    type: Literal["append_text"]
    text: str
    voice: schemas.VoiceName = None
    speed: schemas.Speed = 1.0


class AppendAudio(_Message):
    type: Literal["append_audio"]
    sample_rate: Annotated[int, Field(ge=4000, le=192_000)]


class Listen(_Message):
    type: Literal["listen"]
    sample_rate: Annotated[int, Field(ge=4000, le=192_000)]


class Ask(_Message):
    type: Literal["ask"]
    text: Annotated[str, Field(min_length=1, max_length=20_000)] | None = None  # without: what was heard
    voice: schemas.VoiceName = None
    speed: schemas.Speed = 1.0


class End(_Message):
    type: Literal["end"]


class Cancel(_Message):
    type: Literal["cancel"]
    samples: _Samples | None = None  # of what is being said that were played


class Shown(_Message):
    type: Literal["shown"]
    sequence: Annotated[int, Field(ge=0, lt=1 << 32)]


class Idle(_Message):
    type: Literal["idle"]
    frame: Annotated[int, Field(ge=0, le=schemas.MOST_FRAMES)]
    direction: Literal[1, -1] = 1
    lead: Annotated[int, Field(ge=0, le=50)] = 0


class Bye(_Message):
    type: Literal["bye"]


Asked = Speak | AppendText | AppendAudio | Listen | Ask | End | Cancel | Shown | Idle | Bye
HELLO: TypeAdapter[Hello] = TypeAdapter(Hello)
ASKED: TypeAdapter[Asked] = TypeAdapter(Annotated[Asked, Field(discriminator="type")])
