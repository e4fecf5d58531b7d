"""What an operator may set, from the environment or a file .env; read on first use: `from config import settings`.

    AVATAR328_MODELS__DEVICE=cpu AVATAR328_SERVER__PORT=9000 python api.py

A variable is the prefix, the section, two underscores and the field. A name or value that is not known is an error
that says so; the environment goes before `.env`. Names without two underscores belong to set-up and training. A
relative path starts at the repository, from whichever folder a program is started.

Only entry points read settings; what is below them is handed these sections, or values.
"""

from __future__ import annotations

import ipaddress
import logging
import os
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from recipe.places import at_home
from services.runtimes.names import Device, RuntimeName

logger = logging.getLogger("avatar328")

PREFIX: Final = "AVATAR328_"
_NESTING: Final = "__"
_FILE: Final = ".env"


class ConfigError(ValueError):
    """A setting that is not known, or has a value it cannot have."""


HomePath = Annotated[Path, AfterValidator(at_home)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Models(_Section):
    """Avatars and what runs them."""

    avatars_dir: HomePath = Field(default=Path("avatars"), description="folder of the avatars")
    default_avatar: str = Field(default="demo", description="avatar that speaks when a request names none")
    device: Device = Field(
        default="auto", description="what runs the networks; auto takes CUDA where there is a device"
    )
    runtime: RuntimeName = Field(
        default="auto",
        description="what computes; auto measures an avatar once on this CPU and takes the cheapest, and takes "
        "onnxruntime on a GPU; openvino-int8 is for avatars that were packaged for it and draws others in bf16; "
        "cuda-fp16 and tensorrt are for a GPU and untested on one",
    )
    threads: int = Field(default=0, ge=0, le=256, description="CPU threads per network; 0 = one per core")
    loaded_mb: int = Field(default=1024, ge=1, description="memory for all loaded avatars, MiB")
    features_mb: int = Field(default=512, ge=1, description="of it, for one avatar's remembered encoder features, MiB")
    template_mb: int = Field(default=256, ge=1, description="of it, for one avatar's decoded template frames, MiB")
    cache_dir: HomePath = Field(
        default=Path("cache/runtimes"),
        description="folder where auto keeps what it measured about an avatar on this processor",
    )


class Tts(_Section):
    """Speech."""

    model_path: HomePath | None = Field(
        default=None,
        description="a Piper voice (.onnx, with its .onnx.json) that speaks by default; empty: the best found",
    )
    voices_dir: HomePath = Field(default=Path("voices"), description="folder of downloaded Piper voices")
    voice: str | None = Field(
        default=None, description="name of the default voice, as /voices lists it; empty: the best found"
    )
    remote_url: str = Field(
        default="",
        description="another server's voices, by OpenAI's /v1/audio/speech (http://localhost:8880/v1); empty: none",
    )
    remote_key: SecretStr = Field(default=SecretStr(""), description="key to it; empty: none")
    remote_model: str = Field(default="tts-1", description="its model")
    remote_voices: str = Field(default="alloy", description="its voices, separated by commas, the best first")
    remote_language: str = Field(default="en-US", description="language that these voices speak (BCP 47)")
    remote_timeout_s: float = Field(default=20.0, gt=0, allow_inf_nan=False, description="for it to send more, seconds")
    cache_dir: HomePath = Field(default=Path("cache/speech"), description="folder of remembered speech")
    cache_mb: int = Field(default=256, ge=0, description="disk space for remembered speech, MiB; 0 remembers none")


class Debug(_Section):
    """Debug mode, as it is when the server starts; POST /debug/config changes it."""

    enabled: bool = Field(default=False, description="save what is generated")
    save_frames: bool = Field(default=True, description="in debug mode, save every frame as JPEG")
    save_audio: bool = Field(default=True, description="in debug mode, save the sound as WAV")
    folder: HomePath = Field(default=Path("debug"), description="where it is saved")
    quota_mb: int = Field(default=1024, ge=1, description="disk space for it, MiB; the oldest utterance goes first")


class Server(_Section):
    """The HTTP server."""

    host: str = Field(default="127.0.0.1", description="address to listen on; only this machine can reach the default")
    port: int = Field(default=8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    allowed_hosts: str = Field(
        default="",
        description="names besides localhost and plain addresses that this server is called by, separated by commas; "
        "with one, the server counts as reachable by others",
    )
    allowed_origins: str = Field(
        default="",
        description="pages of other sites that may use this server, separated by commas (https://example.org; "
        "* for all); empty: none",
    )
    embed_origins: str = Field(
        default="",
        description="sites that may show /embed in a frame, separated by commas (https://example.org; * for all); "
        "empty: only this one",
    )
    ice_servers: str = Field(
        default="",
        description="STUN and TURN servers for WebRTC, separated by commas (stun:example.org:3478, "
        "turn:user:password@example.org); empty: viewers in the same network, or who can reach this machine's address",
    )
    inline_pages: bool = Field(default=False, description="pages put into static/ may have scripts and styles inside")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severity that is logged"
    )
    jpeg_quality: int = Field(default=85, ge=30, le=100, description="quality of streamed pictures")
    queue_frames: int = Field(
        default=8, ge=1, le=100, description="coded frames that wait for a slow client before work stops"
    )
    idle_mb: int = Field(default=128, ge=1, description="memory for remembered idle pictures, MiB")
    cache_dir: HomePath = Field(default=Path("cache/animations"), description="folder of animations kept by cache=true")
    cache_mb: int = Field(default=512, ge=0, description="disk space for them, MiB; 0 keeps none")
    caption_font: HomePath | None = Field(
        default=None,
        description="font file that captions are drawn into an MP4 with; by default DejaVu Sans, and Noto Sans CJK "
        "where it is installed",
    )
    traces_endpoint: str = Field(
        default="",
        description="where OpenTelemetry traces go (OTLP over HTTP: http://localhost:4318/v1/traces); empty: nowhere",
    )


class Photos(_Section):
    """Avatars of photos that come with a request; they are never listed."""

    size_px: int = Field(
        default=512, ge=256, le=1024, multiple_of=2, description="longest side of their frames, at most, px"
    )
    restorer: HomePath | None = Field(
        default=None, description="network that restores faces (.onnx: GFPGAN, CodeFormer or alike) for restore=network"
    )
    at_once: int = Field(default=1, ge=1, le=100, description="photos worked on at the same time; others wait")
    kept_mb: int = Field(default=256, ge=1, description="memory for all that are kept under a token, MiB")
    kept_s: float = Field(
        default=3600.0, gt=0, allow_inf_nan=False, description="how long each is kept under its token, seconds"
    )


class Create(_Section):
    """Avatars made and removed through the server; never where others can reach it and there are no keys."""

    enabled: bool = Field(default=True, description="make and remove avatars through the server")
    device: str = Field(default="cpu", pattern=r"^(cpu|\d+)$", description="what trains: cpu, or the index of a GPU")
    jobs_dir: HomePath = Field(default=Path("cache/jobs"), description="folder of jobs, their logs and photos")
    dataset_dir: HomePath = Field(default=Path("dataset"), description="folder of recordings and what is made of them")
    checkpoint_dir: HomePath = Field(default=Path("checkpoint"), description="folder of training's checkpoints")
    queue: int = Field(default=8, ge=1, le=1000, description="jobs that wait; one more is answered 503")


class Access(_Section):
    """Who may use the server. One that others can reach starts only with keys, or when it is told to be open."""

    keys_file: HomePath | None = Field(
        default=None, description="keys and what each may do; python -m services.access makes them; empty: no keys"
    )
    open_to_all: bool = Field(
        default=False,
        description="start without keys though others can reach the server, because something before it asks who comes",
    )
    requests_per_minute: int = Field(default=600, ge=0, description="of one key; 0 = any number")
    seconds_per_day: int = Field(default=0, ge=0, description="of animation for one key; 0 = any number")
    provenance: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="write who had which avatar say what (hashes alone); auto does where others can reach the server",
    )
    provenance_file: HomePath = Field(
        default=Path("logs/provenance.jsonl"), description="where to; every process of a server needs one of its own"
    )
    provenance_mb: int = Field(default=64, ge=1, description="largest file of it, MiB; it is kept, and a new one begun")
    provenance_files: int = Field(default=100, ge=1, description="so many are kept; the oldest goes")


class Credentials(_Section):
    """What exported files say of themselves, signed."""

    folder: HomePath = Field(
        default=Path("credentials"),
        description="certificates.pem and private_key.pem that files are signed with (MP4, WAV; Content Credentials); "
        "python -m services.credentials makes a pair to try it with; without the folder nothing is signed",
    )


class Conversation(_Section):
    """Somebody to talk with; off unless a language model is named. Servers are named here and nowhere else."""

    url: str = Field(
        default="",
        description="a language model, by OpenAI's /v1/chat/completions (http://localhost:11434/v1); empty: none",
    )
    key: SecretStr = Field(default=SecretStr(""), description="key to it; empty: none")
    model: str = Field(default="default", description="its name there")
    system_prompt: str = Field(
        default="You are {avatar}, a talking avatar. Answer in a few short sentences that will be spoken aloud: no "
        "lists, no Markdown, no emoji.",
        description="what it is told to be; {avatar} becomes the avatar's name",
    )
    prompts_dir: HomePath | None = Field(
        default=None, description="folder with NAME.txt, which goes before it for the avatar NAME"
    )
    turns: int = Field(default=20, ge=1, le=1000, description="questions, with their answers, that it is reminded of")
    answer_characters: int = Field(default=4000, ge=1, description="longest answer; the rest is left unsaid")
    timeout_s: float = Field(default=30.0, gt=0, allow_inf_nan=False, description="for it to write more, seconds")
    recogniser_url: str = Field(
        default="", description="a recogniser, by OpenAI's /v1/audio/transcriptions; empty: questions are written"
    )
    recogniser_key: SecretStr = Field(default=SecretStr(""), description="key to it; empty: none")
    recogniser_model: str = Field(default="whisper-1", description="its name there")


class Compat(_Section):
    """Clients of other systems, which are taken as they are; off unless somebody has such clients."""

    opea: bool = Field(default=False, description="answer like OPEA's animation engine and gateway (/v1/...)")
    form: bool = Field(default=False, description="POST /generate also takes a form with image and audio: MP4")
    gradio: bool = Field(
        default=False, description="answer like a portrait system on Gradio (/gradio_api/...); needs the extra gradio"
    )
    results_dir: HomePath = Field(
        default=Path("outputs"), description="folder of the MP4 files whose path such clients are told"
    )
    results_mb: int = Field(default=512, ge=1, description="disk space for them, MiB; the oldest goes first")
    results_s: float = Field(default=3600.0, gt=0, allow_inf_nan=False, description="how long each is kept, seconds")


class Limits(_Section):
    """What one request, or all together, may ask for."""

    sessions: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="utterances made at the same time; one more is answered 503; 0 = as many as this machine can draw",
    )
    cores: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="processors that this server counts on when it finds out how many those are; 0 = all it may use",
    )
    connections: int = Field(
        default=128, ge=8, le=10000, description="connections at the same time; one more is answered 503"
    )
    idle_streams: int = Field(default=8, ge=1, le=1000, description="streams of idle frames at the same time")
    text_characters: int = Field(default=5000, ge=1, description="longest text")
    body_kb: int = Field(default=64, ge=1, description="largest body of a request other than an upload, KiB")
    upload_mb: int = Field(default=64, ge=1, description="largest upload, MiB")
    upload_s: float = Field(default=600.0, gt=0, allow_inf_nan=False, description="longest recording, seconds")
    stall_s: float = Field(
        default=60.0,
        gt=0,
        allow_inf_nan=False,
        description="a client that reads nothing for so long is given up, seconds",
    )
    behind_s: float = Field(
        default=15.0,
        gt=0,
        allow_inf_nan=False,
        description="so is one that falls so far behind the clock while frames wait for it, seconds",
    )
    uploads: int = Field(default=8, ge=1, le=1000, description="bodies of uploads received at the same time")
    upload_kb_s: int = Field(default=32, ge=1, description="least rate of a body that is sent here, KiB/s")
    per_address: int = Field(
        default=64, ge=1, le=10000, description="connections of one address at the same time, other than this machine"
    )
    stop_s: float = Field(
        default=6.0, ge=0, allow_inf_nan=False, description="for streams to end by themselves when the server stops"
    )


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=_NESTING,
        env_ignore_empty=True,
        extra="ignore",  # variables of other programs; unknown ones of ours are found by load_settings
        frozen=True,
    )

    models: Models = Field(default_factory=Models)
    tts: Tts = Field(default_factory=Tts)
    debug: Debug = Field(default_factory=Debug)
    server: Server = Field(default_factory=Server)
    photos: Photos = Field(default_factory=Photos)
    create: Create = Field(default_factory=Create)
    access: Access = Field(default_factory=Access)
    credentials: Credentials = Field(default_factory=Credentials)
    compat: Compat = Field(default_factory=Compat)
    conversation: Conversation = Field(default_factory=Conversation)
    limits: Limits = Field(default_factory=Limits)

    @property
    def public(self) -> bool:
        """Whether others than this machine can reach the server.

        Whoever gives it another name puts something in front of it that others can reach.
        """
        return not _is_loopback(self.server.host) or bool(self.server.allowed_hosts.strip(" ,"))


def load_settings(**sections: Any) -> Settings:
    """Read environment and .env.

    Args:
        sections: values that go before both, for example `server={"port": 0}`.
    Raises:
        ConfigError: names every variable that is unknown or wrong.
    """
    known = tuple(f"{PREFIX}{section}{_NESTING}".upper() for section in Settings.model_fields)
    file = at_home(_FILE)
    names = {name.upper() for name in (*os.environ, *dotenv_values(file)) if name.upper().startswith(PREFIX)}
    unknown = [name for name in names if _NESTING in name and not name.startswith(known)]
    if unknown:
        raise ConfigError(f"unknown setting {', '.join(sorted(unknown))}; .env.example lists all there are")
    for name in sorted(names):
        if _NESTING not in name and (meant := _fields_called(name.removeprefix(PREFIX).lower())):
            logger.warning("%s is not a setting of the server: %s is", name, " or ".join(meant))
    try:
        return Settings(_env_file=file, **sections)  # type: ignore[call-arg]
    except ValidationError as error:
        raise ConfigError("\n".join(_complaint(item) for item in error.errors())) from error


def _fields_called(field: str) -> list[str]:
    sections = Settings.model_fields.items()
    return [
        f"{PREFIX}{name}{_NESTING}{field}".upper()
        for name, section in sections
        if field in getattr(section.annotation, "model_fields", {})
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _complaint(item: Any) -> str:
    name = PREFIX + _NESTING.join(str(part).removeprefix(PREFIX.lower()) for part in item["loc"]).upper()
    if item["type"] == "extra_forbidden":
        return f"unknown setting {name}; .env.example lists all there are"
    return f"{name} is {item['input']!r}: {item['msg']}"


_loaded: dict[str, Settings] = {}


def __getattr__(name: str) -> Settings:
    """`settings`, built when it is first asked for."""
    if name != "settings":
        raise AttributeError(f"module 'config' has no attribute {name!r}")
    if not _loaded:
        _loaded["settings"] = load_settings()
    return _loaded["settings"]
