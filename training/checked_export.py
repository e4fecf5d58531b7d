"""An avatar's graphs, exported and compared with torch: on real crops, on real sound, and in int8.

Axes: H W C picture.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from models.audio_encoder import AudioFrontEnd, LogMel
from recipe.avatar_format import AUDIO_ENCODER_FILE, PATCH, UNET_DECODER_FILE, UNET_ENCODER_FILE
from recipe.int8_calibration import Int8Calibration, write_calibration
from training.export import export_generator, max_abs_error, psnr_db
from training.generator import Generator
from training.int8 import Arrays, InputsOf, held_out_mouth_psnr_db, input_bounds
from training.sound import load_front_end, mel_config
from training.template import Template, encoder_inputs
from training.weights import store_as_int8

log = logging.getLogger(__name__)

_CHECKED_FRAMES = 8

# A graph's file and the bounds of its convolutions' inputs -> what runs it in int8, as serving would.
CompileInt8 = Callable[[Path, Mapping[str, float]], Callable[[Arrays], NDArray[np.uint8]]]


def export_checked(
    checkpoint: dict[str, Any],
    dataset: Dataset328,
    template: Template,
    references: NDArray[np.int64],
    folder: Path,
    weights: str,
    compile_int8: CompileInt8,
) -> dict[str, float]:
    """Export the three graphs; largest absolute error of each against torch on real crops and sound.

    Args:
        checkpoint: of the generator.
        dataset: whose crops and sound are drawn from.
        template: frames that are compared.
        references: frame numbers.
        folder: where the graphs go.
        weights: "int8" stores them in a quarter of the space, "float32" as they are.
        compile_int8: runs the decoder in int8 as serving would.
    Returns:
        By file. The decoder's output are bytes: its error is in levels of 255. Weights stored as int8 add
        `int8_psnr_db`: how close the whole chain's pictures come to those of the exact weights; and
        `int8_compute_mouth_psnr_db`: how close held-out mouths come to them when the decoder computes in int8 too.
    """
    generator = Generator.from_configs(checkpoint)
    generator.load_state_dict(checkpoint["generator"])
    kind = str(checkpoint["recipe"]["audio_features"])
    features = LogMel(mel_config()) if kind == "mel" else load_front_end(kind, str(dataset.manifest["audio_model"]))
    modules = export_generator(generator.unet, AudioFrontEnd(features, generator.audio), folder)
    frames = np.linspace(template.start, template.stop - 1, _CHECKED_FRAMES).round().astype(int)
    inputs_of = partial(encoder_inputs, dataset, references, kind)
    inputs = inputs_of(frames)
    errors: dict[str, float] = {}
    exact = _chain(folder, inputs, modules, errors)
    if weights == "int8":
        for file in modules:
            store_as_int8(folder / file)
        stored = _chain(folder, inputs)
        errors["int8_psnr_db"] = round(psnr_db(stored, exact), 1)
        log.info("  stored as int8: pictures within %.1f dB of the exact ones", errors["int8_psnr_db"])
        errors |= _calibrate(folder, dataset, inputs_of, modules, compile_int8)
    return errors


def _calibrate(
    folder: Path,
    dataset: Dataset328,
    inputs_of: InputsOf,
    modules: dict[str, torch.nn.Module],
    compile_int8: CompileInt8,
) -> dict[str, float]:
    """Write the decoder's int8 calibration; how close the mouths of held-out frames come to the exact ones here.

    Another processor may sum otherwise: serving compares again where it runs.
    """
    path = folder / UNET_DECODER_FILE
    bounds = input_bounds(dataset, inputs_of, modules)
    close_db = round(held_out_mouth_psnr_db(dataset, inputs_of, modules, compile_int8(path, bounds)), 1)
    write_calibration(path, Int8Calibration(close_db, bounds))
    log.info("  computed in int8: held-out mouths within %.1f dB of the exact ones", close_db)
    return {"int8_compute_mouth_psnr_db": close_db}


def _chain(
    folder: Path,
    inputs: dict[str, dict[str, NDArray[Any]]],
    modules: dict[str, torch.nn.Module] | None = None,
    errors: dict[str, float] | None = None,
) -> NDArray[np.uint8]:
    """Run the graphs one on the other's output; with `modules`, note each graph's error against torch."""
    outputs: dict[str, NDArray[Any]] = {}
    for file in (UNET_ENCODER_FILE, AUDIO_ENCODER_FILE, UNET_DECODER_FILE):
        session = onnxruntime.InferenceSession(str(folder / file), providers=["CPUExecutionProvider"])
        given = inputs.get(file) or {i.name: outputs[i.name] for i in session.get_inputs()}
        outputs |= dict(zip([o.name for o in session.get_outputs()], session.run(None, given), strict=True))
        if modules is not None and errors is not None:
            errors[file] = max_abs_error(modules[file], partial(session.run, None), given)
            log.info("  %s: max abs error %.2g", file, errors[file])
    return outputs[PATCH]
