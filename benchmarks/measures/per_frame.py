"""What `python -m benchmarks.per_frame` measures; why and how is said there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import configargparse
import numpy as np
from numpy.typing import NDArray

from benchmarks.macs import count_gmac
from benchmarks.material import (
    FEATURES_BYTES,
    JPEG_QUALITY,
    TEMPLATE_BYTES,
    cpu_runtime,
    model_service,
    noise_S,
    runtimes_here,
    sized_avatars,
    threads_of,
)
from benchmarks.stages import PeakMeter, Peaks, Rate, Stages
from benchmarks.table import Cell, Table, report_all
from recipe.avatar_format import FRAMES_FILE, UNET_DECODER_FILE, UNET_ENCODER_FILE
from recipe.crop import crop_face
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import FPS, SAMPLE_RATE_HZ, window_samples
from services.avatars.loaded import LoadedAvatar
from services.avatars.template import TemplateVideo
from services.frame_generation_service import FrameGenerationService, HeardSound
from services.runtimes.names import RuntimeName
from services.streaming.jpeg import encode_jpeg
from services.streaming.video_writer import Mp4Writer, write_video

_SHARED: Final = "any"
_DECODER, _ENCODER, _AUDIO = "decoder", "template encoder with its crop", "audio encoder"
_PICTURE, _WINDOWS, _PLAN, _PASTE = "template picture, kept", "audio windows and gate", "plan of the paste", "paste"
_H264, _JPEG = "H.264 file", "JPEG"
_WHOLE: Final = "ALL to H.264 file, template seen"
_SUM: Final = "sum of the stages of the whole"
# What the whole consists of, once every template frame was seen.
_PARTS: Final = (_WINDOWS, _AUDIO, _DECODER, _PICTURE, _PLAN, _PASTE, _H264)
_ONLY_SHARED: Final = {_PICTURE, _WINDOWS, _PLAN, _PASTE, _H264}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An avatar on one runtime: once with its features remembered, once without."""

    warm: LoadedAvatar
    cold: LoadedAvatar


class PerFrame:
    """Measures rounds over the same frames."""

    def __init__(self, avatars_dir: Path, name: str, runtimes: list[RuntimeName], threads: int, frames: int) -> None:
        self.candidates = {
            runtime: Candidate(
                model_service(avatars_dir, cpu_runtime(runtime, threads)).open_trained(name),
                model_service(avatars_dir, cpu_runtime(runtime, threads), features_bytes=1).open_trained(name),
            )
            for runtime in runtimes
        }
        self.model = self.candidates[runtimes[0]].warm
        self.manifest = self.model.avatar.manifest
        self.count = min(frames, self.manifest.frames)
        self.stages: dict[str, Stages] = {name: Stages() for name in (_SHARED, *runtimes)}
        self.pcm_S = noise_S(self.count / FPS)
        self.shown = list(range(self.count))
        for candidate in self.candidates.values():  # every template frame is seen once
            candidate.warm.encode_template(self.shown)

    def shared_round(self) -> None:
        """The stages that are the same whatever runs the networks."""
        stages, count, model = self.stages[_SHARED], self.count, self.model
        film = (self.manifest.frames, self.manifest.width, self.manifest.height, TEMPLATE_BYTES)
        new = TemplateVideo(model.avatar.folder / FRAMES_FILE, *film)
        stages.timed("template picture, first time", count, lambda: [new.frame(i) for i in self.shown])
        pictures = stages.timed(_PICTURE, count, lambda: [model.template.frame(i) for i in self.shown])
        affine_T23 = model.avatar.affine_T23
        stages.timed("crop of the face", count, lambda: [crop_face(pictures[i], affine_T23[i]) for i in self.shown])
        windows, gates = stages.timed(_WINDOWS, count, self._windows)
        patches = model.decode(model.encode_template(self.shown), model.encode_audio(windows, gates))
        height, width = pictures[0].shape[:2]
        plans = stages.timed(_PLAN, count, lambda: [plan_paste(affine_T23[i], height, width) for i in self.shown])
        stages.timed(_PASTE, count, lambda: [paste_patch(pictures[i], patches[i], plans[i]) for i in self.shown])
        stages.timed(_JPEG, count, lambda: [encode_jpeg(picture, JPEG_QUALITY) for picture in pictures])
        stages.timed(_H264, count, lambda: self._write(pictures))

    def runtime_round(self, name: str) -> None:
        """The networks, and the whole, on one runtime."""
        stages, count, candidate = self.stages[name], self.count, self.candidates[name]  # type: ignore[index]
        windows, gates = self._windows()
        features = candidate.warm.encode_template(self.shown)
        embeddings = stages.timed(_AUDIO, count, lambda: candidate.warm.encode_audio(windows, gates))
        stages.timed(_ENCODER, count, lambda: candidate.cold.encode_template(self.shown))
        stages.timed(_DECODER, count, lambda: candidate.warm.decode(features, embeddings))
        stages.timed("ALL to pictures, template seen", count, lambda: self._generate(candidate.warm, lambda _: None))
        stages.timed(
            "ALL to JPEG, template seen",
            count,
            lambda: self._generate(candidate.warm, lambda picture: encode_jpeg(picture, JPEG_QUALITY)),
        )
        stages.timed(_WHOLE, count, lambda: self._generate_file(candidate.warm))
        stages.timed("ALL to H.264 file, template new", count, lambda: self._generate_file(candidate.cold))

    def _windows(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        sound = HeardSound(window_samples(self.manifest.recipe["audio_features"]))
        heard = [window for piece in self._pieces() for window in sound.push(piece)] + list(sound.finish())
        assert len(heard) == self.count, (len(heard), self.count)
        return np.stack([window.pcm_S for window in heard]), np.array([window.gate for window in heard], np.float32)

    def _pieces(self) -> list[NDArray[np.float32]]:
        return [self.pcm_S[i : i + SAMPLE_RATE_HZ] for i in range(0, len(self.pcm_S), SAMPLE_RATE_HZ)]

    def _generate(self, model: LoadedAvatar, take: Callable[[NDArray[np.uint8]], object]) -> None:
        with closing(FrameGenerationService().generate(model, self._pieces())) as frames:
            for frame in frames:
                take(frame.frame_rgb_HWC)

    def _generate_file(self, model: LoadedAvatar) -> None:
        with tempfile.TemporaryDirectory() as folder:
            frames = FrameGenerationService().generate(model, self._pieces())
            write_video(Path(folder) / "x.mp4", frames, self.manifest.width, self.manifest.height, None)

    def _write(self, pictures: list[NDArray[np.uint8]]) -> None:
        size = self.manifest.width, self.manifest.height
        pcm_CS = np.zeros((1, SAMPLE_RATE_HZ // FPS), np.float32)
        with tempfile.TemporaryDirectory() as folder, Mp4Writer(Path(folder) / "x.mp4", *size, SAMPLE_RATE_HZ, 1) as to:
            for picture in pictures:
                to.write(picture, pcm_CS)

    def rows(self, peaks: Peaks) -> list[tuple[Cell, ...]]:
        """One row per stage; the share of the peak is the time that the stage needs at least over what it took."""
        folder = self.model.avatar.folder
        copied_gb = 2 * self.manifest.width * self.manifest.height * 3 / 1e9
        gmac = {_DECODER: count_gmac(folder / UNET_DECODER_FILE), _ENCODER: count_gmac(folder / UNET_ENCODER_FILE)}
        rows = []
        for runtime, stages in self.stages.items():
            peak = peaks.copy_gb_per_s if runtime == _SHARED else _peak(runtime, peaks)
            work = {_PICTURE: copied_gb} if runtime == _SHARED else {name: 2 * macs for name, macs in gmac.items()}
            rows += [self._row(runtime, name, stages, peak, work.get(name)) for name in stages.names]
            if runtime != _SHARED:
                rows.append(self._sum(runtime))
        return rows

    def _row(self, runtime: str, stage: str, stages: Stages, peak: Rate | None, work: float | None) -> tuple[Cell, ...]:
        wall_ms, cpu_ms = stages.wall_ms(stage), stages.cpu_ms(stage)
        whole = "" if runtime == _SHARED else _percent(wall_ms / stages.wall_ms(_WHOLE))
        of_wall = of_cpu = ""
        if peak is not None and work is not None:
            of_wall = _percent(1e3 * work / peak.wall / wall_ms)
            of_cpu = _percent(1e3 * work / peak.cpu / cpu_ms)
        return runtime, stage, wall_ms, cpu_ms, 1e3 / wall_ms, of_wall, of_cpu, whole

    def _sum(self, runtime: str) -> tuple[Cell, ...]:
        sources = [(self.stages[_SHARED if part in _ONLY_SHARED else runtime], part) for part in _PARTS]
        wall_ms = sum(stages.wall_ms(part) for stages, part in sources)
        cpu_ms = sum(stages.cpu_ms(part) for stages, part in sources)
        whole = _percent(wall_ms / self.stages[runtime].wall_ms(_WHOLE))
        return runtime, _SUM, wall_ms, cpu_ms, 1e3 / wall_ms, "", "", whole


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _peak(runtime: str, peaks: Peaks) -> Rate | None:
    """GFLOP/s of the precision that a runtime multiplies in; None where it is not measured."""
    if "bf16" in runtime:
        return peaks.bf16_gflops
    return None if "int8" in runtime else peaks.fp32_gflops


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    threads, chosen = threads_of(options), options.runtimes or runtimes_here()
    meter = PeakMeter(threads)
    with sized_avatars(options, options.frames) as avatars_dir:
        decoder = avatars_dir / options.name / UNET_DECODER_FILE
        runtimes = [name for name in chosen if cpu_runtime(name, threads).suits(decoder)]
        measured = PerFrame(avatars_dir, options.name, runtimes, threads, options.frames)
        for number in range(options.rounds):
            meter.sample()
            measured.shared_round()
            turn = number % len(runtimes)
            for runtime in runtimes[turn:] + runtimes[:turn]:
                measured.runtime_round(runtime)
        peaks, manifest = meter.peaks(), measured.manifest
        rows = measured.rows(peaks)
        features_mb = sum(array.nbytes for array in measured.model.encode_template([0])[0].values()) / 1e6
    columns = [
        "runtime",
        "stage",
        "wall ms/frame",
        "CPU ms/frame",
        "fps",
        "of peak, wall",
        "of peak, CPU",
        "of the whole",
    ]
    notes = [
        peaks.text(threads),
        f"the whole is '{_WHOLE}'; features take {features_mb:.2f} MB per template frame: the budget of "
        f"{FEATURES_BYTES >> 20} MiB holds {int(FEATURES_BYTES / features_mb / 1e6)} of them, others are encoded again",
    ]
    if unsuited := [name for name in chosen if name not in runtimes]:
        notes.append(f"not measured, the avatar is not packaged for it: {', '.join(unsuited)}")
    title = f"{options.name}, {manifest.width}x{manifest.height} px, {measured.count} frames, median of "
    report_all([Table(f"{title}{options.rounds} rounds, {threads} threads", columns, rows, notes)], options.json)
