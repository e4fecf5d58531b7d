"""Write a photo avatar: built under another name beside its place, renamed when it is whole."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np

from data_prep.photo import PreparedPhoto, Stopwatch, prepare_photo
from data_prep.photo_report import jpeg, report_page
from data_prep.photo_restoration import Restore
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.avatar_format import PHOTO_FILE, POSTER_FILE, REPORT_FILE, AvatarManifest, read_manifest, seal_avatar
from recipe.consent import Consent, parse_consent
from recipe.errors import BrokenAvatarError, OutputError
from recipe.files import built_aside
from recipe.names import check_name
from recipe.recipe_328 import FPS, recipe
from recipe.tombstones import check_not_revoked
from recipe.warp.arrays import WARP_VERSION, save_arrays
from recipe.warp.draw import WarpedFace
from recipe.warp.motion import LOOP_S

log = logging.getLogger(__name__)
_OPEN_LICENCE: Final = "depicts no real person; free to use"
_PERSON_LICENCE: Final = "only within the scope of the recorded consent"
_NO_LICENCE: Final = "no consent recorded: private evaluation only"
_MEASURED: Final = ("face_px", "yaw_deg", "pitch_deg", "roll_deg", "blur", "mouth_open")


@dataclass(frozen=True)
class PhotoRequest:
    """What was asked for."""

    name: str
    photo: Path
    avatars_dir: Path
    size_px: int
    consent: str = ""  # "who, YYYY-MM-DD, scope"
    synthetic: bool = False
    licence: str = ""  # empty: what follows from consent and synthetic
    restore: Restore = "auto"  # what may be done to a bad photo


def make_photo_avatar(request: PhotoRequest, watch: Stopwatch) -> tuple[AvatarManifest, list[str]]:
    """Make avatars_dir/name of a photo; an older photo avatar of that name is replaced when the new one is whole.

    Returns:
        What was written, and warnings for a person.
    Raises:
        BadNameError, ConsentFormatError, OutputError: before the photo is read.
        PhotoError: the photo cannot be used; nothing is written.
        RevokedError: the person wants no avatar of this photo any more.
        InUseError: another makes or changes an avatar of that name.
        ValueError: the size cannot be.
    """
    final = request.avatars_dir / check_name(request.name)
    _earlier(final)
    if request.consent:
        parse_consent(request.consent, "")  # a slip of the pen is told before the work
    photo = prepare_photo(request.photo, request.size_px, watch, request.restore)
    check_not_revoked(request.avatars_dir, photo.source_sha256)
    with built_aside(final) as folder, watch.part("writing"):
        consent = _consent(request, photo.source_sha256, _earlier(final))
        save_arrays(folder / PHOTO_FILE, photo.arrays)
        drawn = WarpedFace(photo.arrays).draw(np.zeros(len(MOUTH_UNITS)), np.zeros(5))
        (folder / POSTER_FILE).write_bytes(jpeg(drawn, 92))
        (folder / REPORT_FILE).write_text(report_page(photo, request.name), encoding="utf-8")
        manifest = seal_avatar(folder, _facts(request, photo, consent))
    return manifest, photo.warnings


def _earlier(final: Path) -> AvatarManifest | None:
    """The avatar that will be replaced.

    Raises:
        OutputError: it is not one of a photo, and may have taken hours to train.
    """
    if not final.exists():
        return None
    try:
        manifest = read_manifest(final)
    except BrokenAvatarError as error:
        raise OutputError(
            f"{final} exists and is no avatar that could be replaced ({error}): remove it, or choose another name"
        ) from error
    if manifest.kind != "photo":
        raise OutputError(f"{final} was trained from a recording and is not replaced by a photo: choose another name")
    return manifest


def _consent(request: PhotoRequest, source_sha256: str, earlier: AvatarManifest | None) -> Consent | None:
    """What was given now, or is recorded for the same photo in the avatar that is replaced."""
    if request.consent:
        return parse_consent(request.consent, source_sha256)
    kept = earlier.consent if earlier is not None else None
    return kept if kept is not None and kept.source_sha256 == source_sha256 else None


def _facts(request: PhotoRequest, photo: PreparedPhoto, consent: Consent | None) -> dict[str, Any]:
    height, width = photo.rgb_HWC.shape[:2]
    by_rights = _OPEN_LICENCE if request.synthetic else _PERSON_LICENCE if consent is not None else _NO_LICENCE
    measured = {name: round(float(getattr(photo.evidence, name)), 3) for name in _MEASURED}
    said = {"warnings": "; ".join(photo.warnings), "restored": photo.restored}
    return {
        "kind": "photo",
        "name": request.name,
        "recipe": recipe(),
        "versions": {"warp": WARP_VERSION, "opencv-python": version("opencv-python"), "numpy": np.__version__},
        "consent": None if consent is None else asdict(consent),
        "synthetic": request.synthetic,
        "source_sha256": photo.source_sha256,
        "licence": request.licence or by_rights,
        "frames": round(LOOP_S * FPS),
        "width": width,
        "height": height,
        "metrics": measured | {name: text for name, text in said.items() if text},
        "onnx_max_abs_error": {},
        "template": {"motion_seed": int(photo.source_sha256[:8], 16)},
    }
