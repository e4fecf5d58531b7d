"""What `python -m benchmarks.photo_bars` measures.

Axes: T frames, U mouth units, B batch, H W C picture (RGB, uint8).
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.bad_photos import BAD_PHOTOS
from benchmarks.lateness import p95
from benchmarks.measures.photo_frame import row_of
from benchmarks.measures.service import Server, text_of
from benchmarks.table import Cell, Table
from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from data_prep.photo_avatar import PhotoRequest, make_photo_avatar
from evaluation.faces import find_landmarks
from evaluation.lips import opening_T, pearson
from recipe.articulation.coarticulation import segments_of
from recipe.articulation.mouth_units import MOUTH_UNITS, lips_meet, opening_mm
from recipe.errors import UserError
from recipe.places import home
from services.avatars.avatar import Avatar, PhotoAvatar, open_avatar
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.choice import choose_runtime
from services.runtimes.processor import this_processor
from services.speech.engines import build_speech
from services.speech.feed import SpeechFeed
from services.types import AudioChunk, AvatarModel, Patch, ToldLips

TEXT: Final = (
    "Bob may buy a big map. People mind the baby, and my mother put five apples in her bag. We hope that they move "
    "very far away before the summer; maybe some of them come back."
)
CLOSED_MM: Final = 1.0  # lips that far apart look closed, as the ears are judged
EYES_MM: Final = 87.0  # between the outer corners, of an average face
SIZE_PX: Final = 512
_ROUNDS: Final = 3
_WORDS: Final = 60  # of what every listener hears


def run(options: argparse.Namespace) -> None:
    """Measure everything and print it."""
    sys.stdout.write(f"{this_processor()}, load {os.getloadavg()[0]:.1f} at the start\n\n")
    with tempfile.TemporaryDirectory() as folder:
        avatars_dir = Path(folder) / "avatars"
        prepared = [prepare_photo(photo, SIZE_PX, Stopwatch()) for photo in options.photos]
        rows: list[Sequence[Cell]] = [_making_row(options.photos[0], avatars_dir)]
        for number, photo in enumerate(options.photos):
            make_photo_avatar(PhotoRequest(f"p{number}", photo, avatars_dir, SIZE_PX, synthetic=True), Stopwatch())
        rows += _frame_rows(prepared[0], options.frames)
        rows += lip_rows(avatars_dir, [f"p{number}" for number in range(len(prepared))], options.voices)
        if options.streams:
            rows += _served_rows(avatars_dir, options.streams, Path(folder))
        sys.stdout.write(Table("", ["what", "measured", "bar"], rows).markdown() + "\n")
        named = {photo.stem: one for photo, one in zip(options.photos, prepared, strict=True)}
        columns = ["photo", "refused", "in the words, the first", "in other words", "left behind"]
        bad = Table("", columns, list(_bad_rows(named, Path(folder))))
        sys.stdout.write(bad.markdown())


def _making_row(photo: Path, avatars_dir: Path) -> Sequence[Cell]:
    """The whole program, imports included."""
    command = [sys.executable, "photo_328.py", "timed", str(photo.absolute()), "--synthetic", "--size", str(SIZE_PX)]
    took_s = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        subprocess.run([*command, "--avatars_dir", str(avatars_dir)], cwd=home(), check=True, capture_output=True)
        took_s.append(time.perf_counter() - started)
    return "photo to avatar, the whole program, median", f"{statistics.median(took_s):.1f} s", "<= 5 s"


def _frame_rows(photo: PreparedPhoto, frames: int) -> Iterator[Sequence[Cell]]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        for size, bar in ((512, "<= 8 ms"), (720, "<= 12 ms")):
            *_, cpu_ms, _, wall_ms = row_of(photo, size, frames)
            yield f"a frame at {size} px, one thread, median", f"{cpu_ms:.1f} ms of CPU, {wall_ms:.1f} ms", bar
    finally:
        cv2.setNumThreads(before)


class _Told:
    """An avatar that notes what it is told; implements `services.types.AvatarModel`."""

    def __init__(self, model: AvatarModel) -> None:
        self._model = model
        self.avatar: Avatar | PhotoAvatar = model.avatar
        self.batch_frames, self.first_batch_frames = model.batch_frames, model.first_batch_frames
        self.keeps_template, self.provider = model.keeps_template, model.provider
        self.units: list[NDArray[np.float32]] = []

    def encode_audio(
        self, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32], lips: ToldLips = ()
    ) -> NDArray[np.float32]:
        told_BD = self._model.encode_audio(pcm_BS, gate_B, lips)
        self.units.extend(told_BD[:, : len(MOUTH_UNITS)])
        return told_BD

    def draw(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[NDArray[np.uint8]]:
        return self._model.draw(indices, embedding_BD, held)

    def draw_patches(
        self, indices: Sequence[int], embedding_BD: NDArray[np.float32], held: Sequence[bool] = ()
    ) -> Iterator[Patch]:
        return self._model.draw_patches(indices, embedding_BD, held)

    def cut_out(self, index: int, picture_HWC: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return self._model.cut_out(index, picture_HWC)


def lip_rows(avatars_dir: Path, avatars: Sequence[str], voices: Sequence[str]) -> Iterator[Sequence[Cell]]:
    """Told units against the lips that are found in the drawn frames."""
    models = ModelService(avatars_dir, choose_runtime("auto", "cpu", 0), 1 << 30, 1, 1)
    speech = build_speech()
    for number, name in enumerate(avatars, start=1):
        for voice in voices:
            told = _Told(models.open(name))
            chunks = list(speech.synthesize(TEXT, voice))
            feed = SpeechFeed(chunks)
            feed.start()
            frames = FrameGenerationService().generate(told, feed, 0, feed.lips)
            drawn_mm = EYES_MM * opening_T(find_landmarks(frame.frame_rgb_HWC for frame in frames))
            r = pearson(drawn_mm, opening_mm(np.stack(told.units))).number
            closed = [drawn_mm[span].min() < CLOSED_MM for span in _meetings(chunks, len(drawn_mm))]
            found = f"r {r:.3f}; {sum(closed)} of {len(closed)} closed"
            yield f"lips told by {voice} and drawn on photo {number}", found, "r >= .98; >= 98 % closed"


def _meetings(chunks: Sequence[AudioChunk], frames: int) -> list[NDArray[np.int64]]:
    """The frames of every p, b and m."""
    phones = [phone for chunk in chunks for phone in chunk.phones or ()]
    segments = [segment for segment in segments_of(phones, chunks[0].alphabet) if segment.shape == "PP"]
    return [np.flatnonzero(lips_meet([segment], frames)) for segment in segments]


def _served_rows(avatars_dir: Path, streams: Sequence[int], folder: Path) -> Iterator[Sequence[Cell]]:
    settings = {"MODELS__DEVICE": "cpu", "LIMITS__SESSIONS": str(max(streams))}
    with Server(avatars_dir, "p0", folder, settings) as server:
        server.say(text_of(10, 9000))
        first_ms = [1e3 * (said.came_s[0] - said.asked_s) for said in (server.say(text_of(10, k)) for k in (1, 50, 90))]
        yield "first frame of a new text, avatar warm, median", f"{statistics.median(first_ms):.0f} ms", "<= 200 ms"
        frames, kept = open_avatar(avatars_dir, "p0").manifest.frames, "none"
        for count in sorted(streams):
            listeners, _ = server.side_by_side(count, _WORDS, frames)
            slowest, late_ms = min(one.fps for one in listeners), max(p95(one.late_ms) for one in listeners)
            if slowest < 25:
                kept += f"; {count} get {slowest:.0f} fps"
                break
            kept = f"{count} (the slowest {slowest:.0f} fps, 95 % of its frames at most {late_ms:.0f} ms late)"
        yield f"sessions at 25 fps, {SIZE_PX} px", kept, ">= 4"


def _bad_rows(photos: Mapping[str, PreparedPhoto], folder: Path) -> Iterator[Sequence[Cell]]:
    """Bad files are made of the first photo, what is wrong with a face of all."""
    for number, (kind, bad) in enumerate(BAD_PHOTOS.items()):
        answers, taken, left = [], [], set()
        for name, photo in list(photos.items())[: None if bad.of_the_face else 1]:
            here = folder / f"bad{number}-{name}"
            here.mkdir()
            try:
                path = bad.made(here, photo.rgb_HWC, photo.found)
                make_photo_avatar(PhotoRequest("bad", path, here / "avatars", SIZE_PX, synthetic=True), Stopwatch())
                taken.append(name)
            except UserError as error:
                answers.append(str(error).replace(f"{here}/", ""))
            left |= {path.name for path in here.glob("avatars/*") if path.name != "bad" or name not in taken}
        of = len(answers) + len(taken)
        wrong = [answer for answer in answers if bad.said and not re.search(bad.said, answer)]
        yield (
            kind,
            f"{len(answers)} of {of}" + (f"; taken: {', '.join(taken)}" if bad.said and taken else ""),
            answers[0] if answers else "",
            "; ".join(sorted(set(wrong))),
            ", ".join(sorted(left)) or "nothing",
        )
