"""Features of a pretrained speech model for every frame of a dataset, computed once.

A pretrained model is a hundred times as expensive as a log-mel spectrogram and frozen, so its features are kept beside
the dataset: `audio_features_KIND.npy`, float16 (T, N, D), and `audio_features_KIND.json`, which says what they
were made of. A changed recording or model makes them anew; an interrupted run leaves no half file behind.

Axes: `T` video frames, `S` audio samples, `N` tokens, `D` feature.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.audio_features_hf import PretrainedFeatures
from recipe.audio_window import clip_windows
from recipe.files import written_aside
from recipe.progress import progress

log = logging.getLogger(__name__)

_FORMAT = 1


def cached_features(
    folder: Path,
    pcm_S: NDArray[np.float32],
    clips: Sequence[Sequence[int]],
    frames: int,
    front_end: PretrainedFeatures,
    identity: str,
    batch: int = 32,
) -> NDArray[np.float16]:
    """Features of all frames, from the disk if they are there.

    Args:
        folder: the dataset's.
        pcm_S: its sound, 16 kHz mono.
        clips: [start, stop) frame ranges; a window hears nothing of another clip than its own.
        frames: number of video frames.
        front_end: on the device that is to do the work.
        identity: of the model, as `load_pretrained` gave it.
        batch: windows at a time.
    Returns:
        (T, N, D) read-only memory map; frames outside every clip hear silence.
    """
    config = front_end.config
    file = folder / f"audio_features_{config.kind}.npy"
    key = _key(pcm_S, clips, frames, front_end, identity)
    if _stored_key(file) == key and file.is_file():
        log.info("audio features are reused from %s", file)
        return _opened(file)
    shape = (frames, config.tokens, front_end.feature_dim)
    device = front_end.mixing.device
    with written_aside(file) as part:
        features_TND = np.lib.format.open_memmap(part, mode="w+", dtype=np.float16, shape=shape)
        for first in progress(range(0, frames, batch), desc=f"{config.kind} features", unit="batch"):
            windows = clip_windows(pcm_S, clips, range(first, min(first + batch, frames)), config.window_samples)
            with torch.inference_mode():
                heard = front_end(torch.from_numpy(windows).to(device))
            features_TND[first : first + len(windows)] = heard.half().cpu().numpy()
        features_TND.flush()
        file.with_suffix(".json").unlink(missing_ok=True)  # never the old description beside the new features
    _write_key(file, key)
    return _opened(file)


def _opened(file: Path) -> NDArray[np.float16]:
    features_TND: NDArray[np.float16] = np.load(file, mmap_mode="r")
    return features_TND


def _key(
    pcm_S: NDArray[np.float32],
    clips: Sequence[Sequence[int]],
    frames: int,
    front_end: PretrainedFeatures,
    identity: str,
) -> str:
    facts = {
        "format": _FORMAT,
        "sound": hashlib.sha256(np.ascontiguousarray(pcm_S).tobytes()).hexdigest(),
        "clips": [list(map(int, clip)) for clip in clips],
        "frames": frames,
        "model": identity,
        "config": asdict(front_end.config),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _stored_key(file: Path) -> str | None:
    description = file.with_suffix(".json")
    if not description.is_file():
        return None
    try:
        return str(json.loads(description.read_text(encoding="utf-8"))["key"])
    except (ValueError, KeyError):
        log.warning("%s cannot be read; the audio features are computed again", description)
        return None


def _write_key(file: Path, key: str) -> None:
    description = file.with_suffix(".json")
    with written_aside(description) as part:
        part.write_text(json.dumps({"key": key}) + "\n", encoding="utf-8")
