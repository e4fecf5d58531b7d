"""Make avatars/NAME from a dataset and its trained generator: `python package_328.py --name NAME`.

The folder is built beside its final place and renamed when everything in it is there, hashed and checked; an older
avatar of that name is replaced only then.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import configargparse
import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328, open_dataset
from evaluation.held_out import evaluate_avatar
from models.audio_encoder import AudioFrontEnd, LogMel
from recipe.avatar_format import (
    AUDIO_ENCODER_FILE,
    FRAMES_FILE,
    MANIFEST_FILE,
    PATCH,
    POSTER_FILE,
    TRACK_FILE,
    UNET_DECODER_FILE,
    UNET_ENCODER_FILE,
    Consent,
    parse_consent,
    read_manifest,
    seal_avatar,
    write_manifest,
)
from recipe.errors import BrokenAvatarError
from recipe.int8_calibration import Int8Calibration, write_calibration
from recipe.names import check_name
from recipe.recipe_328 import check_recipe
from services.errors import ModelRuntimeError
from services.runtimes.openvino import OpenVinoRuntime
from training.export import export_generator, max_abs_error, psnr_db
from training.generator import Generator, trained_generator
from training.int8 import InputsOf, held_out_mouth_psnr_db, input_bounds
from training.packaging import (
    LONGEST_TEMPLATE_S,
    Template,
    choose_template,
    copy_frames,
    encoder_inputs,
    template_track,
    write_poster,
)
from training.references import build_pools
from training.sound import load_front_end, mel_config
from training.weights import store_as_int8

log = logging.getLogger("package_328")

_CHECKED_FRAMES = 8
_OPEN_LICENCE = "depicts no real person; free to use"
_PERSON_LICENCE = "only within the scope of the recorded consent"


def parse_options(arguments: list[str] | None = None) -> configargparse.Namespace:
    """Command line over environment over --config file over default."""
    parser = configargparse.ArgParser(description=__doc__.split("\n")[0], auto_env_var_prefix="AVATAR328_")
    parser.add("--config", is_config_file=True, help="read options from this file")
    parser.add("--name", required=True, help="the dataset dataset/NAME and checkpoint checkpoint/NAME")
    parser.add("--consent", default="", help='who agreed: "name, YYYY-MM-DD, scope"')
    parser.add("--synthetic", action="store_true", help="the recording shows no real person")
    parser.add("--licence", default="", help="what may be done with the avatar, in words")
    parser.add("--dataset_dir", type=Path, default=Path("dataset"))
    parser.add("--checkpoint_dir", type=Path, default=Path("checkpoint"))
    parser.add("--avatars_dir", type=Path, default=Path("avatars"))
    parser.add(
        "--weights",
        choices=("int8", "float32"),
        default="int8",
        help="how they are stored: a quarter of the space, or exact",
    )
    parser.add("--template_s", type=float, default=LONGEST_TEMPLATE_S, help="longest template, seconds")
    parser.add("--no_evaluation", action="store_true", help="skip the held-out metrics")
    return parser.parse_args(arguments)


def package(options: configargparse.Namespace) -> Path:
    """Build the avatar.

    Returns:
        Its folder.
    Raises:
        ValueError, OSError: something is missing or does not fit; the message says what to do.
    """
    name = check_name(options.name)
    dataset = open_dataset(options.dataset_dir / name)
    checkpoint = trained_generator(options.checkpoint_dir / name / "unet")
    check_recipe(checkpoint["recipe"], f"checkpoint {options.checkpoint_dir / name}")
    source_sha256 = str(dataset.manifest["source"]["sha256"])
    if checkpoint["identity"]["source"] != source_sha256:
        raise ValueError(
            f"checkpoint {options.checkpoint_dir / name} was trained on another recording than {dataset.folder} holds: "
            "train again"
        )
    final = options.avatars_dir / name
    given = parse_consent(options.consent, source_sha256) if options.consent else None
    consent = given or _earlier_consent(final, source_sha256)
    folder = options.avatars_dir / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        template = choose_template(dataset, options.template_s)
        log.info("template: frames %d..%d of %d", template.start, template.stop, len(dataset.valid_T))
        copy_frames(dataset.frames_path, folder / FRAMES_FILE, template.start, template.stop)
        references = _references(dataset, template)
        np.savez_compressed(folder / TRACK_FILE, allow_pickle=False, **template_track(dataset, template, references))
        calmest = int(np.argmin(dataset.opening_T[template.start : template.stop]))
        write_poster(folder / FRAMES_FILE, calmest, folder / POSTER_FILE)
        log.info("exporting to ONNX and comparing with torch")
        errors = _export(checkpoint, dataset, template, references, folder, options.weights)
        manifest = seal_avatar(folder, _facts(options, dataset, checkpoint, template, errors, consent))
        if not options.no_evaluation:
            log.info("measuring the held-out block")
            metrics = evaluate_avatar(folder, dataset.folder, options.checkpoint_dir / name)
            write_manifest(folder, replace(manifest, metrics=metrics))
        _replace(folder, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return final


def _references(dataset: Dataset328, template: Template) -> NDArray[np.int64]:
    pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, dataset.valid_T, dataset.splits["train"])
    pose = np.median(dataset.pose_T3[template.start : template.stop], axis=0)
    chosen: NDArray[np.int64] = pools.nearest(torch.from_numpy(pose).float()).numpy()
    return chosen


def _export(
    checkpoint: dict[str, Any],
    dataset: Dataset328,
    template: Template,
    references: NDArray[np.int64],
    folder: Path,
    weights: str,
) -> dict[str, float]:
    """Export the three graphs; largest absolute error of each against torch on real crops and sound.

    The decoder's output are bytes: its error is in levels of 255. Weights stored as int8 add `int8_psnr_db`: how
    close the whole chain's pictures come to those of the exact weights; and `int8_compute_mouth_psnr_db`: how close
    held-out mouths come to them when the decoder computes in int8 too.
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
        errors |= _calibrate(folder, dataset, inputs_of, modules)
    return errors


def _calibrate(
    folder: Path, dataset: Dataset328, inputs_of: InputsOf, modules: dict[str, torch.nn.Module]
) -> dict[str, float]:
    """Write the decoder's int8 calibration; how close the mouths of held-out frames come to the exact ones.

    Nothing where the processor cannot measure it: the avatar then never computes in int8.
    """
    runtime = OpenVinoRuntime("int8", os.cpu_count() or 1)
    if not runtime.computes_int8:
        log.warning("this processor has no VNNI: the avatar gets no int8 decoder; package it on one that has")
        return {}
    path = folder / UNET_DECODER_FILE
    bounds = input_bounds(dataset, inputs_of, modules)
    graph = runtime.compile(path, bounds)
    close_db = round(held_out_mouth_psnr_db(dataset, inputs_of, modules, lambda f: graph.run(f)[PATCH]), 1)
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


def _facts(
    options: configargparse.Namespace,
    dataset: Dataset328,
    checkpoint: dict[str, Any],
    template: Template,
    errors: dict[str, float],
    consent: Consent | None,
) -> dict[str, Any]:
    licence = options.licence or (_OPEN_LICENCE if options.synthetic else _PERSON_LICENCE)
    if consent is None and not options.synthetic and not options.licence:
        licence = "no consent recorded: private evaluation only"
    return {
        "name": dataset.name,
        "recipe": checkpoint["recipe"],
        "versions": {
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "training_steps": checkpoint["step"],
            "weights": options.weights,
        },
        "consent": None if consent is None else asdict(consent),
        "synthetic": bool(options.synthetic),
        "source_sha256": str(dataset.manifest["source"]["sha256"]),
        "licence": licence,
        "frames": template.stop - template.start,
        "width": int(dataset.manifest["width"]),
        "height": int(dataset.manifest["height"]),
        "metrics": {},
        "onnx_max_abs_error": errors,
        "template": {"source_start": template.start, "source_stop": template.stop},
    }


def _earlier_consent(final: Path, source_sha256: str) -> Consent | None:
    """The consent that is recorded for the same recording in the avatar that will be replaced."""
    if not final.exists():
        return None
    try:
        found = read_manifest(final).consent
    except BrokenAvatarError as error:
        log.warning("a consent recorded in the avatar that is replaced cannot be carried over: %s", error)
        return None
    return found if found is not None and found.source_sha256 == source_sha256 else None


def _replace(folder: Path, final: Path) -> None:
    """Put the finished folder in its place; the older avatar goes away only when the new one is complete."""
    assert (folder / MANIFEST_FILE).exists()
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    folder.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 done, 2 bad input."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = parse_options(arguments)
    try:
        folder = package(options)
    except (ValueError, OSError, ModelRuntimeError) as error:
        log.error("error: %s", error)
        return 2
    log.info("avatar ready: %s", folder)
    if not options.consent and not options.synthetic:
        log.warning(
            "no consent is recorded: servers beyond this machine will not show it "
            '(python -m services.avatars consent %s "who, date, scope")',
            options.name,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
