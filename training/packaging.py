"""The last stage: avatars/NAME from a dataset and what was trained on it.

The folder is built beside its final place and renamed when everything in it is there, hashed and checked; an older
avatar of that name is replaced only then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328, open_dataset
from models.checkpoint import load_checkpoint
from recipe.avatar_format import (
    FRAMES_FILE,
    POSTER_FILE,
    TRACK_FILE,
    AvatarManifest,
    read_manifest,
    seal_avatar,
    write_manifest,
)
from recipe.consent import parse_consent
from recipe.errors import BrokenAvatarError
from recipe.files import built_aside
from recipe.film.arrays import FILM_VERSION
from recipe.names import check_name
from recipe.recipe_328 import check_recipe, recipe
from recipe.tombstones import check_not_revoked
from training.checked_export import CompileInt8, export_checked
from training.film.export import write_film
from training.generator import trained_generator
from training.identity import dataset_identity, differences
from training.poster import choose_poster, write_poster
from training.references import build_pools
from training.template import Template, choose_template, copy_frames, template_track

log = logging.getLogger(__name__)

_OPEN_LICENCE = "depicts no real person; free to use"
_PERSON_LICENCE = "only within the scope of the recorded consent"
_NO_LICENCE = "no consent recorded: private evaluation only"

Picture = Literal["unet", "film"]

# The sealed avatar, its dataset and its checkpoints -> the metrics of the held-out block.
Evaluate = Callable[[Path, Path, Path], dict[str, float | str | None]]

_CCC_LESS = 0.05  # of the opening: so much less is seen as a mouth that does not follow
_BLURRED = 0.6  # of the filmed mouth's sharpness: less is seen as blurred teeth


class _FilmKeptError(Exception):
    """Not an error: the better avatar is there already."""


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
        picture: who draws: "unet", the trained generator, or "film", the filmed frames, moved.
        keep_film: a film avatar of the same recording that is there already stays if it is the better one.
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
    picture: Picture = "unet"
    keep_film: bool = False

    @property
    def said_licence(self) -> str:
        return self.licence or (_OPEN_LICENCE if self.synthetic else _PERSON_LICENCE)


def package(asked: Packaging, compile_int8: CompileInt8, evaluate: Evaluate | None) -> Path:
    """Build the avatar.

    Args:
        asked: what and where.
        compile_int8: runs the decoder in int8 as serving would.
        evaluate: measures the held-out block; None leaves the metrics empty.
    Returns:
        Its folder.
    Raises:
        RevokedError: the person wants no avatar of this recording any more.
        InUseError: another process makes or changes an avatar of that name.
        UserError, ValueError, OSError: something is missing or does not fit; the message says what to do.
    """
    name = check_name(asked.name)
    dataset = open_dataset(asked.dataset_dir / name)
    checkpoint = _checkpoint_of(asked.checkpoint_dir / name, dataset, asked.picture)
    final = asked.avatars_dir / name
    source_sha256 = str(dataset.manifest["source"]["sha256"])
    check_not_revoked(asked.avatars_dir, source_sha256)
    there = _earlier(final, source_sha256)
    if asked.picture == "film" and there is not None and there.kind == "video":
        log.warning("%s stays as it is: a face trained on this recording draws it (remove it to have the film)", final)
        return final
    given = parse_consent(asked.consent, source_sha256) if asked.consent else None
    try:
        with built_aside(final) as folder:
            consent = given or (None if there is None else there.consent)
            facts = _build(asked, dataset, checkpoint, folder, compile_int8)
            facts |= {"consent": None if consent is None else asdict(consent)}
            if consent is None and not asked.synthetic and not asked.licence:
                facts["licence"] = _NO_LICENCE
            manifest = seal_avatar(folder, facts)
            if evaluate is not None:
                log.info("measuring the held-out block")
                metrics = evaluate(folder, dataset.folder, asked.checkpoint_dir / name)
                write_manifest(folder, replace(manifest, metrics=metrics))
                if asked.keep_film and (reason := _film_is_better(there, metrics)):
                    raise _FilmKeptError(reason)
    except _FilmKeptError as kept:
        log.warning("%s stays as it is, drawn from the film: %s", final, kept)
    return final


def _film_is_better(there: AvatarManifest | None, metrics: dict[str, float | str | None]) -> str | None:
    """In what the film avatar that is there beats the trained one on the held-out block; None where it does not."""
    if there is None or there.kind != "film":
        return None
    film_ccc, film_sharp = (_number(there.metrics, key) for key in ("opening_ccc", "sharpness_ratio"))
    ccc, sharp = (_number(metrics, key) for key in ("opening_ccc", "sharpness_ratio"))
    if film_ccc is not None and ccc is not None and ccc < film_ccc - _CCC_LESS:
        return f"the trained mouth follows the sound less (CCC of the opening {ccc:.2f}, film {film_ccc:.2f})"
    if film_sharp is not None and sharp is not None and sharp < min(_BLURRED, film_sharp):
        return f"the trained mouth is blurred (sharpness {sharp:.2f} of the filmed one's, film {film_sharp:.2f})"
    return None


def _number(metrics: Mapping[str, Any], key: str) -> float | None:
    value = metrics.get(f"generated.{key}")
    return value if isinstance(value, float) else None


def _checkpoint_of(folder: Path, dataset: Dataset328, picture: Picture) -> dict[str, Any]:
    """What was trained, if it was trained on what the dataset holds."""
    checkpoint = trained_generator(folder / "unet") if picture == "unet" else load_checkpoint(folder / "film/best.pt")
    if picture == "unet":
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
    compile_int8: CompileInt8,
) -> dict[str, Any]:
    """Fill the folder; the facts for avatar.json, but for the consent."""
    template = choose_template(dataset, asked.template_s)
    log.info("template: frames %d..%d of %d", template.start, template.stop, len(dataset.valid_T))
    copy_frames(dataset.frames_path, folder / FRAMES_FILE, template.start, template.stop)
    references = _references(dataset, template)
    np.savez_compressed(folder / TRACK_FILE, allow_pickle=False, **template_track(dataset, template, references))
    part = slice(template.start, template.stop)
    poster = choose_poster(dataset.landmarks_TK2[part], dataset.opening_T[part], dataset.pose_T3[part])
    write_poster(folder / FRAMES_FILE, poster, folder / POSTER_FILE)
    versions = {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}
    versions |= {"training_steps": checkpoint["step"]}
    facts: dict[str, Any] = {
        "name": dataset.name,
        "synthetic": asked.synthetic,
        "source_sha256": str(dataset.manifest["source"]["sha256"]),
        "licence": asked.said_licence,
        "frames": template.stop - template.start,
        "width": int(dataset.manifest["width"]),
        "height": int(dataset.manifest["height"]),
        "metrics": {},
        "template": {"source_start": template.start, "source_stop": template.stop},
    }
    log.info("exporting to ONNX and comparing with torch")
    if asked.picture == "film":
        errors = write_film(checkpoint, dataset, template, folder)
        return facts | {
            "kind": "film",
            "recipe": recipe(),  # it listens to the spectrogram, whatever the dataset was prepared for
            "versions": versions | {"film": FILM_VERSION},
            "onnx_max_abs_error": errors,
        }
    errors = export_checked(checkpoint, dataset, template, references, folder, asked.weights, compile_int8)
    return facts | {
        "recipe": checkpoint["recipe"],
        "versions": versions | {"weights": asked.weights},
        "onnx_max_abs_error": errors,
    }


def _references(dataset: Dataset328, template: Template) -> NDArray[np.int64]:
    pools = build_pools(dataset.opening_T, dataset.pose_T3, dataset.blur_T, dataset.valid_T, dataset.splits["train"])
    pose = np.median(dataset.pose_T3[template.start : template.stop], axis=0)
    chosen: NDArray[np.int64] = pools.nearest(torch.from_numpy(pose).float()).numpy()
    return chosen


def _earlier(final: Path, source_sha256: str) -> AvatarManifest | None:
    """The avatar of the same recording that is there already; a broken one is said and counts as none."""
    if not final.exists():
        return None
    try:
        found = read_manifest(final)
    except BrokenAvatarError as error:
        log.warning("the avatar that is replaced is broken, and a consent in it cannot be carried over: %s", error)
        return None
    return found if found.source_sha256 == source_sha256 else None
