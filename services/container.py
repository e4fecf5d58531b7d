"""The one place where services are put together; entry points pass values in, tests put fakes in their place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtime import Device, OnnxRuntime

_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Services:
    """What an entry point works with."""

    models: ModelService
    frames: FrameGenerationService


def build_services(
    avatars_dir: Path,
    device: Device = "auto",
    threads: int = 0,
    loaded_bytes: int = 1024 * _MIB,
    features_bytes: int = 512 * _MIB,
    template_bytes: int = 256 * _MIB,
) -> Services:
    """Put the services together; nothing is loaded yet.

    Args:
        avatars_dir: folder of the avatars.
        device: "auto" takes CUDA where there is a device.
        threads: CPU threads per network; 0 = one per core.
        loaded_bytes: for all avatars in memory.
        features_bytes: of it, for one avatar's encoder features (about 3.8 MB per template frame).
        template_bytes: of it, for one avatar's decoded template frames.
    Raises:
        ModelRuntimeError: the device is not there.
    """
    runtime = OnnxRuntime(device, threads)
    return Services(
        models=ModelService(avatars_dir, runtime, loaded_bytes, features_bytes, template_bytes),
        frames=FrameGenerationService(),
    )
