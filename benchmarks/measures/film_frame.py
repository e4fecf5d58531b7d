"""What `python -m benchmarks.film_frame` measures; why and how is said there."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final

import configargparse
import numpy as np
from numpy.typing import NDArray

from benchmarks.material import (
    JPEG_QUALITY,
    TEMPLATE_BYTES,
    cpu_runtime,
    model_service,
    noise_pieces,
    noise_S,
    threads_of,
)
from benchmarks.stages import Stages
from benchmarks.table import Cell, report
from recipe.avatar_format import FRAMES_FILE
from recipe.errors import UserError
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, FPS, SAMPLE_RATE_HZ
from services.avatars.film_model import LoadedFilm
from services.avatars.template import TemplateVideo
from services.frame_generation_service import FrameGenerationService
from services.runtimes.threads import draw_on_one_thread
from services.streaming.jpeg import encode_jpeg
from services.streaming.video_writer import Mp4Writer, write_video
from services.types import AvatarModel

_COLUMNS: Final = ("cores", "stage", "wall ms/frame", "CPU ms/frame", "frames/s", "CPU, of the yardstick")
_YARDSTICK: Final = "yardstick: float32 decoder of a trained avatar"


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    draw_on_one_thread()  # as the programs do
    threads = threads_of(options)
    stages = {count: Stages() for count in sorted({1, threads})}
    cores = sorted(os.sched_getaffinity(0))
    for _ in range(options.rounds):
        _decoder(options, stages[1])
        for count, into in stages.items():
            os.sched_setaffinity(0, cores[:count])  # threads made from here on stay on so many cores
            model = _film(options, count)
            if count == 1:
                _single(model, min(options.frames, model.avatar.manifest.frames), into)
            _whole(model, options.frames, into)
            os.sched_setaffinity(0, cores)
    unit_ms = stages[1].cpu_ms(_YARDSTICK)
    rows: list[tuple[Cell, ...]] = []
    for count, of in stages.items():
        for name in of.names:
            wall_ms, cpu_ms = of.wall_ms(name), of.cpu_ms(name)
            rows.append((count, name, wall_ms, cpu_ms, 1e3 / wall_ms, cpu_ms / unit_ms))
    size = f"{model.avatar.manifest.width}x{model.avatar.manifest.height} px"
    title = f"{options.name}, {size}, {options.frames} frames, median of {options.rounds} rounds"
    report(title, _COLUMNS, rows, options.json)


def _film(options: configargparse.Namespace, threads: int) -> LoadedFilm:
    model = model_service(options.avatars_dir, cpu_runtime("openvino-f32", threads)).open(options.name)
    if not isinstance(model, LoadedFilm):
        raise UserError(f"avatar {options.name} is no film; benchmarks.per_frame measures trained ones")
    return model


def _decoder(options: configargparse.Namespace, into: Stages) -> None:
    trained = model_service(options.avatars_dir, cpu_runtime("openvino-f32", 1)).open_trained(options.yardstick)
    shown = list(range(25))
    features = trained.encode_template(shown)
    embeddings = np.zeros((len(shown), *trained.encode_audio(*_silence()).shape[1:]), np.float32)
    into.timed(_YARDSTICK, len(shown), lambda: trained.decode(features, embeddings))


def _silence() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    return np.zeros((1, AUDIO_WINDOW_SAMPLES), np.float32), np.zeros(1, np.float32)


def _single(model: LoadedFilm, count: int, into: Stages) -> None:
    """Every stage by itself."""
    avatar, manifest, shown = model.avatar, model.avatar.manifest, range(count)
    new = TemplateVideo(avatar.folder / FRAMES_FILE, manifest.frames, manifest.width, manifest.height, TEMPLATE_BYTES)
    pictures = into.timed("template picture, first time", count, lambda: [new.frame(i) for i in shown])
    into.timed("template picture, kept", count, lambda: [new.frame(i) for i in shown])
    sound_BS = noise_S(count * AUDIO_WINDOW_SAMPLES / SAMPLE_RATE_HZ).reshape(count, AUDIO_WINDOW_SAMPLES)
    gate_B = np.ones(count, np.float32)
    told_BP = into.timed("ears", count, lambda: model.encode_audio(sound_BS, gate_B))
    for _ in model.draw(shown, told_BP):
        pass  # the template's pictures are decoded and kept
    into.timed("mouth, template picture kept", count, lambda: list(model.draw(shown, told_BP)))
    into.timed("JPEG", count, lambda: [encode_jpeg(picture, JPEG_QUALITY) for picture in pictures])
    into.timed("H.264 file", count, lambda: _write(model, pictures))


def _write(model: LoadedFilm, pictures: list[NDArray[np.uint8]]) -> None:
    size = model.avatar.manifest.width, model.avatar.manifest.height
    pcm_CS = np.zeros((1, SAMPLE_RATE_HZ // FPS), np.float32)
    with tempfile.TemporaryDirectory() as folder, Mp4Writer(Path(folder) / "x.mp4", *size, SAMPLE_RATE_HZ, 1) as to:
        for picture in pictures:
            to.write(picture, pcm_CS)


def _whole(model: LoadedFilm, count: int, into: Stages) -> None:
    """Sound in, everything out; the first has the template new."""
    into.timed("ALL to an H.264 file, template new", count, lambda: _to_file(model, count))
    into.timed("ALL to an H.264 file, template seen", count, lambda: _to_file(model, count))
    into.timed("ALL to pictures", count, lambda: _to(model, count, lambda _: None))
    into.timed("ALL to JPEG", count, lambda: _to(model, count, lambda picture: encode_jpeg(picture, JPEG_QUALITY)))


def _to(model: AvatarModel, count: int, take: Callable[[NDArray[np.uint8]], object]) -> None:
    with closing(FrameGenerationService().generate(model, noise_pieces(count))) as frames:
        for frame in frames:
            take(frame.frame_rgb_HWC)


def _to_file(model: LoadedFilm, count: int) -> None:
    manifest = model.avatar.manifest
    with tempfile.TemporaryDirectory() as folder:
        frames = FrameGenerationService().generate(model, noise_pieces(count))
        write_video(Path(folder) / "x.mp4", frames, manifest.width, manifest.height, None)
