"""Fetches a Piper voice: every file is compared with the published hash before any of them gets its name."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from recipe.locks import only_writer
from services.errors import SpeechError, VoiceNotFoundError

BASE_URL: Final = "https://huggingface.co/rhasspy/piper-voices/resolve/main"
_VOICE_NAME: Final = re.compile(r"[A-Za-z0-9_]+(?:-[\w.]+)+")
_TIMEOUT_S: Final = 30.0
_BLOCK_BYTES: Final = 1 << 16
_LONGEST_LIST_BYTES: Final = 16 << 20


def download_voice(voice: str, voices_dir: Path, base_url: str = BASE_URL, show_progress: bool = True) -> list[Path]:
    """Fetch a voice into a folder; nothing stays there of a download that fails or is interrupted.

    Args:
        voice: for example "en_US-lessac-medium".
        voices_dir: is made where it is absent.
        base_url: of a copy of rhasspy/piper-voices: voices.json, and the files it names.
        show_progress: a bar on standard error.
    Returns:
        The model, its JSON, and where there is one its model card, which states the licence.
    Raises:
        VoiceNotFoundError: the list has no such voice.
        SpeechError: the network, a hash, or the disk.
        InUseError, OutputError: another fetches it, or the folder cannot be written.
    """
    voice = voice.removeprefix("piper:")
    files = _listed_files(voice, base_url)
    with only_writer(voices_dir / voice):
        folder = voices_dir / f".{voice}.part"
        try:
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            folder.mkdir()
            for remote, name in files:
                _fetch(f"{base_url}/{urllib.parse.quote(remote['path'])}", folder / name, remote, show_progress)
            # The model gets its name last: a voice is there when its model is.
            return [(folder / name).replace(voices_dir / name) for _, name in reversed(files)]
        except OSError as error:
            raise SpeechError(
                f"{voice} cannot be written to {voices_dir} ({error.strerror}); is the disk full?"
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _listed_files(voice: str, base_url: str) -> list[tuple[dict[str, Any], str]]:
    """What the list says of each file, and the name it gets here; the model first."""
    url = f"{base_url}/voices.json"
    try:
        voices = json.loads(_read(url))
        if voice not in voices:
            raise VoiceNotFoundError(_unknown(voice, voices, url))
        listed = {path: {**facts, "path": path} for path, facts in voices[voice]["files"].items()}
        digests = {path: (str(facts["md5_digest"]), int(facts["size_bytes"])) for path, facts in listed.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpeechError(f"{url} is no list of Piper voices ({type(error).__name__}: {error})") from error
    names = {f"{voice}.onnx": f"{voice}.onnx", f"{voice}.onnx.json": f"{voice}.onnx.json"}
    names["MODEL_CARD"] = f"{voice}.MODEL_CARD"
    found = {path.rsplit("/", 1)[-1]: facts for path, facts in listed.items() if path in digests}
    missing = [name for name in list(names)[:2] if name not in found]
    if missing or not _VOICE_NAME.fullmatch(voice):
        raise SpeechError(f"{url} does not name the files of {voice}: {', '.join(missing) or 'not a usable name'}")
    return [(found[remote], local) for remote, local in names.items() if remote in found]


def _unknown(voice: str, voices: dict[str, Any], url: str) -> str:
    language = re.split(r"[-_]", voice)[0].lower()
    near = [name for name in sorted(voices) if language and name.lower().startswith(language)][:8]
    hint = f"; of this language there are {', '.join(near)}" if near else "; names look like en_US-lessac-medium"
    return f"{url} has no voice {voice!r}{hint}"


def _open(url: str) -> Any:
    try:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("expected http:// or https://")
        return urllib.request.urlopen(url, timeout=_TIMEOUT_S)  # noqa: S310  (its scheme was looked at)
    except urllib.error.HTTPError as error:
        error.close()
        raise SpeechError(f"{url} cannot be fetched: the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SpeechError(
            f"{url} cannot be fetched ({reason}); is this machine online? Voices that are on disk need no network"
        ) from error


def _read(url: str) -> bytes:
    with _open(url) as response:
        try:
            content: bytes = response.read(_LONGEST_LIST_BYTES)
        except Exception as error:
            raise SpeechError(f"{url} broke off ({type(error).__name__}: {error}); try again") from error
    return content


def _fetch(url: str, path: Path, facts: dict[str, Any], show_progress: bool) -> None:
    """Write one file and compare it with its size and hash."""
    expected_bytes, expected_md5 = int(facts["size_bytes"]), str(facts["md5_digest"]).lower()
    digest = hashlib.md5(usedforsecurity=False)
    got_bytes = 0
    with (
        _open(url) as response,
        path.open("wb") as file,
        tqdm(total=expected_bytes, unit="B", unit_scale=True, desc=path.name, disable=not show_progress) as bar,
    ):
        while got_bytes <= expected_bytes and (block := _block(response, url)):
            file.write(block)
            digest.update(block)
            got_bytes += len(block)
            bar.update(len(block))
    if (got_bytes, digest.hexdigest()) != (expected_bytes, expected_md5):
        raise SpeechError(
            f"{url} is not what voices.json promises: got {got_bytes} bytes with MD5 {digest.hexdigest()}, expected "
            f"{expected_bytes} with {expected_md5}; try again"
        )


def _block(response: Any, url: str) -> bytes:
    try:
        block: bytes = response.read(_BLOCK_BYTES)
    except Exception as error:  # http.client's errors and the socket's have no base class of their own
        raise SpeechError(f"{url} broke off ({type(error).__name__}: {error}); try again") from error
    return block
