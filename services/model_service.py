"""Loaded avatars of either kind: the ones used last stay in memory."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection
from functools import cached_property
from pathlib import Path

from recipe.avatar_format import MANIFEST_FILE
from recipe.names import check_name
from recipe.tombstones import check_not_revoked
from services.avatars.avatar import Avatar, FilmAvatar, PhotoAvatar, open_avatar
from services.avatars.byte_cache import ByteCache
from services.avatars.film_model import LoadedFilm
from services.avatars.loaded import LoadedAvatar
from services.avatars.photo_model import LoadedPhoto, load_ears
from services.errors import WrongKindError
from services.runtimes.choice import ears_runtime
from services.runtimes.runtime import Graph, Runtime

logger = logging.getLogger(__name__)


class ModelService:
    """Opens avatars and keeps the ones used last in memory.

    An avatar that was dropped, or packaged again on disk, lives on for the sessions that use it, and is freed
    with the last of them.
    """

    def __init__(
        self,
        avatars_dir: Path,
        runtime: Runtime,
        loaded_bytes: int,
        features_bytes: int,
        template_bytes: int,
        new_ears_runtime: Callable[[], Runtime] = ears_runtime,
    ) -> None:
        """Set the limits.

        Args:
            avatars_dir: folder of the avatars.
            runtime: loads the networks that were trained on somebody.
            loaded_bytes: for all loaded avatars together; the one used last always stays.
            features_bytes: for one avatar's encoder features.
            template_bytes: for one avatar's decoded template frames.
            new_ears_runtime: makes what loads ears, when an avatar of a photo or a film is opened first.
        """
        self._avatars_dir = avatars_dir
        self._runtime = runtime
        self._features_bytes = features_bytes
        self._template_bytes = template_bytes
        self._loaded: ByteCache[str, tuple[LoadedAvatar | LoadedFilm | LoadedPhoto, tuple[int, int]]] = ByteCache(
            loaded_bytes
        )
        self._loading = threading.Lock()
        self._new_ears_runtime = new_ears_runtime

    @cached_property
    def _ears(self) -> Graph:
        """For all photo avatars; asked for under `_loading`."""
        return load_ears(self._fitted_runtime)

    @cached_property
    def _fitted_runtime(self) -> Runtime:
        return self._new_ears_runtime()

    def open(self, name: str) -> LoadedAvatar | LoadedFilm | LoadedPhoto:
        """Load an avatar, or return it if it is loaded and unchanged on disk.

        Raises:
            BadNameError: the name does not fit the pattern of names.
            AvatarNotFoundError, BrokenAvatarError, ModelRuntimeError: see services.errors.
        """
        with self._loading:
            stamp = _stamp(self._avatars_dir / check_name(name))
            found = self._loaded.get(name)
            if found is not None and found[1] == stamp:
                return found[0]
            loaded = self._load(name)
            self._loaded.put(name, (loaded, stamp), loaded.memory_bytes)
            logger.info("avatar %s loaded on %s", name, loaded.provider)
            return loaded

    def open_trained(self, name: str) -> LoadedAvatar:
        """The same, where only networks trained on the person will do.

        Raises:
            WrongKindError: no network draws the avatar. Else see `open`.
        """
        model = self.open(name)
        if not isinstance(model, LoadedAvatar):
            raise WrongKindError(f"no network draws avatar {name}; choose one whose network was trained")
        return model

    def open_unlisted(self, avatars_dir: Path, name: str) -> LoadedPhoto:
        """Load a photo avatar that lies elsewhere, for whoever asks: nothing of it is remembered here.

        Its folder may go when this returns.

        Raises:
            RevokedError: the avatar of this photo was revoked here.
            WrongKindError: it was trained from a recording. Else see `open`.
        """
        avatar = open_avatar(avatars_dir, name)
        if not isinstance(avatar, PhotoAvatar):
            raise WrongKindError(f"avatar {name} was trained from a recording; only one of a photo can be unlisted")
        check_not_revoked(self._avatars_dir, avatar.manifest.source_sha256)
        with self._loading:
            ears = self._ears
        return LoadedPhoto(avatar, ears)

    def forget(self, recordings: Collection[str]) -> list[str]:
        """Forget the loaded avatars of these recordings (SHA-256); returns their names."""
        return self._loaded.drop_if(lambda kept: kept[0].avatar.manifest.source_sha256 in recordings)

    def loaded(self) -> list[str]:
        """Names of the avatars in memory."""
        return self._loaded.keys()

    def _load(self, name: str) -> LoadedAvatar | LoadedFilm | LoadedPhoto:
        avatar = open_avatar(self._avatars_dir, name)
        if isinstance(avatar, FilmAvatar):
            return LoadedFilm(avatar, self._fitted_runtime, self._template_bytes)
        if isinstance(avatar, Avatar):
            return LoadedAvatar(avatar, self._runtime, self._features_bytes, self._template_bytes)
        return LoadedPhoto(avatar, self._ears)


def _stamp(folder: Path) -> tuple[int, int]:
    """Changes whenever avatar.json is written; a folder without one is reported by `open_avatar`."""
    try:
        status = (folder / MANIFEST_FILE).stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_ino)
