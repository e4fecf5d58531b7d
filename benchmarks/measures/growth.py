"""What `python -m benchmarks.growth` measures; why and how is said there."""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import configargparse

from benchmarks.lateness import Listener, p95
from benchmarks.material import (
    FEATURES_BYTES,
    JPEG_QUALITY,
    MIB,
    TEMPLATE_BYTES,
    cpu_runtime,
    link_or_copy,
    model_service,
    noise_pieces,
    sized_avatars,
    threads_of,
)
from benchmarks.table import Cell, Table, report_all
from recipe.recipe_328 import FPS
from services.avatars.catalogue import AvatarCatalogue
from services.avatars.loaded import LoadedAvatar
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.memory import share_one_arena
from services.streaming.jpeg import encode_jpeg
from services.streaming.video_writer import write_video
from services.types import VideoFrame

_LOOK_EVERY: Final = FPS  # at the memory, in frames
_KEPT: Final = 2  # avatars that the budget of the LRU table holds


def listen(model: LoadedAvatar, frames: int, listener: Listener, start: threading.Barrier, start_frame: int) -> None:
    """One session: sound to JPEG, as fast as it goes."""
    start.wait()
    listener.asked_s = time.perf_counter()
    with closing(FrameGenerationService().generate(model, noise_pieces(frames), start_frame)) as pictures:
        for picture in pictures:
            encode_jpeg(picture.frame_rgb_HWC, JPEG_QUALITY)
            listener.came_s.append(time.perf_counter())


def sessions_table(model: LoadedAvatar, counts: list[int], seconds: float) -> Table:
    """Sessions of one avatar side by side, each at another place of the template."""
    rows: list[tuple[Cell, ...]] = []
    frames = max(1, round(seconds * FPS))
    for count in counts:
        listeners = [Listener() for _ in range(count)]
        start = threading.Barrier(count)
        places = [model.avatar.manifest.frames * number // count for number in range(count)]
        threads = [
            threading.Thread(target=listen, args=(model, frames, listener, start, place))
            for listener, place in zip(listeners, places, strict=True)
        ]
        cpu, wall = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        made = sum(len(listener.came_s) for listener in listeners)
        assert made == count * frames, f"{made} frames came of {count * frames}"
        fps = [listener.fps for listener in listeners]
        late_ms = [ms for listener in listeners for ms in listener.late_ms]
        first_ms = max(listener.came_s[0] - listener.asked_s for listener in listeners) * 1e3
        rows.append(
            (count, made, min(fps), max(fps), made / wall_s, 1e3 * cpu_s / made, first_ms, p95(late_ms), max(late_ms))
        )
    columns = ["sessions", "frames", "slowest fps", "fastest fps", "all fps", "CPU ms/frame", "last first frame ms"]
    columns += ["late p95 ms", "late most ms"]
    note = "as fast as they go, to JPEG; lateness against a 40 ms clock that starts at a session's first frame"
    return Table("sessions side by side in one process", columns, rows, [note])


def lengths_table(model: LoadedAvatar, lengths_s: list[float]) -> Table:
    """Ever longer sound to a file: the time per frame and the memory must stay."""
    rows: list[tuple[Cell, ...]] = []
    manifest = model.avatar.manifest
    for seconds in lengths_s:
        watch = _MemoryWatch()
        wall, cpu = time.perf_counter(), time.process_time()
        count = max(1, round(seconds * FPS))
        with tempfile.TemporaryDirectory() as folder:
            frames = watch.over(FrameGenerationService().generate(model, noise_pieces(count)))
            made = write_video(Path(folder) / "x.mp4", frames, manifest.width, manifest.height, None)
        wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
        assert made == count, f"{made} frames were written of {count}"
        ms = 1e3 * wall_s / made
        first_ms = float(rows[0][3]) if rows else ms
        rows.append(
            (seconds, made, wall_s, ms, 1e3 * cpu_s / made, wall_s * FPS / made, ms / first_ms, watch.first, watch.most)
        )
    columns = ["sound s", "frames", "took s", "ms/frame", "CPU ms/frame", "RTF", "against the first", "MB after 1 s"]
    notes = ["to an H.264 file; every template frame was seen before, as far as the budgets hold them"]
    return Table("longer sound", [*columns, "MB at most"], rows, notes)


class _MemoryWatch:
    """Memory of this process while frames pass: after a second of them, and at most."""

    def __init__(self) -> None:
        self.first = self.most = 0.0

    def over(self, frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for count, frame in enumerate(frames):
            yield frame
            if count % _LOOK_EVERY == 0 or not self.first:
                self.most = max(self.most, resident_mb())
            if count <= _LOOK_EVERY:
                self.first = self.most
        self.most = max(self.most, resident_mb())


def resident_mb() -> float:
    """Memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def avatars_table(avatars_dir: Path, options: configargparse.Namespace, counts: list[int]) -> Table:
    """More avatars on disk: what a server does at its start, and what opening one costs."""
    rows: list[tuple[Cell, ...]] = []
    source = avatars_dir / options.name
    for count in counts:
        # Beside the avatar, for hard links work on one disk only; a leading dot keeps it out of every list.
        with tempfile.TemporaryDirectory(prefix=".growth-", dir=avatars_dir) as folder:
            names = _copies(source, Path(folder), count)
            catalogue = AvatarCatalogue(Path(folder))
            first_ms, again_ms = _ms(catalogue.refresh), _ms(catalogue.refresh)
            usable = sum(entry.problem is None for entry in catalogue.known())
            assert usable == count, f"{usable} of {count} copies can be used"
            rows.append((count, first_ms, again_ms, first_ms / count, *_open_all(Path(folder), names, options)))
    columns = ["avatars", "first list ms", "next list ms", "first list ms each", "open, miss ms", "open, hit ms"]
    note = f"misses: median of the first opens; the budget holds {_KEPT} avatars; copies are hard links of one avatar"
    return Table("avatars on disk", [*columns, "opened", "still loaded"], rows, [note])


def _copies(source: Path, folder: Path, count: int) -> list[str]:
    names = [f"copy{number:03}" for number in range(count)]
    for name in names:
        (folder / name).mkdir()
        for path in source.iterdir():
            if path.is_file():
                link_or_copy(path, folder / name / path.name)
    return names


def _open_all(folder: Path, names: list[str], options: configargparse.Namespace) -> tuple[float, float, int, int]:
    runtime = cpu_runtime(options.runtime, threads_of(options))
    names = names[: options.opens]
    loaded_bytes = model_service(folder, runtime).open_trained(names[0]).memory_bytes * _KEPT
    models = ModelService(folder, runtime, loaded_bytes, FEATURES_BYTES, TEMPLATE_BYTES)
    misses_ms, hits_ms = [], []
    opened: dict[str, LoadedAvatar] = {}
    for name in names:
        started = time.perf_counter()
        opened[name] = models.open_trained(name)
        misses_ms.append((time.perf_counter() - started) * 1e3)
        hits_ms.append(_ms(lambda name=name: models.open_trained(name)))
    kept = 0
    for name in reversed(names):  # the last ones first: what is loaded again drops only what was looked at
        if models.open_trained(name) is not opened[name]:
            break
        kept += 1
    return statistics.median(misses_ms), statistics.median(hits_ms), len(names), kept


def _ms(work: object) -> float:
    assert callable(work)
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1e3


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    share_one_arena()  # as the programs do
    tables = []
    with sized_avatars(options) as avatars_dir:
        runtime = cpu_runtime(options.runtime, threads_of(options))
        model = model_service(avatars_dir, runtime).open_trained(options.name)
        manifest = model.avatar.manifest
        for index in range(manifest.frames):  # so that what is remembered no longer grows
            model.encode_template([index])
        lengths_s = [*options.seconds, *([3600.0] if options.long else [])]
        if options.sessions:
            tables.append(sessions_table(model, options.sessions, options.session_s))
        if lengths_s:
            tables.append(lengths_table(model, lengths_s))
        provider = model.provider
        del model
        if options.avatars:
            tables.append(avatars_table(avatars_dir, options, options.avatars))
    heading = f"{options.name}, {manifest.width}x{manifest.height} px, {threads_of(options)} threads, {provider}"
    budget = (
        f"{manifest.frames} template frames; budgets {FEATURES_BYTES // MIB} MiB features, {TEMPLATE_BYTES // MIB} MiB "
        "pictures"
    )
    head = tables[0]
    tables[0] = Table(f"{heading}: {head.title}", head.columns, head.rows, [*head.notes, budget])
    report_all(tables, options.json)
