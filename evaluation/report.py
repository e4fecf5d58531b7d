"""What an evaluation leaves: metrics.json, report.html and the side-by-side video."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from evaluation import plots
from evaluation.driven import Driven
from evaluation.held_out import Evaluation, flatten
from evaluation.metrics import CLOSED, GENERATED, METRICS, PHOTO, REAL, TAKES
from evaluation.tables import TRUTH_METRICS, SetScores, driven_table, headline, sets_table, table, viseme_metrics
from recipe.files import written_aside
from recipe.recipe_328 import INNER_PX, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from services.streaming.video_writer import Mp4Writer

SCHEMA, VERSION = "avatar328/evaluation", 1


def write_metrics(
    path: Path,
    evaluation: Evaluation,
    driven: Mapping[str, Driven],
    facts: Mapping[str, Any],
    sets: Sequence[SetScores] = (),
) -> None:
    """Write metrics.json in one step; a missing number is null, its reason under `<key>.why`."""
    document = {
        "schema": SCHEMA,
        "version": VERSION,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        "metrics": flatten(evaluation.scores, len(evaluation.frames_T)),
        "driven": {name: flatten(one.scores, len(one.opening_T)) for name, one in driven.items()},
        "sets": {one.name: flatten(one.scores, one.frames) for one in sets},
        "notes": [*evaluation.notes, *(note for one in driven.values() for note in one.notes)],
    }
    write_text(path, json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old one or the new one, never half of it."""
    with written_aside(path) as part:
        part.write_text(text, encoding="utf-8")


def write_side_by_side(path: Path, evaluation: Evaluation, audio_S: NDArray[np.float32]) -> None:
    """Filmed, drawn, their difference, and the photo avatar if there is one, with the recording's sound."""
    names = list(_views(evaluation, 0))
    with Mp4Writer(path, len(names) * INNER_PX, INNER_PX, SAMPLE_RATE_HZ, 1) as writer:
        for t, frame in enumerate(evaluation.frames_T):
            views = _views(evaluation, t)
            picture = np.concatenate([_labelled(view, name) for name, view in views.items()], axis=1)
            pcm_S = np.zeros(SAMPLES_PER_FRAME, np.float32)
            own = audio_S[frame * SAMPLES_PER_FRAME : (frame + 1) * SAMPLES_PER_FRAME]
            pcm_S[: len(own)] = own
            writer.write(picture, pcm_S[None])


def write_pictures(folder: Path, evaluation: Evaluation) -> None:
    """Write frames.jpg (filmed, photo avatar, drawn: a closed, a half open and the widest mouth) and opening.svg."""
    chosen = plots.sample_frames(evaluation.openings[REAL], evaluation.psnr_mouth_T, evaluation.silent_T)
    rows = []
    for what in ("closed", "half open", "widest"):
        views = _views(evaluation, chosen[what])
        shown = [_labelled(views[name], name) for name in ("filmed", "photo avatar", "drawn") if name in views]
        rows.append(np.concatenate(shown, axis=1))
    with written_aside(folder / "frames.jpg") as part:
        part.write_bytes(plots.jpeg(np.concatenate(rows)))
    curves = {name: evaluation.openings[name] for name in (REAL, GENERATED, PHOTO) if name in evaluation.openings}
    title = "Opening of the mouth (silence shaded)"
    write_text(folder / "opening.svg", plots.opening_plot(curves, evaluation.segment_T, evaluation.silent_T, title))


def write_report(
    path: Path,
    evaluation: Evaluation,
    driven: Mapping[str, Driven],
    facts: Mapping[str, Any],
    side_by_side: Path,
    sets: Sequence[SetScores] = (),
) -> None:
    """Write the HTML report; pictures and videos are inside it, but for the sets' videos, which lie beside it."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    scores, columns = evaluation.scores, list(evaluation.strips)
    curves = {name: evaluation.openings[name] for name in (REAL, GENERATED)}
    others = {name: evaluation.openings[name] for name in (REAL, *(n for n in columns if n not in curves))}
    segment_T, silent_T = evaluation.segment_T, evaluation.silent_T
    html = environment.get_template("report.html.j2").render(
        facts=facts,
        takes={name: TAKES[name] for name in columns},
        rows=table(scores, columns, METRICS),
        truth_rows=table(scores, columns, (*TRUTH_METRICS, *viseme_metrics(scores))),
        notes=evaluation.notes,
        headline=headline(scores),
        frames=len(evaluation.frames_T),
        opening_svg=plots.opening_plot(curves, segment_T, silent_T, "Opening of the mouth (silence shaded)"),
        others_svg=plots.opening_plot(others, segment_T, silent_T, "The same for what it is compared with"),
        psnr_svg=plots.psnr_plot(evaluation.psnr_mouth_T, segment_T, silent_T),
        views=list(_views(evaluation, 0, closed=True)),
        samples=_samples(evaluation),
        video=data_uri(side_by_side.read_bytes(), "video/mp4"),
        driven=[_driven_section(name, one) for name, one in driven.items()],
        sets=[(one.name, one.video.name) for one in sets],
        sets_heads=sets_table(sets)[0],
        sets_lines=sets_table(sets)[1],
        confusion_svgs=[plots.confusion_plot(counts, names, take) for take, counts, names in _confusions(sets)],
    )
    write_text(path, html)


def data_uri(data: bytes, kind: str) -> str:
    """Bytes as a URI that needs no file."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _confusions(sets: Sequence[SetScores]) -> list[tuple[str, NDArray[np.int64], tuple[str, ...]]]:
    """Confusion counts over all sets, for the drawn and the filmed take."""
    known = [one for one in sets if one.confusion]
    if not known:
        return []
    counts = {take: np.sum([one.confusion[take] for one in known], axis=0) for take in (GENERATED, REAL)}
    return [(take, total, known[0].viseme_names) for take, total in counts.items()]


def _driven_section(name: str, one: Driven) -> dict[str, Any]:
    rows, columns = driven_table(one)
    return {
        "name": name,
        "rows": rows,
        "columns": columns,
        "svg": plots.driven_plot(one.opening_T, one.loudness_T, one.gate_T),
        "video": data_uri(one.video.read_bytes(), "video/mp4"),
        "notes": one.notes,
    }


def _samples(evaluation: Evaluation) -> list[dict[str, str]]:
    """Sheets of one frame each."""
    sheets = []
    chosen = plots.sample_frames(evaluation.openings[REAL], evaluation.psnr_mouth_T, evaluation.silent_T)
    for what, t in chosen.items():
        views = np.concatenate(list(_views(evaluation, t, closed=True).values()), axis=1)
        caption = f"{what}: frame {evaluation.frames_T[t]}, mouth PSNR {evaluation.psnr_mouth_T[t]:.1f} dB"
        sheets.append({"caption": caption, "uri": data_uri(plots.jpeg(views), "image/jpeg")})
    return sheets


def _views(evaluation: Evaluation, t: int, closed: bool = False) -> dict[str, NDArray[np.uint8]]:
    """What is shown of frame t, by its heading."""
    filmed = evaluation.inner_THWC[t]
    drawn = plots.inner_square(filmed, evaluation.strips[GENERATED][t])
    views = {"filmed": filmed, "drawn": drawn, "difference x4": plots.difference(drawn, filmed)}
    if PHOTO in evaluation.strips:
        views["photo avatar"] = plots.inner_square(filmed, evaluation.strips[PHOTO][t])
    if closed:
        views["closed reference"] = plots.inner_square(filmed, evaluation.strips[CLOSED][t])
    return views


def _labelled(picture_HWC: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    labelled = picture_HWC.copy()
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(labelled, text, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
    return labelled
