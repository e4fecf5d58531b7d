"""The last stage: avatars/NAME from a dataset and its trained generator.

The folder is built beside its final place and renamed when everything in it is there, hashed and checked; an older
avatar of that name is replaced only then.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328, open_dataset
from recipe.avatar_format import (
    FRAMES_FILE,
    MANIFEST_FILE,
    POSTER_FILE,
    TRACK_FILE,
    Consent,
    parse_consent,
    read_manifest,
    seal_avatar,
    write_manifest,
)
from recipe.errors import BrokenAvatarError
from recipe.files import only_writer
from recipe.names import check_name
from recipe.recipe_328 import check_recipe
from training.checked_export import CompileInt8, export_checked
from training.generator import trained_generator
from training.identity import dataset_identity, differences
from training.references import build_pools
from training.template import Template, choose_template, copy_frames, template_track, write_poster

log = logging.getLogger(__name__)

_OPEN_LICENCE = "depicts no real person; free to use"
_PERSON_LICENCE = "only within the scope of the recorded consent"
_NO_LICENCE = "no consent recorded: private evaluation only"

# The sealed avatar, its dataset and its checkpoints -> the metrics of the held-out block.
Evaluate = Callable[[Path, Path, Path], dict[str, float | str | None]]


@dataclass(frozen=True)
class Packaging:
    """What is packaged, and what is said of it.

    Attributes:
        name: of dataset, checkpoint and avatar.
        dataset_dir, checkpoint_dir, avatars_dir: the folders that these lie in.
        consent: "who, date, scope", or "".
        synthetic: the recording shows no real person.
        licence: what may be done with the avatar, in words; "" says what consent and `synthetic` imply.
        weights: "int8" or "float32".
        template_s: longest template.
    """

    name: str
    dataset_dir: Path
    checkpoint_dir: Path
    avatars_dir: Path
    consent: str
    synthetic: bool
    licence: str
    weights: str
    template_s: float

    @property
    def said_licence(self) -> str:
        return self.licence or (_OPEN_LICENCE if self.synthetic else _PERSON_LICENCE)


def package(asked: Packaging, compile_int8: CompileInt8 | None, evaluate: Evaluate | None) -> Path:
    """Build the avatar.

    Args:
        asked: what and where.
        compile_int8: runs the decoder as serving would; None where this processor cannot.
        evaluate: measures the held-out block; None leaves the metrics empty.
    Returns:
        Its folder.
    Raises:
        InUseError: another process packages the same name.
        UserError, ValueError, OSError: something is missing or does not fit; the message says what to do.
    """
    name = check_name(asked.name)
    dataset = open_dataset(asked.dataset_dir / name)
    checkpoint = _checkpoint_of(asked.checkpoint_dir / name, dataset)
    final, folder = asked.avatars_dir / name, asked.avatars_dir / f".{name}.part"
    source_sha256 = str(dataset.manifest["source"]["sha256"])
    given = parse_consent(asked.consent, source_sha256) if asked.consent else None
    with only_writer(folder):
        try:
            consent = given or _earlier_consent(final, source_sha256)
            _empty(folder)
            facts = _build(asked, dataset, checkpoint, folder, compile_int8)
            facts |= {"consent": None if consent is None else asdict(consent)}
            if consent is None and not asked.synthetic and not asked.licence:
                facts["licence"] = _NO_LICENCE
            manifest = seal_avatar(folder, facts)
            if evaluate is not None:
                log.info("measuring the held-out block")
                metrics = evaluate(folder, dataset.folder, asked.checkpoint_dir / name)
                write_manifest(folder, replace(manifest, metrics=metrics))
            _replace(folder, final)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    return final


def _checkpoint_of(folder: Path, dataset: Dataset328) -> dict[str, Any]:
    """The trained generator, if it was trained on what the dataset holds."""
    checkpoint = trained_generator(folder / "unet")
    check_recipe(checkpoint["recipe"], f"checkpoint {folder}")
    trained_on, here = checkpoint["identity"].get("dataset", {}), dataset_identity(dataset.manifest)
    if trained_on != here:
        raise ValueError(
            f"checkpoint {folder} was trained on another recording or preparation than {dataset.folder} holds "
            f"({differences(trained_on, here)}): train again"
        )
    return checkpoint


def _build(
    asked: Packaging,
    dataset: Dataset328,
    checkpoint: dict[str, Any],
    folder: Path,
    compile_int8: CompileInt8 | None,
) -> dict[str, Any]:
    """Fill the folder; the facts for avatar.json, but for the consent."""
    template = choose_template(dataset, asked.template_s)
    log.info("template: frames %d..%d of %d", template.start, template.stop, len(dataset.valid_T))
    copy_frames(dataset.frames_path, folder / FRAMES_FILE, template.start, template.stop)
    references = _references(dataset, template)
    np.savez_compressed(folder / TRACK_FILE, allow_pickle=False, **template_track(dataset, template, references))
    calmest = int(np.argmin(dataset.opening_T[template.start : template.stop]))
    write_poster(folder / FRAMES_FILE, calmest, folder / POSTER_FILE)
    log.info("exporting to ONNX and comparing with torch")
    errors = export_checked(checkpoint, dataset, template, references, folder, asked.weights, compile_int8)
    return {
        "name": dataset.name,
        "recipe": checkpoint["recipe"],
        "versions": {
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "training_steps": checkpoint["step"],
            "weights": asked.weights,
        },
        "synthetic": asked.synthetic,
        "source_sha256": str(dataset.manifest["source"]["sha256"]),
        "licence": asked.said_licence,
        "frames": template.stop - template.start,
        "width": int(dataset.manifest["width"]),
        "height": int(dataset.manifest["height"]),
        "metrics": {},
        "onnx_max_abs_error": errors,
        "template": {"source_start": template.start, "source_stop": template.stop},
    }


def _references(dataset: Dataset328, template: Template) -> NDArray[np.int64]:
    pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, dataset.valid_T, dataset.splits["train"])
    pose = np.median(dataset.pose_T3[template.start : template.stop], axis=0)
    chosen: NDArray[np.int64] = pools.nearest(torch.from_numpy(pose).float()).numpy()
    return chosen


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


def _empty(folder: Path) -> None:
    """Remove what a killed process left in the folder, but not the folder: the lock is on it."""
    for path in folder.iterdir():
        path.unlink()


def _replace(folder: Path, final: Path) -> None:
    """Put the finished folder in its place; the older avatar goes away only when the new one is complete."""
    assert (folder / MANIFEST_FILE).exists()
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    folder.rename(final)
    shutil.rmtree(old, ignore_errors=True)
