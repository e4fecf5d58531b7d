"""What `python -m benchmarks.unseen_voices` measures.

Axes: T frames, S audio samples (16 kHz).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.table import Cell, report
from evaluation.faces import find_landmarks
from evaluation.truth import Truth, load_truth, opening_over_eyes_T, score_openings
from presenter import assets
from presenter.animation import perform
from presenter.driving_sets import SETS
from presenter.ground_truth import ground_truth, write_ground_truth
from presenter.head import load_person
from presenter.heldout import driving_sound, timeline_of
from presenter.lighting import Camera
from presenter.look import Look
from presenter.looks import LOOKS
from presenter.recording import Settings
from presenter.timeline import Timeline
from recipe.errors import BadNameError
from services.frame_generation_service import FrameGenerationService
from services.model_service import ModelService
from services.runtimes.choice import choose_runtime
from services.speech.lips import SpokenLips

_MEMORY: Final = 512 << 20
_COLUMNS: Final = ("truth_opening_r", "truth_opening_ccc", "truth_closure_percent")


def run(options: argparse.Namespace) -> None:
    """Print a row per set.

    Raises:
        BadNameError: there is no such set.
        UserError: the avatar cannot be opened.
    """
    if unknown := sorted(set(options.sets) - set(SETS)):
        raise BadNameError(f"no set {', '.join(unknown)}; there are {', '.join(SETS)}")
    runtime = choose_runtime(options.runtime, "cpu", options.threads)
    model = ModelService(options.avatars_dir, runtime, _MEMORY, _MEMORY, _MEMORY).open(options.name)
    frames = FrameGenerationService()
    rows: list[list[Cell]] = []
    for name in options.sets:
        timeline = timeline_of(name, options.seed, options.seconds)
        truth = _truth(timeline, options.seed, LOOKS[options.person])
        sound_S = driving_sound(name, timeline, options.seed)
        lips = _told(timeline) if options.told else None
        drawn = (frame.frame_rgb_HWC for frame in frames.generate(model, [sound_S], lips=lips))
        opening_T = opening_over_eyes_T(find_landmarks(drawn))
        shown_T = np.arange(min(len(opening_T), len(truth)))
        scores = score_openings(opening_T[shown_T], truth, shown_T, np.zeros(len(shown_T), np.int64))
        numbers = [scores[column].number for column in _COLUMNS]
        rows.append([name, *("–" if number is None else number for number in numbers)])
    report(
        f"{options.name}, {options.seconds:g} s of each voice{', told' * options.told}, against the true opening",
        ["set", "opening r", "CCC", "p, b, m that close %"],
        rows,
        options.json,
    )


def _told(timeline: Timeline) -> SpokenLips:
    lips = SpokenLips()
    lips.tell(timeline.phones, timeline.alphabet, timeline.duration_s)
    return lips


def _truth(timeline: Timeline, seed: int, look: Look) -> Truth:
    person = load_person(assets.data_folder(), look)
    fields = ground_truth(person, perform(person, timeline, seed), timeline, Camera(Settings(seed).size_px))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ground_truth.npz"
        write_ground_truth(path, fields | {"voice": "", "seed": seed})
        return load_truth(path)
