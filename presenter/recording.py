"""One recording: sound, ground truth and chunks of frames in a work folder, joined to a video when all are there.

The work folder lies beside the video, so a stopped run goes on where it was, and several machines may each render a
range of frames. Frames belong to fixed chunks of one second: any order of ranges gives the same file.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from presenter import assets, video
from presenter.animation import Performance, perform
from presenter.ground_truth import ground_truth, write_ground_truth
from presenter.head import Person, load_person
from presenter.lighting import Camera
from presenter.looks import LOOKS, WOMAN
from presenter.renderer import Renderer
from presenter.timeline import FPS, Timeline

CHUNK_FRAMES = FPS


class OtherRecordingError(RuntimeError):
    """The work folder belongs to a recording with other settings."""


@dataclass(frozen=True)
class Settings:
    """What, besides the sound, decides about every pixel."""

    seed: int
    size_px: int = 512
    samples: int = 4  # multi-samples of the renderer
    voice: str = "flite:slt"
    person: str = WOMAN.name


class Recording:
    """Prepares, renders and joins one recording.

    Args:
        out: the video to make; `OUT.work/`, `OUT.wav` and `ground_truth.npz` come to lie beside it.
    """

    def __init__(self, out: Path, timeline: Timeline, settings: Settings, truth_name: str = "ground_truth.npz") -> None:
        self.out, self.timeline, self.settings = out, timeline, settings
        self.truth, self.wav = out.parent / truth_name, out.with_suffix(".wav")
        self.work = out.with_suffix(".work")
        self.person = load_person(assets.data_folder(), LOOKS[settings.person])
        self.performance = perform(self.person, timeline, settings.seed)

    def _fingerprint(self) -> str:
        digest = hashlib.sha256(self.timeline.pcm_S.tobytes())
        for name in ("weights_TU", "head_T3", "shift_T3", "gaze_T2"):
            digest.update(getattr(self.performance, name).astype("f4").tobytes())
        folder = Path(__file__).parent
        for path in sorted([*folder.glob("shaders/*"), *folder.glob("*.py")]):
            if path.name not in ("__main__.py", "recording.py", "ground_truth.py", "keypoints.py", "heldout.py"):
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def prepare(self) -> None:
        """Write sound and ground truth, and claim the work folder.

        Raises:
            OtherRecordingError: the work folder was begun with other settings, text or code.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        plan = {**asdict(self.settings), "frames": self.timeline.frames, "fingerprint": self._fingerprint()}
        path = self.work / "plan.json"
        if path.is_file():
            found = json.loads(path.read_text())
            differing = [name for name in plan if found.get(name) != plan[name]]
            if differing:
                raise OtherRecordingError(
                    f"{self.work} was begun with another {', '.join(differing)}; delete that folder to begin anew, or "
                    f"choose another --out"
                )
        path.write_text(json.dumps(plan, indent=1))
        video.write_wav(self.wav, self.timeline.pcm_S)
        fields = ground_truth(self.person, self.performance, self.timeline, Camera(self.settings.size_px))
        write_ground_truth(self.truth, fields | {"voice": self.settings.voice, "seed": self.settings.seed})

    def chunk_path(self, number: int) -> Path:
        """Where a chunk of frames is kept."""
        return self.work / f"frames_{number * CHUNK_FRAMES:06d}.mp4"

    def missing(self, first: int = 0, stop: int | None = None) -> list[int]:
        """Chunks that touch frames [first, stop) and are not rendered yet."""
        stop = self.timeline.frames if stop is None else min(stop, self.timeline.frames)
        touched = range(first // CHUNK_FRAMES, -(-stop // CHUNK_FRAMES))
        return [number for number in touched if not self.chunk_path(number).is_file()]

    def render(self, first: int = 0, stop: int | None = None, workers: int = 1, progress: bool = True) -> int:
        """Render the missing chunks of a range of frames. Returns how many frames were rendered."""
        jobs = [(number, str(self.chunk_path(number))) for number in self.missing(first, stop)]
        frames = sum(len(frames_of_chunk(number, self.timeline.frames)) for number, _ in jobs)
        workers = min(workers, len(jobs))
        with tqdm(total=frames, unit="frame", disable=not progress, desc=self.out.name) as bar:
            for done in self._run(jobs, workers):
                bar.update(done)
        return frames

    def _run(self, jobs: list[tuple[int, str]], workers: int) -> Iterator[int]:
        if workers <= 1:
            worker = _Worker(self.person, self.performance, self.settings) if jobs else None
            for job in jobs:
                assert worker is not None
                yield worker.render_chunk(job)
            return
        # Build the cached geometry once before the workers race for it.
        Renderer(self.person, assets.data_folder(), 64, samples=0)
        spawn = multiprocessing.get_context("spawn")
        arguments = (self.performance, self.settings)
        with ProcessPoolExecutor(workers, spawn, _start_worker, arguments) as pool:
            rendering = [pool.submit(_render_in_worker, job) for job in jobs]
            try:
                for done in as_completed(rendering):
                    yield done.result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def join(self) -> bool:
        """Make the video when every chunk is there. Returns whether it was made."""
        if self.missing():
            return False
        count = -(-self.timeline.frames // CHUNK_FRAMES)
        video.join_chunks([self.chunk_path(number) for number in range(count)], self.wav, self.out)
        return True


def frames_of_chunk(number: int, total: int) -> range:
    """The frames that a chunk holds."""
    return range(number * CHUNK_FRAMES, min((number + 1) * CHUNK_FRAMES, total))


class _Worker:
    """One renderer and the performance it draws."""

    def __init__(self, person: Person, performance: Performance, settings: Settings) -> None:
        self._performance, self._size_px = performance, settings.size_px
        self._renderer = Renderer(person, assets.data_folder(), settings.size_px, settings.samples)

    def render_chunk(self, job: tuple[int, str]) -> int:
        number, path = job
        frames = frames_of_chunk(number, len(self._performance.weights_TU))
        pictures = (self._renderer.render(self._performance.pose(frame)) for frame in frames)
        video.write_chunk(Path(path), pictures, self._size_px)
        return len(frames)


_worker: _Worker | None = None


def _start_worker(performance: Performance, settings: Settings) -> None:
    """Runs once in each worker process; Mesa's software renderer then uses one core a process."""
    global _worker
    os.environ.setdefault("LP_NUM_THREADS", "1")
    _worker = _Worker(load_person(assets.data_folder(), LOOKS[settings.person]), performance, settings)


def _render_in_worker(job: tuple[int, str]) -> int:
    assert _worker is not None
    return _worker.render_chunk(job)
