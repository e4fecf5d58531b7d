"""A dataset in memory: a drawn face whose mouth opens with the loudness of its sound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import AudioEncoder
from models.syncnet_328 import SyncNet, SyncNetConfig
from recipe.mouth import LIPS
from recipe.recipe_328 import CROP_PX, SAMPLES_PER_FRAME, recipe
from training.sound import TrainingSound
from training.syncnet_stage import SyncModel

FRAMES = 300
LIPS_Y, LIPS_X = 186, 164


def drawn_face(opening: float, tilt_px: float = 0.0) -> NDArray[np.uint8]:
    """A crop with skin, nose, mouth and neck; `opening` in [0, 1]."""
    picture = np.full((CROP_PX, CROP_PX, 3), (90, 110, 130), np.uint8)
    x = round(LIPS_X + tilt_px)
    cv2.rectangle(picture, (x - 60, 240), (x + 60, 327), (170, 130, 110), -1)
    cv2.ellipse(picture, (x, 140), (120, 122 + round(12 * opening)), 0, 0, 360, (205, 160, 135), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (x, 118), (16, 9), 0, 0, 180, (150, 105, 90), 2, cv2.LINE_AA)
    height = 3 + round(24 * opening)
    cv2.ellipse(picture, (x, LIPS_Y + height // 2), (54, height + 8), 0, 0, 360, (170, 80, 85), -1, cv2.LINE_AA)
    cv2.ellipse(picture, (x, LIPS_Y + height // 2), (44, height), 0, 0, 360, (50, 20, 25), -1, cv2.LINE_AA)
    return picture


def drawn_dataset(frames: int = FRAMES, clips: list[tuple[int, int]] | None = None, seed: int = 0) -> Dataset328:
    """Ten seconds and more of the drawn face with matching sound; silent at both ends."""
    rng = np.random.default_rng(seed)
    level = np.clip(np.convolve(rng.standard_normal(frames), np.hanning(9) / 2.2, mode="same"), 0, 1)
    level[:40] = level[-20:] = 0
    tilt = 4 * np.sin(np.arange(frames) / 17)
    crops = np.stack([drawn_face(a, t) for a, t in zip(level, tilt, strict=True)])
    time = np.arange(frames * SAMPLES_PER_FRAME) / 16_000
    envelope = np.interp(time, (np.arange(frames) + 0.5) / 25, level)
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 12))
    audio = (0.2 * envelope * voice + 1e-4 * rng.standard_normal(len(time))).astype(np.float32)
    landmarks = np.zeros((frames, 478, 2), np.float32)
    landmarks[:] = (LIPS_X, 140)
    for side, index in ((-54, 61), (54, 291)):
        landmarks[:, index] = np.stack([LIPS_X + side + tilt, np.full(frames, LIPS_Y)], 1)
    landmarks[:, 0] = np.stack([LIPS_X + tilt, np.full(frames, LIPS_Y - 8)], 1)
    landmarks[:, 17] = np.stack([LIPS_X + tilt, LIPS_Y + 12 + 24 * level], 1)
    others = [index for index in LIPS if index not in (0, 17, 61, 291)]
    landmarks[:, others] = np.stack([LIPS_X + tilt, np.full(frames, LIPS_Y)], 1)[:, None]
    manifest = {
        "name": "drawn",
        "recipe": recipe(),
        "source": {"sha256": "0" * 64},
        "av_offset": {"frames": 1, "removed": False},
        "audio_model": "",
    }
    test = (frames - 50, frames)
    return Dataset328(
        folder=Path("drawn"),
        manifest=manifest,
        crops=crops,
        affine_T23=np.tile(np.eye(2, 3, dtype=np.float32), (frames, 1, 1)),
        landmarks_TK2=landmarks,
        valid_T=np.ones(frames, bool),
        opening_T=(0.2 * level).astype(np.float32),
        blur_T=np.full(frames, 50, np.float32),
        pose_T3=np.stack([np.zeros(frames), tilt, np.zeros(frames)], 1).astype(np.float32),
        box_T4=np.tile(np.array([40, 0, 288, 270], np.float32), (frames, 1)),
        audio_S=audio,
        clips=clips or [(0, frames)],
        splits={"train": [(0, 180), (230, test[0] - 14)], "val": [(193, 217)], "test": [test]},
    )


def untrained_sync(sound: TrainingSound, gate_open: bool) -> dict[str, Any]:
    """What the SyncNet stage hands on, untrained."""
    torch.manual_seed(0)
    audio = AudioEncoder(sound.encoder_config())
    model = SyncModel(audio, SyncNet(SyncNetConfig(320, audio.config.embedding_dim, widths=(8, 8, 8, 8))))
    return {"model": model.state_dict(), **model.configs(), "gate_open": gate_open, "identity": {"seed": 0}}
