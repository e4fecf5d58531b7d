"""The one place where services are put together; entry points pass values in, tests put fakes in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.animation_service import AnimationService, Rules
from services.avatars.catalogue import AvatarCatalogue
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.choice import MeasuredRuntime, RuntimeName, choose_runtime
from services.runtimes.runtime import Device
from services.streaming.animation_cache import AnimationCache
from services.streaming.debug_recorder import DebugRecorder, DebugState
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.slots import Slots
from services.tts_service import build_speech
from services.types import ModelProvider, TTSService

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Services:
    """What an entry point works with."""

    models: ModelProvider
    frames: FrameGenerationService
    tts: TTSService
    runtime_ms: Mapping[str, float] = field(default_factory=dict)  # processor time per frame and runtime, if measured


def build_services(
    avatars_dir: Path,
    device: Device = "auto",
    threads: int = 0,
    loaded_bytes: int = 1024 * _MIB,
    features_bytes: int = 512 * _MIB,
    template_bytes: int = 256 * _MIB,
    tts: TTSService | None = None,
    runtime: RuntimeName = "auto",
) -> Services:
    """Put the services together; nothing is loaded yet.

    Args:
        avatars_dir: folder of the avatars.
        device: "auto" takes CUDA where there is a device.
        threads: CPU threads per network; 0 = one per core.
        loaded_bytes: for all avatars in memory.
        features_bytes: of it, for one avatar's encoder features (about 1.9 MB per template frame).
        template_bytes: of it, for one avatar's decoded template frames.
        tts: None takes the best voice of this machine.
        runtime: "auto" takes the one that a self-test at the first load finds cheapest.
    Raises:
        ModelRuntimeError: the device is not there.
    """
    chosen = choose_runtime(runtime, device, threads)
    return Services(
        models=ModelService(avatars_dir, chosen, loaded_bytes, features_bytes, template_bytes),
        frames=FrameGenerationService(),
        tts=build_speech() if tts is None else tts,
        runtime_ms=chosen.measured_ms if isinstance(chosen, MeasuredRuntime) else {},
    )


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What an operator has decided about a server."""

    avatars_dir: Path
    public: bool  # others than this machine can reach it
    sessions: int
    idle_streams: int
    upload_s: float
    queue_frames: int
    stall_s: float
    jpeg_quality: int
    idle_bytes: int
    cache_dir: Path
    cache_bytes: int
    debug: DebugState
    debug_dir: Path
    debug_quota_bytes: int


@dataclass(frozen=True, slots=True)
class ServerParts:
    """What a server's routes work with."""

    tts: TTSService
    runtime_ms: Mapping[str, float]
    animations: AnimationService
    catalogue: AvatarCatalogue
    cache: AnimationCache
    recorder: DebugRecorder
    metrics: ServiceMetrics


def build_server(services: Services, options: ServerOptions) -> ServerParts:
    """Put a server's parts together around the services."""
    metrics = ServiceMetrics()
    recorder = DebugRecorder(options.debug_dir, options.debug_quota_bytes, options.jpeg_quality, options.debug)
    return ServerParts(
        tts=services.tts,
        runtime_ms=services.runtime_ms,
        animations=AnimationService(
            services.models,
            services.frames,
            services.tts,
            IdleFrames(options.idle_bytes, options.jpeg_quality),
            recorder,
            metrics,
            Slots(options.sessions, "animations"),
            Slots(options.idle_streams, "streams of idle frames"),
            Rules(options.public, options.upload_s, options.queue_frames, options.stall_s),
        ),
        catalogue=AvatarCatalogue(options.avatars_dir),
        cache=AnimationCache(options.cache_dir, options.cache_bytes),
        recorder=recorder,
        metrics=metrics,
    )
