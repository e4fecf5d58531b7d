"""What `python -m training.ears` does: material, training, the exported network and its card."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from models.audio_encoder import LogMel
from models.checkpoint import load_checkpoint
from models.ears import Ears, EarsGraph
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.audio_window import window_pcm
from recipe.avatar_format import EMBEDDING, GATE, PCM
from recipe.errors import UserError
from recipe.files import sha256, written_aside
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, FPS, SAMPLES_PER_FRAME
from training.device import choose_device
from training.ears.material import UTTERANCES, Material, load_material
from training.ears.shipped import averaged, shipped_ears
from training.ears.stage import (
    HEARD,
    SUMMED,
    EarsPreset,
    Start,
    evaluate_ears,
    judged_as,
    new_ears,
    scores_of,
    summed,
    train_ears,
)
from training.ears.trunk import ears_with_trunk
from training.export import export_graph
from training.sound import mel_config
from training.weights import store_as_int8

log = logging.getLogger(__name__)

Mean = Literal["start", "last"]


def run(
    speech: Path | None,
    preset: EarsPreset,
    seed: int,
    share: float,
    device: str,
    folder: Path,
    out: Path,
    start: Path | None = None,
    whisper: Path | None = None,
    mean: Mean | None = None,
) -> None:
    """Train, or go on, and write OUT and its card (OUT with .json).

    START is what the training sets out from. WHISPER, a folder as transformers saves it, gives the trunk of ears that
    are trained anew; without it they have none. MEAN says what the best weights are averaged with
    (`training.ears.shipped.averaged`): those of START, or those of the last step.

    Raises:
        UserError: the folder of speech is not one, START is no ears or missing for the mean with it, or there is no
            such device.
        TrainingStopped: SIGINT or SIGTERM; all is saved.
    """
    if speech is not None and not (speech / UTTERANCES).is_file():
        raise UserError(f"{speech.absolute()} holds no {UTTERANCES}; give the folder of the aligned speech")
    if mean == "start" and start is None:
        raise UserError("a mean with the ears that the training sets out from needs them: --start FILE.onnx")
    here = choose_device(device)
    folder.mkdir(parents=True, exist_ok=True)
    material = load_material(store_of(folder), speech, share)
    seconds = len(material.units_TU) / FPS
    log.info("%.1f min of speech, %d voices", seconds / 60, len(set(material.voices)))
    from_ears = Start(shipped_ears(start), sha256(start)) if start else _with_trunk(whisper) if whisper else None
    best = train_ears(material, preset, seed, folder, here, start=from_ears)
    ears = new_ears(from_ears.ears.config if from_ears else None)
    ears.load_state_dict(best["model"])
    held_out, sums = best["held_out"], best["sums"]
    if mean:
        ears = averaged(from_ears.ears if from_ears and mean == "start" else _last(ears, folder), ears)
        held_out, sums = _judged(ears, material)
    ship(ears, best["step"], held_out, sums, out)
    log.info("%s\n\n%s", table(held_out), sums_table(sums))


def _last(like: Ears, folder: Path) -> Ears:
    """As they were after the last step of a run."""
    ears = new_ears(like.config)
    ears.load_state_dict(load_checkpoint(folder / "last.pt")["model"])
    return ears


def _with_trunk(whisper: Path) -> Start:
    """A trunk with nothing behind it."""
    return Start(ears_with_trunk(whisper), sha256(whisper / "model.safetensors"), trained=False)


def _judged(ears: Ears, material: Material) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Scores by voice, heard as they are; and means, by how they are heard."""
    here = torch.device("cpu")
    rows = {heard: evaluate_ears(ears, material, judged_as(material, heard, here)) for heard in HEARD}
    return rows[""], {heard: summed(found) for heard, found in rows.items()}


def ship(
    ears: Ears, step: int, held_out: dict[str, dict[str, float]], sums: dict[str, dict[str, float]], out: Path
) -> None:
    """Write the network and its card."""
    write_ears(ears, out)
    card = {
        "sha256": sha256(out),
        "step": step,
        "units": list(MOUTH_UNITS),
        "config": ears.config.to_dict(),
        "parameters": sum(weight.numel() for weight in ears.parameters()),
        "held_out": _rounded(held_out),
        "heard": _rounded({heard or "clean": row for heard, row in sums.items()}),
    }
    with written_aside(out.with_suffix(".json")) as part:
        part.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def _rounded(rows: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()}


def store_of(folder: Path) -> Path:
    """Where the material of a run lies."""
    return folder.with_name(folder.name + ".material.npz")


def judge(speech: Path | None, share: float, store: Path, out: Path) -> dict[str, dict[str, float]]:
    """What a network that was written makes of the voices that were kept apart; see `scores_of`."""
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    material = load_material(store, speech, share)

    def tell(start: int, stop: int) -> NDArray[np.float32]:
        clip_S = material.pcm_S[start * SAMPLES_PER_FRAME : stop * SAMPLES_PER_FRAME]
        windows = window_pcm(clip_S, 0, stop - start, AUDIO_WINDOW_SAMPLES)
        (units,) = session.run([EMBEDDING], {PCM: windows, GATE: np.ones(len(windows), np.float32)})
        return np.asarray(units, np.float32)

    rows = scores_of(tell, material)
    log.info("%s\n", table(rows))
    log.info("%s", sums_table(_judged(shipped_ears(out), material)[1]))
    return rows


def write_ears(ears: Ears, path: Path) -> None:
    """Export with the names of any audio encoder; weights in eight bits."""
    graph = EarsGraph(LogMel(mel_config()), ears).eval()
    example = (torch.zeros(2, AUDIO_WINDOW_SAMPLES), torch.ones(2))
    export_graph(graph, example, path, [PCM, GATE], [EMBEDDING])
    store_as_int8(path)


def sums_table(sums: dict[str, dict[str, float]]) -> str:
    """Means over the voices that were kept apart: as they are, in noise at 10 dB, in a room of 0.6 s."""
    lines = [f"{'heard':10}" + "".join(f"{key:>22}" for key in SUMMED)]
    for heard, found in sums.items():
        lines.append(f"{heard or 'clean':10}" + "".join(f"{found.get(key, math.nan):22.3g}" for key in SUMMED))
    return "\n".join(lines)


def table(rows: dict[str, dict[str, float]]) -> str:
    """The voices that were kept apart, one line each."""
    lines = [f"{'voice':28}{'r':>6}{'CCC':>6}{'ampl.':>7}{'p b m':>7}{'closed':>8}{'falsely':>9}"]
    for voice, row in sorted(rows.items()):
        lines.append(
            f"{voice:28}{row['r']:6.2f}{row['ccc']:6.2f}{row['amplitude']:7.2f}{row['closures']:7.0f}"
            f"{row['closed_percent']:7.0f}%{row['false_percent']:8.1f}%"
        )
    return "\n".join(lines)
