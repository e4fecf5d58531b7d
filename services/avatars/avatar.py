"""An avatar on disk, trained or from a photo: opened with every hash checked, listed, given its consent record.

Axes: T template frames (25/s).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipe.aspect import Box, face_of_points, face_of_track
from recipe.avatar_format import (
    FILM_FILE,
    PHOTO_FILE,
    TRACK_FILE,
    AvatarManifest,
    check_files,
    read_manifest,
    write_manifest,
)
from recipe.checked_arrays import Schema, check_forms, read_checked
from recipe.consent import ConsentState, parse_consent
from recipe.errors import BrokenAvatarError, UserError
from recipe.film.arrays import FILM_VERSION, FilmArrays, load_film
from recipe.locks import only_writer
from recipe.names import check_name
from recipe.recipe_328 import CROP_PX, FPS, REFERENCE_COUNT
from recipe.tombstones import check_not_revoked
from recipe.warp.arrays import WARP_VERSION, WarpArrays, load_arrays
from recipe.warp.motion import IdleMotion, idle_motion
from services.errors import AvatarNotFoundError, WrongKindError

_SHORTEST_LOOP, _LONGEST_LOOP = 3 * FPS, 120 * FPS
_LARGEST_TRACK: Final = 32 << 20  # bytes


@dataclass(frozen=True, eq=False)
class OpenedAvatar:
    """What both kinds have: files that were found to be the ones that were packaged."""

    name: str
    folder: Path
    manifest: AvatarManifest

    @property
    def may_serve_publicly(self) -> bool:
        """True if a server that others can reach may show it."""
        return self.manifest.may_serve_publicly

    @property
    def consent(self) -> ConsentState:
        """What is known of the agreement of the person it shows."""
        if self.manifest.consent is not None:
            return "recorded"
        return "synthetic" if self.manifest.synthetic else "none"

    @property
    def notice(self) -> str | None:
        """What has to be said when it is shown without a consent record; None if nothing."""
        if self.may_serve_publicly:
            return None
        return (
            f"avatar {self.name} has no consent record: keep what it says to yourself until the person agreed "
            f'(python -m services.avatars consent {self.name} "who, date, scope")'
        )


@dataclass(frozen=True, eq=False)
class Avatar(OpenedAvatar):
    """Made of a recording.

    `affine_T23` maps frame px to crop px. `references_3HWC` are the crops the network is shown beside every
    frame: closed mouth, open, open.
    """

    affine_T23: NDArray[np.float32]
    opening_T: NDArray[np.float32]
    pose_T3: NDArray[np.float32]
    motion_T: NDArray[np.float32]
    references_3HWC: NDArray[np.uint8]

    @property
    def face(self) -> Box:
        """Where the face is in any of its frames."""
        return face_of_track(self.affine_T23)


@dataclass(frozen=True, eq=False)
class FilmAvatar(Avatar):
    """Drawn from its film: `recipe.film.draw.FilmFace(avatar.film)` moves the frames."""

    film: FilmArrays


@dataclass(frozen=True, eq=False)
class PhotoAvatar(OpenedAvatar):
    """Warped from a photo: `recipe.warp.draw.WarpedFace(avatar.arrays)` draws it."""

    arrays: WarpArrays
    motion: IdleMotion  # its idle loop, manifest.frames long

    @property
    def face(self) -> Box:
        """Where the face is, however the head moves."""
        return face_of_points(self.arrays["points_K3"][:, :2])

    @property
    def motion_T(self) -> NDArray[np.float32]:
        """How far the head moves into each frame; the walk turns where it is calm."""
        return np.abs(np.diff(self.motion.head_N5, axis=0, prepend=self.motion.head_N5[:1])).sum(axis=1)


@dataclass(frozen=True, slots=True)
class AvatarEntry:
    """One line of the list of avatars: what it is, or why it cannot be used."""

    name: str
    manifest: AvatarManifest | None
    problem: str | None
    face: Box | None = None


def entry_of(avatar: Avatar | PhotoAvatar) -> AvatarEntry:
    """The line of an avatar that can be used."""
    return AvatarEntry(avatar.name, avatar.manifest, None, avatar.face)


def open_avatar(avatars_dir: Path, name: str) -> Avatar | PhotoAvatar:
    """Open an avatar of either kind and check every file of it.

    Raises:
        BadNameError: the name does not fit the pattern of names.
        AvatarNotFoundError: there is no folder of that name.
        RevokedError: the person wants no avatar any more.
        BrokenAvatarError: a file is missing, damaged, or of another version or recipe.
    """
    folder = avatars_dir / check_name(name)
    if not folder.is_dir():
        known = ", ".join(_folder_names(avatars_dir)) or "none yet"
        raise AvatarNotFoundError(f"no avatar {name!r} in {avatars_dir} (there: {known}); train one, or choose another")
    return open_any(folder, name)


def open_video_avatar(avatars_dir: Path, name: str) -> Avatar:
    """Open an avatar that was trained from a recording.

    Raises:
        WrongKindError: it was made from a photo.
        BadNameError, AvatarNotFoundError, BrokenAvatarError: see `open_avatar`.
    """
    return _trained(open_avatar(avatars_dir, name))


def open_folder(folder: Path, name: str | None = None) -> Avatar:
    """Open a trained avatar wherever it lies, and check every file of it; while it is packaged its folder has another
    name.

    Raises:
        BrokenAvatarError: a file is missing, damaged, or of another version or recipe.
        WrongKindError: it was made from a photo.
    """
    return _trained(open_any(folder, name))


def _trained(avatar: Avatar | PhotoAvatar) -> Avatar:
    if isinstance(avatar, PhotoAvatar):
        raise WrongKindError(
            f"avatar {avatar.name} was made from a photo: it has no networks; choose one trained from a recording"
        )
    return avatar


def open_any(folder: Path, name: str | None) -> Avatar | PhotoAvatar:
    """Open an avatar of any kind wherever it lies, and check every file of it.

    Raises:
        RevokedError, BrokenAvatarError: see `open_avatar`.
    """
    manifest = read_manifest(folder)
    check_not_revoked(folder.parent, manifest.source_sha256)
    check_files(folder, manifest)
    if manifest.kind == "photo":
        return _open_photo(name or manifest.name, folder, manifest)
    track = _load_track(folder / TRACK_FILE, manifest.frames)
    if manifest.kind == "film":
        return FilmAvatar(name or manifest.name, folder, manifest, **track, film=_load_film(folder, manifest))
    return Avatar(name or manifest.name, folder, manifest, **track)


def _load_film(folder: Path, manifest: AvatarManifest) -> FilmArrays:
    if manifest.versions.get("film") != FILM_VERSION:
        raise BrokenAvatarError(
            f"{folder} was made by version {manifest.versions.get('film')!r} of the film's drawing, this program draws "
            f"{FILM_VERSION}; package the avatar again"
        )
    try:
        film = load_film(folder / FILM_FILE)
    except (OSError, ValueError) as error:
        raise BrokenAvatarError(f"{error}; package the avatar again") from error
    if len(film["track_TK2"]) != manifest.frames:
        raise BrokenAvatarError(
            f"{folder / FILM_FILE} tells of {len(film['track_TK2'])} frames, avatar.json of {manifest.frames}; package "
            "the avatar again"
        )
    return film


def _open_photo(name: str, folder: Path, manifest: AvatarManifest) -> PhotoAvatar:
    if manifest.versions.get("warp") != WARP_VERSION:
        raise BrokenAvatarError(
            f"{folder} was made by version {manifest.versions.get('warp')!r} of the warp, this program draws "
            f"{WARP_VERSION}; make it again from its photo"
        )
    seed = manifest.template.get("motion_seed")
    if type(seed) is not int or seed < 0 or not _SHORTEST_LOOP <= manifest.frames <= _LONGEST_LOOP:
        raise BrokenAvatarError(
            f"{folder}: a loop of {manifest.frames} frames from seed {seed!r}; expected {_SHORTEST_LOOP} to "
            f"{_LONGEST_LOOP} frames and a whole number; make it again from its photo"
        )
    try:
        arrays = load_arrays(folder / PHOTO_FILE)
    except (OSError, ValueError) as error:
        raise BrokenAvatarError(f"{error}; make the avatar again from its photo") from error
    height, width = arrays["photo_HWC"].shape[:2]
    if (width, height) != (manifest.width, manifest.height):
        raise BrokenAvatarError(
            f"{folder / PHOTO_FILE} holds a photo of {width}x{height} px, avatar.json says "
            f"{manifest.width}x{manifest.height}; make the avatar again from its photo"
        )
    return PhotoAvatar(name, folder, manifest, arrays, idle_motion(seed, manifest.frames / FPS))


def _load_track(path: Path, frames: int) -> dict[str, NDArray[Any]]:
    schema: Schema = {
        "affine_T23": ("f4", (frames, 2, 3)),
        "opening_T": ("f4", (frames,)),
        "pose_T3": ("f4", (frames, 3)),
        "motion_T": ("f4", (frames,)),
        "references_3HWC": ("u1", (REFERENCE_COUNT, CROP_PX, CROP_PX, 3)),
    }
    try:
        track = read_checked(path, schema, _LARGEST_TRACK)
        check_forms(track, schema, str(path))
    except (OSError, ValueError) as error:
        raise BrokenAvatarError(f"{error} (avatar.json tells of {frames} frames); package the avatar again") from error
    if (np.linalg.det(track["affine_T23"][:, :, :2]) <= 0).any():
        raise BrokenAvatarError(f"{path}: affine_T23 holds a transform without an inverse; package the avatar again")
    return track


def _folder_names(avatars_dir: Path) -> list[str]:
    if not avatars_dir.is_dir():
        return []
    return sorted(path.name for path in avatars_dir.iterdir() if path.is_dir() and not path.name.startswith("."))


def list_avatars(avatars_dir: Path) -> list[AvatarEntry]:
    """Every avatar of a folder; broken ones are listed with the reason."""
    entries = []
    for name in _folder_names(avatars_dir):
        try:
            entries.append(entry_of(open_avatar(avatars_dir, name)))
        except UserError as error:
            entries.append(AvatarEntry(name, None, str(error)))
    return entries


def record_consent(avatars_dir: Path, name: str, text: str) -> AvatarManifest:
    """Write who agreed to the avatar into its avatar.json, together with the hash of the recording.

    Args:
        avatars_dir: folder of the avatars.
        name: the avatar.
        text: "who, YYYY-MM-DD, scope".
    Raises:
        ConsentFormatError: the text is not of that form; nothing is changed.
        InUseError: the avatar is being made anew, or changed by another.
    """
    avatar = open_avatar(avatars_dir, name)
    with only_writer(avatar.folder):
        manifest = read_manifest(avatar.folder)  # what was recorded since it was opened stays
        manifest = replace(manifest, consent=parse_consent(text, manifest.source_sha256))
        write_manifest(avatar.folder, manifest)
    return manifest
