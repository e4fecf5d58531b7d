"""What a film avatar holds besides its frames: the arrays that move them, and the ears that tell how."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
import torch

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import LogMel
from models.fitted_ears import FittedEarsGraph
from recipe.audio_window import window_pcm
from recipe.avatar_format import AUDIO_ENCODER_FILE, EMBEDDING, FILM_FILE, GATE, PCM
from recipe.film.arrays import save_film
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES
from training.export import export_graph
from training.film.ears import Film, fitted_ears
from training.film.fit import choose_mouths, mouth_arrays, shape_arrays
from training.sound import mel_config
from training.template import Template
from training.weights import store_as_int8

_CHECKED_FRAMES: Final = 32


def write_film(
    checkpoint: dict[str, object], dataset: Dataset328, template: Template, folder: Path
) -> dict[str, float]:
    """Write film.npz and audio_encoder.onnx.

    Args:
        checkpoint: of the ears' fit.
        dataset: the film.
        template: the frames that will be drawn on.
        folder: of the avatar.
    Returns:
        Largest absolute error of the graph against torch, before and after its weights were stored as int8, in
        standard deviations of the articulation's first component.
    Raises:
        TooLittleMaterialError: there is nothing to learn from.
    """
    film = Film.of(dataset)
    chosen = choose_mouths(film.face, dataset.blur_T, film.frames)
    fitted = fitted_ears(checkpoint)
    track_TK2 = film.face.points_TK2[template.start : template.stop].astype(np.float32)
    arrays = shape_arrays(film.face.shape) | mouth_arrays(dataset, film.face, chosen)
    save_film(folder / FILM_FILE, arrays | {"track_TK2": track_TK2})
    graph = FittedEarsGraph(LogMel(mel_config()), fitted).eval()
    path = folder / AUDIO_ENCODER_FILE
    export_graph(graph, (torch.zeros(2, AUDIO_WINDOW_SAMPLES), torch.ones(2)), path, [PCM, GATE], [EMBEDDING])
    frames = np.linspace(template.start, template.stop - 1, _CHECKED_FRAMES).round().astype(int)
    pcm_BS = np.concatenate([window_pcm(dataset.audio_S, int(t), 1, AUDIO_WINDOW_SAMPLES) for t in frames])
    gate_B = np.linspace(0, 1, len(frames), dtype=np.float32)
    with torch.no_grad():
        exact = graph(torch.from_numpy(pcm_BS), torch.from_numpy(gate_B)).numpy()

    def error() -> float:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return round(float(np.abs(session.run([EMBEDDING], {PCM: pcm_BS, GATE: gate_B})[0] - exact).max()), 6)

    errors = {AUDIO_ENCODER_FILE: error()}
    store_as_int8(path)
    return errors | {f"{AUDIO_ENCODER_FILE}, int8": error()}
