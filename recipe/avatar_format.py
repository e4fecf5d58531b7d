"""avatar.json: what an avatar is, who agreed to it, and the hash of every file beside it.

    {"schema": "avatar328/avatar", "version": 2, "kind": "photo", "name": ..., "created": ..., "recipe": {...},
     "versions": {...}, "files": {filename: sha256}, "consent": {who, date, scope, source_sha256} | null,
     "synthetic": bool, "source_sha256": ..., "licence": ..., "frames": int, "width": px, "height": px,
     "metrics": {...}, "onnx_max_abs_error": {...}, "template": {"source_start": int, "source_stop": int},
     "seal": sha256 of all the rest}

There are three kinds: "video", whose picture a network draws that was trained on the person and whose avatar.json need
not say so; "film", whose filmed frames are moved; and "photo", warped from one picture. Each has its own files. The
`frames` of a photo avatar are those of its idle loop, and its `template` holds the loop's seed.

It is written last and in one step: a folder with an avatar.json is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, get_args

from recipe.consent import Consent, recorded_consent
from recipe.errors import BrokenAvatarError
from recipe.files import sha256, written_aside
from recipe.recipe_328 import RecipeMismatchError, check_recipe

SCHEMA: Final = "avatar328/avatar"
VERSION: Final = 3
MANIFEST_FILE: Final = "avatar.json"
FRAMES_FILE: Final = "frames.mp4"
MATTES_FILE: Final = "mattes.mp4"  # opacity of the person in every frame, as grey; only before one colour
TRACK_FILE: Final = "track.npz"
POSTER_FILE: Final = "poster.jpg"
UNET_ENCODER_FILE: Final = "unet_encoder.onnx"
UNET_DECODER_FILE: Final = "unet_decoder.onnx"
AUDIO_ENCODER_FILE: Final = "audio_encoder.onnx"
AVATAR_FILES: Final = (
    FRAMES_FILE,
    TRACK_FILE,
    POSTER_FILE,
    UNET_ENCODER_FILE,
    UNET_DECODER_FILE,
    AUDIO_ENCODER_FILE,
)
INT8_FILE: Final = "unet_decoder.int8.json"
FILM_FILE: Final = "film.npz"  # the arrays of recipe.film.arrays
PHOTO_FILE: Final = "photo.npz"  # the arrays of recipe.warp.arrays
REPORT_FILE: Final = "report.html"  # what was found in the photo
Kind = Literal["video", "film", "photo"]
FILES_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "video": AVATAR_FILES,
    "film": (FRAMES_FILE, TRACK_FILE, POSTER_FILE, AUDIO_ENCODER_FILE, FILM_FILE),
    "photo": (PHOTO_FILE, POSTER_FILE, REPORT_FILE),
}
# Inputs and outputs of the graphs: the U-Net's encoder (target, references -> features, from fine to coarse), its
# decoder (features, embedding -> patch) and the audio encoder (pcm, gate -> embedding). The names end in their axes.
TARGET: Final = "target_BHWC"
REFERENCES: Final = "references_BHWC"
FEATURES: Final = ("f160", "f80", "f40", "f20", "f10")
PCM: Final = "pcm_BS"
GATE: Final = "gate_B"
EMBEDDING: Final = "embedding_BD"
PATCH: Final = "patch_BHWC"
# An avatar may lack them, but one that lies there is listed and hashed. The photo avatar's ears are optional only until
# the product ships ears that fit every face: from then on each photo avatar carries them.
OPTIONAL_OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "video": (INT8_FILE,),
    "film": (MATTES_FILE,),
    "photo": (AUDIO_ENCODER_FILE,),
}
_REPACK = "copy the avatar again from where it was made, or package it again"
_DEEPEST: Final = 6  # lists and objects in one another
_LONGEST: Final = 1 << 20  # bytes of an avatar.json
_MOST_FRAMES: Final = 60 * 60 * 25
_MOST_PIXELS: Final = 8192 * 4352
_SHA256_PATTERN = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class AvatarManifest:
    """avatar.json after its schema, version, types and recipe were checked."""

    name: str
    created: str
    recipe: dict[str, Any]
    versions: dict[str, Any]
    files: dict[str, str]
    consent: Consent | None
    synthetic: bool
    source_sha256: str
    licence: str
    frames: int
    width: int
    height: int
    metrics: dict[str, Any]
    onnx_max_abs_error: dict[str, Any]
    template: dict[str, Any]
    kind: Kind = "video"

    @property
    def may_serve_publicly(self) -> bool:
        """True if the avatar depicts nobody, or somebody who agreed."""
        return self.synthetic or self.consent is not None


_TYPES: Final[dict[str, type]] = {
    "name": str,
    "created": str,
    "recipe": dict,
    "versions": dict,
    "files": dict,
    "synthetic": bool,
    "source_sha256": str,
    "licence": str,
    "frames": int,
    "width": int,
    "height": int,
    "metrics": dict,
    "onnx_max_abs_error": dict,
    "template": dict,
}


def parse_manifest(document: object, where: Path) -> AvatarManifest:
    """Check a decoded avatar.json.

    Raises:
        BrokenAvatarError: another schema, version or recipe, or a field that is missing or of another type.
    """
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise BrokenAvatarError(f'{where} is not an avatar description: its "schema" is not {SCHEMA!r}; {_REPACK}')
    if document.get("version") != VERSION:
        raise BrokenAvatarError(
            f"{where} has format version {document.get('version')!r}, this program reads {VERSION}; "
            "package the avatar again with this version"
        )
    for field, expected in _TYPES.items():
        if type(document.get(field)) is not expected:
            raise BrokenAvatarError(
                f"{where}: field {field!r} is {document.get(field)!r}, expected {expected.__name__}; {_REPACK}"
            )
    kind = document.get("kind", "video")
    if kind not in get_args(Kind):
        raise BrokenAvatarError(
            f"{where}: field 'kind' is {kind!r}, this program knows {' and '.join(get_args(Kind))}; "
            "open the avatar with the version that made it"
        )
    _check_values(document, kind, where)
    try:
        check_recipe(document["recipe"], str(where))
    except RecipeMismatchError as error:
        raise BrokenAvatarError(str(error)) from error
    consent = recorded_consent(document.get("consent"), where)
    return AvatarManifest(consent=consent, kind=kind, **{field: document[field] for field in _TYPES})


def _check_values(document: dict[str, Any], kind: Kind, where: Path) -> None:
    for filename, digest in document["files"].items():
        if Path(filename).name != filename or "\\" in filename or filename in {"", ".", "..", MANIFEST_FILE}:
            raise BrokenAvatarError(
                f"{where}: {filename!r} is not a plain file name inside the avatar's folder; {_REPACK}"
            )
        if not isinstance(digest, str) or not _SHA256_PATTERN.fullmatch(digest):
            raise BrokenAvatarError(f"{where}: the hash of {filename} is {digest!r}, expected 64 hex digits; {_REPACK}")
    if missing := [filename for filename in FILES_OF_KIND[kind] if filename not in document["files"]]:
        raise BrokenAvatarError(f"{where} lists no hash of {', '.join(missing)}; {_REPACK}")
    frames, width, height = document["frames"], document["width"], document["height"]
    if frames < 1 or width < 2 or height < 2 or width % 2 or height % 2:
        raise BrokenAvatarError(
            f"{where}: {frames} frames of {width}x{height} px; expected at least one frame of even width and height; "
            f"{_REPACK}"
        )
    if frames > _MOST_FRAMES or width * height > _MOST_PIXELS:
        raise BrokenAvatarError(
            f"{where}: {frames} frames of {width}x{height} px; at most an hour of {_MOST_PIXELS} px is drawn; {_REPACK}"
        )
    _check_plain(document, where, _DEEPEST)


def _check_plain(value: object, where: Path, depth: int) -> None:
    """Whatever is in it can be written down again: by a server in its list of avatars, for example."""
    if depth < 0:
        raise BrokenAvatarError(f"{where} nests deeper than {_DEEPEST} levels; {_REPACK}")
    if isinstance(value, str) and not _can_be_written(value):
        raise BrokenAvatarError(f"{where} holds text that is no text ({value[:40]!r}); {_REPACK}")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check_plain(key, where, depth)
            _check_plain(inner, where, depth - 1)
    elif isinstance(value, list):
        for inner in value:
            _check_plain(inner, where, depth - 1)


def _can_be_written(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        return False
    return True


def read_manifest(folder: Path) -> AvatarManifest:
    """Read and check avatar.json, without looking at the files it lists.

    Raises:
        BrokenAvatarError: it is missing, unreadable, no JSON, or does not pass `parse_manifest`.
    """
    path = folder / MANIFEST_FILE
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST + 1)
        if len(content) > _LONGEST:
            raise ValueError(f"it has more than {_LONGEST} bytes")
        document = json.loads(content.decode(), parse_constant=_no_number)
    except FileNotFoundError as error:
        raise BrokenAvatarError(f"{path} is missing: packaging did not finish; package the avatar again") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenAvatarError(f"{path} cannot be read ({error}); {_REPACK}") from error
    manifest = parse_manifest(document, path)
    if document.get("seal") != seal_of(document):
        raise BrokenAvatarError(f"{path} is not as it was written: its seal does not fit; {_REPACK}")
    return manifest


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is no number")


def seal_of(document: dict[str, Any]) -> str:
    """SHA-256 of a description, its own seal left out; however it is indented."""
    rest = {key: value for key, value in document.items() if key != "seal"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_files(folder: Path, manifest: AvatarManifest) -> None:
    """Compare every listed file with its hash.

    Raises:
        BrokenAvatarError: names the first file that is missing or differs, or that nobody vouches for.
    """
    for filename in OPTIONAL_OF_KIND[manifest.kind]:
        if filename not in manifest.files and (folder / filename).exists():
            raise BrokenAvatarError(f"{folder / filename} is not listed in {MANIFEST_FILE}; {_REPACK}")
    for filename, expected in manifest.files.items():
        path = folder / filename
        if not path.is_file():
            raise BrokenAvatarError(f"{path} is missing; {_REPACK}")
        try:
            found = sha256(path)
        except OSError as error:
            raise BrokenAvatarError(f"{path} cannot be read ({error}); {_REPACK}") from error
        if found != expected:
            raise BrokenAvatarError(
                f"{path} is not the file that was packaged (SHA-256 {found[:12]}..., expected {expected[:12]}...); "
                f"{_REPACK}"
            )


def write_manifest(folder: Path, manifest: AvatarManifest) -> None:
    """Write avatar.json in one step: a reader sees the old one or the new one, never half of it."""
    document = {"schema": SCHEMA, "version": VERSION, **asdict(manifest)}
    if manifest.kind == "video":
        del document["kind"]  # as it was written before there were two
    document["seal"] = seal_of(document)
    path = folder / MANIFEST_FILE
    with written_aside(path) as part, part.open("w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def seal_avatar(folder: Path, facts: dict[str, Any]) -> AvatarManifest:
    """Hash the files of a finished avatar folder and write its avatar.json.

    Args:
        folder: holds the files of the avatar's kind, and optional ones where it has them.
        facts: every field of avatar.json but schema, version and files; `created` defaults to now, `consent`
            to null, `kind` to video.
    Raises:
        FileNotFoundError: a file of the avatar is not there.
        BrokenAvatarError: a fact is missing or of the wrong type.
    """
    kind = str(facts.get("kind", "video"))
    there = [filename for filename in OPTIONAL_OF_KIND[kind] if (folder / filename).exists()]
    files = {filename: sha256(folder / filename) for filename in (*FILES_OF_KIND[kind], *there)}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    document = {"created": created, **facts, "schema": SCHEMA, "version": VERSION, "files": files}
    manifest = parse_manifest(document, folder / MANIFEST_FILE)
    write_manifest(folder, manifest)
    return manifest
