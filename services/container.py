"""The one place where services are put together; entry points pass values in, tests put fakes in their place."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from config import ConfigError, Models, Settings
from recipe.version import product_version
from services.animation_service import AnimationService
from services.avatars.catalogue import AvatarCatalogue
from services.avatars.photo_studio import PhotoStudio
from services.avatars.preloaded import PreloadedPhotos
from services.capacity import CapacityMeter, provisional_sessions
from services.conversation.conversation import Conversations
from services.conversation.language_model import LanguageModel
from services.conversation.recogniser import Recogniser
from services.creation.commands import Programs
from services.creation.jobs import JobStore
from services.creation.service import Creation, Folders
from services.creation.workshop import Workshop
from services.credentials.signing import find_credentials
from services.frame_generation_service import FrameGenerationService
from services.live.service import LiveService
from services.model_service import ModelService
from services.remote import Remote
from services.runtimes.choice import MeasuredRuntime, choose_runtime, ears_runtime
from services.runtimes.processor import this_processor
from services.speech.engines import build_speech
from services.spoken_photos import SpokenPhotos
from services.streaming.animation_cache import AnimationCache
from services.streaming.burned import CaptionFonts
from services.streaming.debug_recorder import DebugRecorder, DebugState
from services.streaming.idle import IdleFrames
from services.streaming.metrics import ServiceMetrics
from services.streaming.provenance import ProvenanceLog
from services.streaming.results import ResultFolder
from services.streaming.slots import Slots
from services.streaming.traces import Traces
from services.types import ModelProvider, PhotoMaker, TTSService
from services.work import WorkInPlaces

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
    runtime = choose_runtime(models.runtime, models.device, models.threads, models.cache_dir)
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
    capacity: CapacityMeter
    results: ResultFolder
    live: LiveService
    creation: Creation
    caption_fonts: CaptionFonts
    conversations: Conversations | None
    traces: Traces | None = None


def build_server(services: Services, settings: Settings, photo_maker: PhotoMaker | None = None) -> ServerParts:
    """Put a server's parts together around the services.

    Args:
        services: what speaks and draws.
        settings: of everything.
        photo_maker: makes avatars of photos; None where that is not installed.
    Raises:
        ConfigError: a setting cannot be used.
    """
    server, limits, debug, photos, compat = (
        settings.server,
        settings.limits,
        settings.debug,
        settings.photos,
        settings.compat,
    )
    metrics = ServiceMetrics()
    provenance = _provenance(settings)
    cores = min(this_processor().cores, limits.cores or math.inf)
    slots = Slots(limits.sessions or provisional_sessions(cores), "animations")
    idle_slots = Slots(limits.idle_streams, "streams of idle frames")
    traces = Traces(server.traces_endpoint, product_version()) if server.traces_endpoint else None
    state = DebugState(debug.enabled, debug.save_frames, debug.save_audio)
    recorder = DebugRecorder(debug.folder, debug.quota_mb * _MIB, server.jpeg_quality, state)
    work = WorkInPlaces(slots)
    animations = AnimationService(
        services.models,
        services.frames,
        services.tts,
        IdleFrames(server.idle_mb * _MIB, server.jpeg_quality),
        recorder,
        metrics,
        work,
        idle_slots,
        SpokenPhotos(
            PhotoStudio(photo_maker, services.models, photos.at_once),
            PreloadedPhotos(photos.kept_mb * _MIB, photos.kept_s),
            work,
            public=settings.public,
        ),
        provenance=provenance,
        credentials=find_credentials(settings.credentials.folder, product_version()),
        traces=traces,
        public=settings.public,
        upload_s=limits.upload_s,
        queue_frames=server.queue_frames,
        stall_s=limits.stall_s,
        behind_s=limits.behind_s,
    )
    cache = AnimationCache(server.cache_dir, server.cache_mb * _MIB)
    return ServerParts(
        tts=services.tts,
        runtime_ms=services.runtime_ms,
        animations=animations,
        live=LiveService(
            animations.open,
            work.take_place,
            slots.give_back,
            services.frames,
            services.tts,
            metrics,
            provenance,
            jpeg_quality=server.jpeg_quality,
            stall_s=limits.stall_s,
            most_waiting_s=limits.upload_s,
            most_waiting_characters=limits.text_characters,
        ),
        catalogue=AvatarCatalogue(settings.models.avatars_dir),
        cache=cache,
        creation=_build_creation(settings, cache),
        caption_fonts=_caption_fonts(server.caption_font),
        conversations=_conversations(settings),
        recorder=recorder,
        metrics=metrics,
        capacity=CapacityMeter(
            services.frames,
            slots,
            idle_slots,
            fixed=limits.sessions > 0,
            cores=cores,
            jpeg_quality=server.jpeg_quality,
        ),
        traces=traces,
        results=ResultFolder(compat.results_dir, compat.results_mb * _MIB, compat.results_s),
    )


def _build_creation(settings: Settings, cache: AnimationCache) -> Creation:
    create, avatars_dir = settings.create, settings.models.avatars_dir
    store = JobStore(create.jobs_dir)
    programs = Programs(store, avatars_dir, create.dataset_dir, create.checkpoint_dir, create.device)
    off = "" if create.enabled else "this server's operator has switched making avatars off"
    if settings.public and settings.access.keys_file is None:
        off = off or "others can reach this server, and it has no keys: so nobody makes or removes avatars through it"
    return Creation(
        Workshop(store, programs, create.queue),
        Folders(avatars_dir, create.dataset_dir, create.checkpoint_dir),
        off or programs.missing(),
        settings.models.default_avatar,
        cache.clear,
    )


def _conversations(settings: Settings) -> Conversations | None:
    """Somebody to talk with, where a language model is named.

    Raises:
        ConfigError: an address is none.
    """
    asked = settings.conversation
    keys = asked.key.get_secret_value(), asked.recogniser_key.get_secret_value()
    how = asked.model, asked.answer_characters
    recogniser_url, recogniser_model = asked.recogniser_url, asked.recogniser_model
    rest = asked.system_prompt, asked.prompts_dir, asked.turns
    timeout_s = asked.timeout_s
    if not asked.url:
        return None
    try:
        model = Remote(asked.url, keys[0], timeout_s, "language model")
        heard = Remote(recogniser_url, keys[1], timeout_s, "recogniser") if recogniser_url else None
    except ValueError as error:
        raise ConfigError(f"AVATAR328_CONVERSATION: {error}") from error
    recogniser = None if heard is None else Recogniser(heard, recogniser_model)
    return Conversations(LanguageModel(model, *how), recogniser, *rest)


def _caption_fonts(chosen: Path | None) -> CaptionFonts:
    """What captions are drawn with.

    Raises:
        ConfigError: the font that was chosen is not there.
    """
    if chosen is not None and not chosen.is_file():
        raise ConfigError(
            f"AVATAR328_SERVER__CAPTION_FONT is {chosen}, which is no file; name a font (.ttf, .otf, .ttc)"
        )
    return CaptionFonts(chosen)


def _provenance(settings: Settings) -> ProvenanceLog:
    """The log of who had which avatar say what, where it is wanted.

    Raises:
        ConfigError: it cannot be written.
    """
    access = settings.access
    wanted = access.provenance == "on" or (access.provenance == "auto" and settings.public)
    path, file_bytes, files = access.provenance_file, access.provenance_mb * _MIB, access.provenance_files
    try:
        return ProvenanceLog(path if wanted else None, file_bytes, files)
    except OSError as error:
        raise ConfigError(
            f"AVATAR328_ACCESS__PROVENANCE_FILE is {path}, which cannot be written "
            f"({error.strerror}); name another file, or set AVATAR328_ACCESS__PROVENANCE=off"
        ) from error
