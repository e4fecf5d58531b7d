"""What `python -m benchmarks.training_step` measures; why and how is said there."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import Any

import configargparse
import torch

from benchmarks.table import report
from data_prep.dataset_328 import open_dataset
from models.audio_encoder import AudioEncoder
from models.syncnet_328 import SyncNet, SyncNetConfig
from training.data import FaceData, step_generator
from training.device import choose_device
from training.distributed import Workers
from training.lip_stage import train_lips
from training.presets import PRESETS
from training.sound import load_sound
from training.syncnet_stage import SyncModel, SyncNetRun, train_syncnet
from training.unet_stage import GeneratorStage, Parents


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    if options.threads:
        torch.set_num_threads(options.threads)
    device, preset = choose_device(options.device), PRESETS[options.preset]
    dataset = open_dataset(options.dataset_dir / options.name)
    data, sound = FaceData.load(dataset, device), load_sound(dataset, device)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        steps = options.steps
        short = dataclasses.replace(preset.syncnet, steps=steps, evaluate_every=steps)
        started = time.perf_counter()
        train_syncnet(data, sound, SyncNetRun(short, 1), Path(folder) / "sync", Workers(), show_progress=False)
        ms = (time.perf_counter() - started) * 1e3 / steps
        rows.append(("0 (with set-up and a held-out test)", short.batch * 5, ms, ms / short.batch / 5))
        audio = AudioEncoder(sound.encoder_config())
        net = SyncModel(audio, SyncNet(SyncNetConfig(320, audio.config.embedding_dim)))
        sync = {"model": net.state_dict(), **net.configs(), "gate_open": False, "identity": {}}
        lips = dataclasses.replace(preset.lips, steps=steps, evaluate_every=steps)
        started = time.perf_counter()
        train_lips(data, sound, sync, lips, 1, Path(folder) / "lips", Workers(), show_progress=False)
        ms = (time.perf_counter() - started) * 1e3 / steps
        rows.append(("0b (with set-up and a held-out test)", lips.batch, ms, ms / lips.batch))
        for stage in "ABCD":
            lengths: dict[str, Any] = {f"steps_{s.lower()}": (steps + 2 if s == stage else 0) for s in "ABCD"}
            unet = dataclasses.replace(preset.unet, **lengths)
            training = GeneratorStage(data, sound, Parents(sync, sync), unet, 1, Workers())
            for number in range(steps + 2):
                if number == 2:
                    if device.type == "cuda":
                        torch.cuda.synchronize()
                    started = time.perf_counter()
                training.step(number, step_generator(1, number, 0), lambda: None)
            ms = (time.perf_counter() - started) * 1e3 / steps
            frames = unet.clips * training.clip_frames
            rows.append((stage, frames, ms, ms / frames))
    title = f"training steps of preset {options.preset} on {device}, {torch.get_num_threads()} threads"
    report(title, ["stage", "frames/step", "ms/step", "ms/frame"], rows, options.json)
