"""What `python -m benchmarks.first_frame` measures; why and how is said there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import configargparse
import numpy as np

from benchmarks.material import JPEG_QUALITY, cpu_runtime, model_service, sized_avatars, threads_of
from benchmarks.measures.service import Server
from benchmarks.stages import Stages
from benchmarks.table import Cell, Table, report_all
from recipe.paste import paste_patch, plan_paste
from recipe.recipe_328 import window_samples
from services.avatars.loaded import LoadedAvatar
from services.avatars.template import TemplateWalk
from services.frame_generation_service import FrameGenerationService, HeardSound, SoundWindow
from services.speech.engines import build_speech
from services.speech.feed import SpeechFeed
from services.streaming.events import Frame
from services.streaming.ndjson import encode_ndjson
from services.streaming.session import SessionRequest, run_session
from services.types import TTSService

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_SPEECH: Final = "speech: first chunk of the first sentence"
_WHOLE: Final = "the session itself, to its first line"
_SUM: Final = "sum of the stages"
_AFTER: Final = "of it after the first sound"
_HEAVIEST: Final = 10
_IMPORT_TIME: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| ( *)(\S+)")


def first_frame_round(tts: TTSService, model: LoadedAvatar, text: str, new_template: bool, stages: Stages) -> None:
    """The first frame, one stage after the other, by the same functions as the session's."""
    feed = SpeechFeed(tts.synthesize(text))
    stages.timed(_SPEECH, 1, feed.start)
    sound = HeardSound(window_samples(model.avatar.manifest.recipe["audio_features"]))
    with closing(iter(feed)) as pieces:
        batch = stages.timed("sound to 16 kHz, windows and gate", 1, lambda: _first_windows(pieces, sound, model))
        pcm_BS = np.stack([window.pcm_S for window in batch])
        gate_B = np.array([window.gate for window in batch], np.float32)
        embedding_BD = stages.timed("audio encoder", 1, lambda: model.encode_audio(pcm_BS, gate_B))
        shown = TemplateWalk.start(model.avatar.motion_T).take(len(batch))
        kind = "new" if new_template else "seen"
        features = stages.timed(f"template encoder, {kind}", 1, lambda: model.encode_template(shown))
        patches = stages.timed("decoder", 1, lambda: model.decode(features, embedding_BD))
        picture_HWC = stages.timed("template picture", 1, lambda: model.template.frame(shown[0]))
        plan = plan_paste(model.avatar.affine_T23[shown[0]], *picture_HWC.shape[:2])
        stages.timed("paste", 1, lambda: paste_patch(picture_HWC, patches[0], plan))
        frame = Frame(0, shown[0], picture_HWC, feed.native_samples(0))
        stages.timed("JPEG and line", 1, lambda: next(encode_ndjson((event for event in [frame]), JPEG_QUALITY)))


def _first_windows(pieces: object, sound: HeardSound, model: LoadedAvatar) -> list[SoundWindow]:
    """What the model computes first: as many frames at a time as it likes, if they have been heard."""
    for piece in pieces:  # type: ignore[attr-defined]
        batch = [window for _, window in zip(range(model.first_batch_frames), sound.push(piece), strict=False)]
        if batch:
            return batch
    return [window for _, window in zip(range(model.first_batch_frames), sound.finish(), strict=False)]


def whole_round(tts: TTSService, model: LoadedAvatar, text: str, stages: Stages) -> None:
    """The same through the session's own code."""
    request = SessionRequest("first-frame", lambda: model, lambda: SpeechFeed(tts.synthesize(text)))

    def until_first_frame() -> None:
        with closing(encode_ndjson(run_session(FrameGenerationService(), request), JPEG_QUALITY)) as lines:
            for line in lines:
                if line.startswith(b'{"type":"frame"'):
                    return

    stages.timed(_WHOLE, 1, until_first_frame)


def warm_table(avatars_dir: Path, options: configargparse.Namespace) -> Table:
    """Median of some first frames: of template frames that were seen, and of new ones."""
    runtime = cpu_runtime(options.runtime, threads_of(options))
    # A budget of one byte keeps the newest frame only, so the first two are always new.
    models = {
        "seen": model_service(avatars_dir, runtime).open_trained(options.name),
        "new": model_service(avatars_dir, runtime, features_bytes=1).open_trained(options.name),
    }
    tts = build_speech()
    tts.warm_up()
    stages = {kind: Stages() for kind in models}
    for number in range(options.rounds + 1):  # the first round warms up
        for kind, model in models.items():
            kept = stages[kind] if number else Stages()
            model.encode_template([model.avatar.manifest.frames - 1])
            first_frame_round(tts, model, options.text, kind == "new", kept)
            model.encode_template([model.avatar.manifest.frames - 1])
            whole_round(tts, model, options.text, kept)
    rows: list[tuple[Cell, ...]] = []
    for kind, measured in stages.items():
        parts = [name for name in measured.names if name != _WHOLE]
        rows += [(kind, name, measured.wall_ms(name), measured.cpu_ms(name)) for name in parts]
        for label, names in ((_SUM, parts), (_AFTER, [name for name in parts if name != _SPEECH])):
            rows.append((kind, label, sum(map(measured.wall_ms, names)), sum(map(measured.cpu_ms, names))))
        rows.append((kind, _WHOLE, measured.wall_ms(_WHOLE), measured.cpu_ms(_WHOLE)))
    manifest = models["seen"].avatar.manifest
    title = (
        f"first frame of {options.name}, {manifest.width}x{manifest.height} px, {threads_of(options)} threads, "
        f"{models['seen'].provider}, {tts.status().default_voice}, median of {options.rounds}"
    )
    note = (
        f"the networks compute {models['seen'].first_batch_frames} frames at first; only the first is pasted and coded"
    )
    return Table(title, ["template", "stage", "wall ms", "CPU ms"], rows, [note])


def _environment(avatars_dir: Path, name: str) -> dict[str, str]:
    settings = {"AVATAR328_MODELS__AVATARS_DIR": str(avatars_dir.resolve()), "AVATAR328_MODELS__DEFAULT_AVATAR": name}
    return {**os.environ, **settings, "PYTHONPATH": str(_ROOT)}


def _start_command(avatars_dir: Path, options: configargparse.Namespace, *flags: str) -> list[str]:
    what = [str(avatars_dir.resolve()), options.name, options.runtime, str(threads_of(options))]
    return [sys.executable, *flags, "-m", "benchmarks.cold_start", *what]


def cold_table(avatars_dir: Path, options: configargparse.Namespace) -> Table:
    """Step by step in one process, then the server as it is in another."""
    stages = Stages()
    for _ in range(options.starts):
        started_s = time.perf_counter()  # the same clock in every process
        ran = subprocess.run(
            _start_command(avatars_dir, options),
            env=_environment(avatars_dir, options.name),
            cwd=_ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        before_s = started_s
        for stage, ended_s in json.loads(ran.stdout.splitlines()[-1]).items():
            stages.add(stage, (ended_s - before_s) * 1e3, 0.0)
            before_s = ended_s
        stages.add("until all is ready, step by step", (before_s - started_s) * 1e3, 0.0)
    if options.server:
        for _ in range(options.starts):
            cpu = {"MODELS__DEVICE": "cpu"}
            with TemporaryDirectory() as folder, Server(avatars_dir, options.name, Path(folder), cpu) as server:
                stages.add("api.py: page answers", server.alive_s * 1e3, 0.0)
                stages.add("api.py: ready", server.ready_s * 1e3, 0.0)
    rows = [(name, stages.wall_ms(name)) for name in stages.names]
    note = "files were read before, so the disk's cache is warm"
    return Table(f"cold start, median of {options.starts}", ["stage", "ms"], rows, [note])


def imports_table(avatars_dir: Path, options: configargparse.Namespace) -> Table:
    """Every module's own time, added up by the package it belongs to."""
    ran = subprocess.run(
        _start_command(avatars_dir, options, "-X", "importtime"),
        env=_environment(avatars_dir, options.name),
        cwd=_ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    heaviest, total_ms, modules = summarise_imports(ran.stderr)
    rows = [(package, ms, count, f"{100 * ms / total_ms:.0f} %") for package, ms, count in heaviest]
    rows.append(("all imports", total_ms, modules, "100 %"))
    note = "python -X importtime of the same start, which slows imports; own time, so nothing is counted twice"
    return Table("heaviest imports", ["package", "ms", "modules", "of all"], rows, [note])


def summarise_imports(log: str) -> tuple[list[tuple[str, float, int]], float, int]:
    """The heaviest packages (name, ms, modules), the time of all imports in ms, and their number."""
    own_us: defaultdict[str, int] = defaultdict(int)
    modules: defaultdict[str, int] = defaultdict(int)
    for match in _IMPORT_TIME.finditer(log):
        package = match[4].split(".")[0]
        own_us[package] += int(match[1])
        modules[package] += 1
    order = sorted(own_us, key=own_us.__getitem__, reverse=True)
    heaviest = [(package, own_us[package] / 1e3, modules[package]) for package in order[:_HEAVIEST]]
    return heaviest, sum(own_us.values()) / 1e3, sum(modules.values())


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    with sized_avatars(options) as avatars_dir:
        tables = [warm_table(avatars_dir, options)]
        if options.starts:
            tables += [cold_table(avatars_dir, options), imports_table(avatars_dir, options)]
    report_all(tables, options.json)
