"""Tables of scores as text: which metrics, in which order, how each is printed, and why one is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evaluation.driven import Driven
from evaluation.metrics import CLOSED, GENERATED, METRICS, REAL, SHUFFLED, MetricInfo
from evaluation.value import Value

_DASH = "–"

TRUTH_METRICS = (
    MetricInfo("truth_lmd_percent", "true key points: LMD, % of eyes", 2, "0", "detected against true lips and chin"),
    MetricInfo("truth_opening_r", "true opening: Pearson r", 3, "real", "detected against true opening"),
    MetricInfo("truth_opening_ccc", "true opening: CCC", 3, "real", "the same, size and rest level included"),
    MetricInfo("truth_opening_lag_frames", "true opening: lag, frames", 0, "0", "positive is late"),
    MetricInfo("truth_closure_percent", "p, b, m that close, %", 1, "real", "lips within 2 mm of each other"),
)
_OF_SETS = ("psnr_mouth_db", "ssim_mouth", "sharpness_ratio", "silence_move_percent")
_SYNC_OF_SETS = ("sync_offset_frames", "sync_confidence")
SET_METRICS = (
    *(info for info in METRICS if info.key in (*_OF_SETS, *_SYNC_OF_SETS)),
    *TRUTH_METRICS,
    MetricInfo("truth_viseme_percent", "visemes read right, %", 1, "real", "mean over visemes of frames read right"),
)
SET_TAKES = (GENERATED, REAL, SHUFFLED)
DRIVEN_METRICS = (
    MetricInfo("opening_loudness_r", "opening with loudness: r", 3, "higher", "does the mouth open when it is loud"),
    MetricInfo("silence_move_percent", "moves in silence, % of frames", 1, "0", "silent frames off the rest level"),
    MetricInfo("silence_opening_percent", "opening in silence, % of eyes", 2, "lower", "a mouth that rests open"),
    MetricInfo("leak_r", "leak: r with the template", 3, "0", "the template's own mouth shines through"),
    MetricInfo("sync_offset_frames", "sync: offset, frames", 0, "0", "where the scoring SyncNet fits best"),
    MetricInfo("sync_confidence", "sync: confidence", 3, "higher", "how clearly it fits there"),
    MetricInfo("shuffled_sync_confidence", "sync: confidence, sound turned round", 3, "lower", "what luck scores"),
    *(replace(info, aim="truth") for info in TRUTH_METRICS[1:]),
)


@dataclass(frozen=True)
class Row:
    """One line of a table: a metric and its values, as text, with the reasons for missing ones."""

    info: MetricInfo
    cells: list[str]
    reasons: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SetScores:
    """What was measured on one driving set; the confusion counts (V, V) are per take, empty without a lip reader."""

    name: str
    frames: int
    scores: dict[str, Value]
    confusion: dict[str, NDArray[np.int64]]
    viseme_names: tuple[str, ...]
    video: Path


def table(scores: Mapping[str, Value], columns: list[str], metrics: tuple[MetricInfo, ...]) -> list[Row]:
    """Rows of the metrics that are in the scores under `<column>.<key>`."""
    rows = []
    for info in metrics:
        values = [scores.get(f"{column}.{info.key}") for column in columns]
        if all(value is None for value in values):
            continue
        cells = [_cell(value, info.decimals) for value in values]
        rows.append(Row(info, cells, [value.why if value and value.number is None else "" for value in values]))
    return rows


def viseme_metrics(scores: Mapping[str, Value]) -> tuple[MetricInfo, ...]:
    """One metric per viseme whose opening was measured, in the order of the scores."""
    names = dict.fromkeys(key.rsplit("truth_opening_mm_", 1)[1] for key in scores if "truth_opening_mm_" in key)
    return tuple(
        MetricInfo(f"truth_opening_mm_{name}", f"opening at {name}, mm", 1, "real", "mean over its frames")
        for name in names
    )


def driven_table(one: Driven) -> tuple[list[Row], list[str]]:
    """Rows and columns of what was measured on a sound; the truth beside it if there is one."""
    columns = ["drawn", "truth"] if one.true_scores else ["drawn"]
    scores = {f"drawn.{key}": value for key, value in one.scores.items()}
    scores |= {f"truth.{key}": value for key, value in one.true_scores.items()}
    visemes = (replace(info, aim="truth") for info in viseme_metrics(scores))
    return table(scores, columns, (*DRIVEN_METRICS, *visemes)), columns


def sets_table(sets: Sequence[SetScores]) -> tuple[list[str], list[tuple[str, str, list[str]]]]:
    """Heads, and for each set one line per take: (set, take, cells)."""
    lines = []
    for one in sets:
        for take in SET_TAKES:
            cells = [_cell(one.scores.get(f"{take}.{info.key}"), info.decimals) for info in SET_METRICS]
            lines.append((one.name, take, cells))
    return [info.label for info in SET_METRICS], lines


def sets_text(sets: Sequence[SetScores]) -> str:
    """`sets_table` for the terminal, columns by number with their names below."""
    heads, lines = sets_table(sets)
    width = max(len(name) for name, _, _ in lines)
    numbers = "".join(f"{f'({i})':>8}" for i in range(1, len(heads) + 1))
    rows = [f"{'':{width}}  {'':9}{numbers}"]
    for name, take, cells in lines:
        rows.append(f"{name:{width}}  {take:9}" + "".join(f"{cell:>8}" for cell in cells))
    legend = "  ".join(f"({i}) {head}" for i, head in enumerate(heads, start=1))
    return "\n".join([*rows, legend]) + "\n"


def terminal_table(rows: list[Row], columns: list[str]) -> str:
    """The table as text; reasons for missing numbers below it, each once."""
    label_width = max([len(row.info.label) for row in rows], default=0)
    widths = [max([len(column), *(len(row.cells[i]) for row in rows)]) for i, column in enumerate(columns)]
    head = "  ".join([" " * label_width, *(c.rjust(w) for c, w in zip(columns, widths, strict=True)), "aim"])
    lines = [head, "-" * len(head)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row.cells, widths, strict=True)]
        lines.append("  ".join([row.info.label.ljust(label_width), *cells, row.info.aim]))
    reasons = dict.fromkeys(reason for row in rows for reason in row.reasons if reason)
    return "\n".join([*lines, *(f"{_DASH} {reason}" for reason in reasons)]) + "\n"


def headline(scores: Mapping[str, Value]) -> list[tuple[str, str, str]]:
    """The few numbers to look at first: (label, number, the one to compare it with)."""
    in_block = scores.get(f"{GENERATED}.silence_move_percent", Value(None)).number is not None
    silence, where = ("silence_move_percent", "silence") if in_block else ("room_tone_move_percent", "room tone")
    chosen = (
        ("mouth PSNR", f"{GENERATED}.psnr_mouth_db", f"{CLOSED}.psnr_mouth_db", "closed mouth", 1, " dB"),
        ("opening r", f"{GENERATED}.opening_r", f"{SHUFFLED}.opening_r", "other sound", 2, ""),
        (f"moves in {where}", f"{GENERATED}.{silence}", f"{REAL}.{silence}", "filmed mouth", 0, " %"),
        ("leak, net r", f"{SHUFFLED}.leak_net_r", f"{SHUFFLED}.leak_r", "with chance", 2, ""),
        ("sharpness", f"{GENERATED}.sharpness_ratio", f"{REAL}.sharpness_ratio", "real", 2, ""),
    )
    cards = []
    for label, key, beside, what, decimals, unit in chosen:
        number, other = (_cell(scores.get(k), decimals) for k in (key, beside))
        cards.append((label, number + (unit if number != _DASH else ""), f"{what}: {other}"))
    return cards


def _cell(value: Value | None, decimals: int) -> str:
    return _DASH if value is None or value.number is None else f"{value.number:.{decimals}f}"
