"""The evaluation as `python -m evaluation` asks for it: measure, print a table, write metrics, report and videos."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from config import Models
from data_prep.dataset_328 import Dataset328, open_dataset
from evaluation.driven import Driven, evaluate_driven
from evaluation.driving_sets import DrivingSet, evaluate_set, read_driving_set, reader_of
from evaluation.held_out import evaluate_held_out, find_scorer
from evaluation.metrics import METRICS
from evaluation.networks import Speaker, speaker_of
from evaluation.report import write_metrics, write_pictures, write_report, write_side_by_side
from evaluation.sync import SyncScorer
from evaluation.tables import (
    TRUTH_METRICS,
    SetScores,
    driven_table,
    sets_text,
    table,
    terminal_table,
    viseme_metrics,
)
from evaluation.truth import Truth, load_truth
from recipe.places import at_home
from services.avatars.avatar import Avatar, open_video_avatar
from services.avatars.photo_model import load_ears
from services.container import build_services
from services.runtimes.onnx import OnnxRuntime


def evaluate(options: argparse.Namespace) -> None:
    """Measure and report, as the options say."""
    avatar = open_video_avatar(options.avatars_dir, options.name)
    dataset = open_dataset(options.dataset_dir / options.name)
    scorer = find_scorer(options.checkpoint_dir / options.name)
    truth = load_truth(options.against) if options.against else None
    out = options.out or at_home("result") / "evaluation" / options.name
    runtime = OnnxRuntime(options.device)
    speaker = speaker_of(avatar, runtime)
    evaluation = evaluate_held_out(avatar, dataset, speaker, scorer, truth, load_ears(runtime))
    columns = list(evaluation.strips)
    _print(terminal_table(table(evaluation.scores, columns, METRICS), columns))
    if truth is not None:
        metrics = (*TRUTH_METRICS, *viseme_metrics(evaluation.scores))
        _print(terminal_table(table(evaluation.scores, columns, metrics), columns))
    _print("".join(f"note: {note}\n" for note in evaluation.notes))
    driven = evaluate_drives(options, scorer, out)
    sets = evaluate_sets(options, avatar, dataset, speaker, scorer, truth, out)
    facts = describe(avatar, dataset, options)
    side_by_side = out / "side_by_side.mp4"
    write_side_by_side(side_by_side, evaluation, dataset.audio_S)
    write_pictures(out, evaluation)
    write_metrics(out / "metrics.json", evaluation, driven, facts, sets)
    write_report(out / "report.html", evaluation, driven, facts, side_by_side, sets)
    _print(f"written: {out / 'report.html'}, {out / 'metrics.json'}, {side_by_side}\n")


def evaluate_drives(options: argparse.Namespace, scorer: SyncScorer | str, out: Path) -> dict[str, Driven]:
    """Evaluate every sound of --drive, and print its table."""
    if not options.drive:
        return {}
    model = build_services(Models(avatars_dir=options.avatars_dir, device=options.device)).models.open(options.name)
    truths = options.drive_against or [None] * len(options.drive)
    driven = {}
    for sound, truth in zip(options.drive, truths, strict=True):
        one = evaluate_driven(
            model, sound, out / f"driven_{sound.stem}.mp4", scorer, load_truth(truth) if truth else None
        )
        _print(f"driven by {sound.name}\n{terminal_table(*driven_table(one))}")
        driven[sound.stem] = one
    return driven


def evaluate_sets(
    options: argparse.Namespace,
    avatar: Avatar,
    dataset: Dataset328,
    speaker: Speaker,
    scorer: SyncScorer | str,
    truth: Truth | None,
    out: Path,
) -> list[SetScores]:
    """Evaluate every folder of --sets, and print one table."""
    found = [read_driving_set(folder) for folder in options.sets]
    if not found:
        return []
    out.mkdir(parents=True, exist_ok=True)
    reader = reader_of(dataset, truth) if truth is not None else None

    def measured(one: DrivingSet) -> SetScores:
        scores = evaluate_set(one, avatar, dataset, speaker, scorer, reader, out / f"set_{one.name}.mp4")
        _print(f"measured: {one.name}\n")
        return scores

    with ThreadPoolExecutor(options.workers) as workers:  # the libraries that do the work let other threads run
        sets = list(workers.map(measured, found))
    _print(sets_text(sets))
    return sets


def describe(avatar: Avatar, dataset: Dataset328, options: argparse.Namespace) -> dict[str, Any]:
    """What was measured, for metrics.json and the report's head."""
    return {
        "name": avatar.name,
        "avatar_created": avatar.manifest.created,
        "dataset": dataset.name,
        "test_ranges": dataset.splits["test"],
        "truth": options.against.name if options.against else None,
    }


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
