"""The folder of fetched models: `FOLDER/NAME/` with the publisher's files and `model.json`, which is written last.

huggingface_hub does the fetching: it goes on with a part by HTTP Range, shows a bar, and obeys HF_HUB_OFFLINE,
HF_ENDPOINT and HF_TOKEN. What it does not do is compare the content with the published hash; that is done here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from recipe.files import sha256, written_aside
from recipe.locks import only_writer
from services.models.known import KNOWN, KnownModel, ModelFetchError

FACTS: Final = "model.json"
_SHA256_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Fetched:
    """A model that is there."""

    name: str
    folder: Path
    repository: str
    commit: str  # of the repository when it was fetched
    licence: str
    hashes: dict[str, str]  # per file: SHA-256 of large files, Git's SHA-1 of small ones, as the Hub publishes them

    @property
    def size_bytes(self) -> int:
        return sum((self.folder / file).stat().st_size for file in self.hashes)


def find(folder: Path, name: str) -> Fetched | None:
    """A model in the folder; None if it is not whole.

    Raises:
        ModelFetchError: no such model is known.
    """
    model = known(name)
    place = folder / model.name
    try:
        facts = json.loads((place / FACTS).read_text(encoding="utf-8"))
        found = Fetched(model.name, place, facts["repository"], facts["commit"], facts["licence"], facts["hashes"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if set(found.hashes) == set(model.files) and all((place / f).is_file() for f in found.hashes) else None


def known(name: str) -> KnownModel:
    """Raises ModelFetchError where there is none of that name."""
    if name not in KNOWN:
        raise ModelFetchError(f"no model {name!r} is known; there are {', '.join(KNOWN)}, and Piper voices: piper:NAME")
    return KNOWN[name]


def fetch(folder: Path, name: str) -> Fetched:
    """Fetch a model, or return it if it is there; what was fetched of it before an interruption is not fetched again.

    Args:
        folder: of the models; is made where it is absent.
        name: of `known.KNOWN`.
    Raises:
        ModelFetchError: it is not known, cannot be fetched, or is not what its publisher says.
        InUseError, OutputError: another fetches it, or the folder cannot be written.
    """
    model = known(name)
    with only_writer(folder / model.name):
        if (found := find(folder, name)) is not None:
            return found
        hub, part = _hub(), folder / f".{model.name}.part"
        hashes, commit = {}, "main"
        for file in model.files:
            try:
                told = hub.get_hf_file_metadata(hub.hf_hub_url(model.repository, file, revision=commit))
                commit = str(told.commit_hash)
                path = Path(
                    hub.hf_hub_download(model.repository, file, revision=commit, local_dir=part, tqdm_class=tqdm)
                )
            except Exception as error:  # the library's, HTTP's and the disk's errors have no common base class
                raise ModelFetchError(_why(hub, error, model, folder)) from error
            hashes[file] = _compared(path, str(told.etag), model)
        shutil.rmtree(part / ".cache", ignore_errors=True)
        facts = {"repository": model.repository, "commit": commit, "licence": model.licence, "hashes": hashes}
        with written_aside(part / FACTS) as whole:
            whole.write_text(json.dumps(facts, indent=1), encoding="utf-8")
        shutil.rmtree(folder / model.name, ignore_errors=True)  # one that is not whole
        part.rename(folder / model.name)
    found = find(folder, name)
    assert found is not None
    return found


def clear(folder: Path, name: str) -> int:
    """Remove a model, and what was fetched of one; returns how many bytes that frees.

    Raises:
        ModelFetchError: no such model is known.
        InUseError, OutputError: it is being fetched, or the folder cannot be written.
    """
    model = known(name)
    places = [folder / model.name, folder / f".{model.name}.part"]
    if not any(place.exists() for place in places):
        return 0
    with only_writer(folder / model.name):
        freed = sum(size_of(place) for place in places)
        for place in places:
            if place.exists():
                shutil.rmtree(place)
    return freed


def size_of(place: Path) -> int:
    """Bytes of all files in a folder; 0 if there is none."""
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ModelFetchError(
            f"models are fetched by huggingface_hub, which the extra train brings ({error}); run bash scripts/setup.sh"
        ) from error
    return huggingface_hub


def _compared(path: Path, published: str, model: KnownModel) -> str:
    """The hash of a file, which is the published one; a file with another is removed."""
    if len(published) == _SHA256_CHARACTERS:
        found = sha256(path)
    else:
        content = path.read_bytes()
        header = f"blob {len(content)}\0".encode()
        found = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
    if found != published:
        path.unlink()
        raise ModelFetchError(
            f"{path.name} of {model.repository} is not what {model.page} promises: its hash is {found}, expected "
            f"{published}; it was removed, try again"
        )
    return found


def _why(hub: Any, error: Exception, model: KnownModel, folder: Path) -> str:
    if isinstance(error, hub.errors.OfflineModeIsEnabled):
        return (
            f"{model.name} is not in {folder}, and HF_HUB_OFFLINE forbids to fetch it; unset that, or copy the folder "
            "of a machine that has it"
        )
    if isinstance(error, hub.errors.GatedRepoError):
        return f"{model.page} wants its terms to be accepted first; do that there and set HF_TOKEN"
    if isinstance(error, hub.errors.RepositoryNotFoundError | hub.errors.RemoteEntryNotFoundError):
        return f"{model.repository} has no such file any more ({error}); see {model.page}"
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return f"{model.name} cannot be fetched from {model.repository} ({reason}); what came is kept: try again"
