"""The one place where services are put together; entry points pass values in, tests put fakes in their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from config import Models, Settings
from services.animation_service import AnimationService
from services.avatars.catalogue import AvatarCatalogue
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.choice import MeasuredRuntime, choose_runtime, ears_runtime
from services.speech.engines import build_speech
from services.streaming.animation_cache import AnimationCache
from services.streaming.debug_recorder import DebugRecorder, DebugState
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.slots import Slots
from services.types import ModelProvider, TTSService

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Services:
    """What an entry point works with."""

    models: ModelProvider
    frames: FrameGenerationService
    tts: TTSService
    runtime_ms: Mapping[str, float] = field(default_factory=dict)  # processor time per frame and runtime, if measured


def build_services(models: Models, tts: TTSService | None = None) -> Services:
    """Put the services together; nothing is loaded yet.

    Args:
        models: which avatars, what computes, and how much memory.
        tts: speaks; by default the best voice of this machine.
    Raises:
        ModelRuntimeError: the device is not there.
    """
    runtime = choose_runtime(models.runtime, models.device, models.threads)
    budgets = (models.loaded_mb * _MIB, models.features_mb * _MIB, models.template_mb * _MIB)
    return Services(
        models=ModelService(models.avatars_dir, runtime, *budgets, partial(ears_runtime, models.threads)),
        frames=FrameGenerationService(),
        tts=build_speech() if tts is None else tts,
        runtime_ms=runtime.measured_ms if isinstance(runtime, MeasuredRuntime) else {},
    )


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


def build_server(services: Services, settings: Settings) -> ServerParts:
    """Put a server's parts together around the services."""
    server, limits, debug = settings.server, settings.limits, settings.debug
    metrics = ServiceMetrics()
    state = DebugState(debug.enabled, debug.save_frames, debug.save_audio)
    recorder = DebugRecorder(debug.folder, debug.quota_mb * _MIB, server.jpeg_quality, state)
    return ServerParts(
        tts=services.tts,
        runtime_ms=services.runtime_ms,
        animations=AnimationService(
            services.models,
            services.frames,
            services.tts,
            IdleFrames(server.idle_mb * _MIB, server.jpeg_quality),
            recorder,
            metrics,
            Slots(limits.sessions, "animations"),
            Slots(limits.idle_streams, "streams of idle frames"),
            public=settings.public,
            upload_s=limits.upload_s,
            queue_frames=server.queue_frames,
            stall_s=limits.stall_s,
        ),
        catalogue=AvatarCatalogue(settings.models.avatars_dir),
        cache=AnimationCache(server.cache_dir, server.cache_mb * _MIB),
        recorder=recorder,
        metrics=metrics,
    )
